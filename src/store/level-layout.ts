// Where things are: directories beside each other in the store's directory, and the keys inside the engine.
//
// DIR/db    the engine's files      DIR/guard  hard links to them while an opening is not verified
// DIR/lock  taken by one process    (the mark, level-mark.ts, lies where its owner says, outside DIR)
//
// m/schema  {"version"} of this layout        m/state  last commit and the records of each collection
// c/N       commit N, 16 hex digits           d/COLLECTION NUL KEY  a record
// i/COLLECTION NUL INDEX NUL ENTRY  an index entry, no value
// All of them are below "~", which `flush` relies on.

import { join } from "node:path";

/** Version of the layout that this code writes; a higher one is refused. */
export const SCHEMA_VERSION = 1;

export const SCHEMA_KEY = "m/schema";
export const STATE_KEY = "m/state";

const COMMIT_DIGITS = 16;

export interface LevelPaths {
  readonly dir: string;
  readonly db: string;
  readonly guard: string;
  readonly lock: string;
}

export function levelPaths(dir: string): LevelPaths {
  return { dir, db: join(dir, "db"), guard: join(dir, "guard"), lock: join(dir, "lock") };
}

export function recordKey(slot: string): string {
  return `d/${slot}`;
}

/** The key of an index entry, given as `index NUL entry`. */
export function entryKey(collection: string, entry: string): string {
  return `i/${collection}\0${entry}`;
}

export function commitKey(number: number): string {
  return `c/${number.toString(16).padStart(COMMIT_DIGITS, "0")}`;
}

export function commitNumber(key: string): number {
  return Number.parseInt(key.slice(2), 16);
}
