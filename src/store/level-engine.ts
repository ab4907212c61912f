// The engine as the adapter uses it: the few calls of LevelDB that are needed, typed, with the options that
// docs/architecture.md gives reasons for. Keys are text (ordered by UTF-8 octets), values are octets.

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Level } from "level";

/** Options of the data; a lock needs next to nothing. */
const DATA_OPTIONS = {
  compression: true,
  writeBufferSize: 8 * 1024 * 1024,
  maxFileSize: 16 * 1024 * 1024,
  maxOpenFiles: 1000,
  cacheSize: 64 * 1024 * 1024,
};
const LOCK_OPTIONS = { compression: false, writeBufferSize: 64 * 1024, cacheSize: 0, maxOpenFiles: 64 };

/** A step of a cursor ends at this size. */
const STEP_OCTETS = 256 * 1024;

/** How much a log may hold before it goes into a table; up to two logs exist at a time. */
export const LOG_OCTETS: number = DATA_OPTIONS.writeBufferSize;

export interface KeyRange {
  readonly gte: string;
  readonly lt: string;
  readonly reverse?: boolean;
  readonly snapshot?: EngineSnapshot;
}

export interface EngineSnapshot {
  close(): Promise<void>;
}

/** Reads a range in steps; an empty step is the end. */
export interface EngineCursor<T> {
  next(count: number): Promise<readonly T[]>;
  close(): Promise<void>;
}

export interface EngineBatch {
  put(key: string, value: Uint8Array): void;
  del(key: string): void;
  /** Durable when the promise resolves. When it rejects the batch may be there or not. */
  write(): Promise<void>;
}

export interface Engine {
  get(key: string): Promise<Uint8Array | undefined>;
  getMany(keys: readonly string[], snapshot?: EngineSnapshot): Promise<readonly (Uint8Array | undefined)[]>;
  batch(): EngineBatch;
  snapshot(): EngineSnapshot;
  keys(range: KeyRange): EngineCursor<string>;
  entries(range: KeyRange): EngineCursor<readonly [string, Uint8Array]>;
  /** Moves what is in the log into a table, so that the next opening has nothing to read back. */
  flush(): Promise<void>;
  /** Ends open cursors and snapshots. */
  close(): Promise<void>;
}

export interface EngineOptions {
  readonly create: boolean;
}

/** Opens a directory. Rejects with an error for which `isLocked` tells whether another process has it. */
export type OpenEngine = (location: string, options: EngineOptions) => Promise<Engine>;

// What the library's own types leave out.
interface NativeSnapshot extends EngineSnapshot {
  readonly native?: never;
}
interface NativeReadOptions {
  readonly snapshot?: NativeSnapshot;
}
interface NativeCursor<T> {
  nextv(count: number): Promise<T[]>;
  close(): Promise<void>;
}
interface NativeBatch {
  put(key: string, value: Uint8Array): NativeBatch;
  del(key: string): NativeBatch;
  write(options: { sync: boolean }): Promise<void>;
}
interface Native {
  open(): Promise<void>;
  close(): Promise<void>;
  get(key: string): Promise<Uint8Array | undefined>;
  getMany(keys: string[], options: NativeReadOptions): Promise<(Uint8Array | undefined)[]>;
  batch(): NativeBatch;
  snapshot(): NativeSnapshot;
  keys(range: object): NativeCursor<string>;
  iterator(range: object): NativeCursor<[string, Uint8Array]>;
  compactRange(start: string, end: string): Promise<void>;
}

export const openEngine: OpenEngine = async (location, { create }) => {
  const db = await openNative(location, { ...DATA_OPTIONS, createIfMissing: create });
  const read = (snapshot: EngineSnapshot | undefined): NativeReadOptions =>
    snapshot === undefined ? {} : { snapshot };
  const range = ({ gte, lt, reverse = false, snapshot }: KeyRange): object => ({
    gte,
    lt,
    reverse,
    highWaterMarkBytes: STEP_OCTETS,
    ...read(snapshot),
  });
  return {
    get: (key) => db.get(key),
    getMany: (keys, snapshot) => db.getMany([...keys], read(snapshot)),
    batch() {
      const batch = db.batch();
      return {
        put: (key, value) => void batch.put(key, value),
        del: (key) => void batch.del(key),
        write: () => batch.write({ sync: true }),
      };
    },
    snapshot: () => db.snapshot(),
    keys(keyRange) {
      const cursor = db.keys(range(keyRange));
      return { next: (count) => cursor.nextv(count), close: () => cursor.close() };
    },
    entries(keyRange) {
      const cursor = db.iterator(range(keyRange));
      return { next: (count) => cursor.nextv(count), close: () => cursor.close() };
    },
    // No key lies in this range: nothing is compacted, but the log is emptied first. close() alone does not do that.
    flush: () => db.compactRange("~", "~~"),
    close: () => db.close(),
  };
};

/** Takes a directory for this process until `release`, or until the process ends in whatever way. */
export async function openLock(location: string): Promise<{ release(): Promise<void> }> {
  const open = (): Promise<Native> => openNative(location, { ...LOCK_OPTIONS, createIfMissing: true });
  const db = await open().catch((error: unknown) => {
    if (isLocked(error) || !existsSync(location)) throw error;
    // Nothing is kept here, so what is damaged goes; but never the file that carries the lock itself.
    for (const file of readdirSync(location)) if (file !== "LOCK") rmSync(join(location, file), { force: true });
    return open();
  });
  return { release: () => db.close() };
}

async function openNative(location: string, options: object): Promise<Native> {
  // The constructor opens by itself in the next tick; open() joins that. A second handle beside a live one is never made.
  const db = new Level(location, { keyEncoding: "utf8", valueEncoding: "view", ...options }) as unknown as Native;
  try {
    await db.open();
  } catch (error) {
    await db.close().catch(() => undefined);
    throw error;
  }
  return db;
}

/** Whether opening failed because another handle, mostly of another process, has the directory. */
export function isLocked(error: unknown): boolean {
  return codesOf(error).includes("LEVEL_LOCKED");
}

/** Whether the engine itself found damage. */
export function isCorruption(error: unknown): boolean {
  return codesOf(error).includes("LEVEL_CORRUPTION");
}

/** The innermost reason, for people. */
export function reasonOf(error: unknown): string {
  let innermost = error;
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause;
  return innermost instanceof Error ? innermost.message : String(innermost);
}

function codesOf(error: unknown): readonly unknown[] {
  const codes: unknown[] = [];
  for (let e = error; e instanceof Error; e = e.cause) codes.push("code" in e ? e.code : undefined);
  return codes;
}
