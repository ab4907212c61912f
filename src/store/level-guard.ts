// Opening without losing what was acknowledged. LevelDB, when it cannot read a log at that moment, opens without it and
// deletes it; only its own file LOG says so. So all files are hard-linked aside first, and put back when LOG complains.
//
// | found at start          | means                                            | done                      |
// |-------------------------|--------------------------------------------------|---------------------------|
// | guard.tmp               | killed while making links, nothing opened yet     | removed                   |
// | guard                   | killed (or failed) before the opening was verified | put back, opened again    |
// | guard.gone              | killed after verification, while removing links   | removed                   |
// A guard is taken away (durably) before anything is served, so putting one back never undoes an acknowledged commit.
// The caller holds the lock of the store's directory.

import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import type { Continuity } from "./level-continuity.ts";
import { type Engine, isCorruption, type OpenEngine, reasonOf } from "./level-engine.ts";
import type { LevelPaths } from "./level-layout.ts";
import { StoreError } from "./store.ts";

const TRIES = 3;
const ENGINE_FILE = /^(?:CURRENT|MANIFEST-\d+|\d+\.(?:log|ldb|sst|dbtmp))$/;
const ENGINE_LOG = /^LOG(?:\.old)?$/;
const COMPLAINT = /^.*(?:gnoring error|dropping \d+ bytes).*$/gm;
// The one complaint that can be true of a store that lost nothing: octets of a batch that nobody was told of, torn by a
// power cut. A log that could not be read (an I/O error, no descriptor left) was whole, and continuity cannot tell,
// since what is missing is the end.
const TORN_TAIL = /^(?:[^|]*dropping \d+ bytes; Corruption[^|]*)(?:\|[^|]*dropping \d+ bytes; Corruption[^|]*)*$/;

export interface Opened {
  readonly engine: Engine;
  readonly continuity: Continuity;
  /** What the engine said was lost, when continuity shows that nothing acknowledged is. */
  readonly complaint: string | undefined;
}

export interface GuardedOpen {
  readonly paths: LevelPaths;
  readonly openEngine: OpenEngine;
  /** Checks an opened engine; throws a StoreError. */
  verify(engine: Engine): Promise<Continuity>;
  /** Waits before the next try. */
  pause(): Promise<void>;
}

/**
 * Opens an existing store; never makes one. After a failure the files are as they were found. Throws "damaged" when they
 * cannot be trusted, "unavailable" when they cannot be opened now, and what `verify` throws.
 */
export async function guardedOpen(options: GuardedOpen): Promise<Opened> {
  const { paths } = options;
  cleanUp(paths);
  requireEngineFiles(paths);
  for (let tried = 1; ; tried++) {
    makeGuard(paths);
    const result = await tryOpen(options, tried === TRIES);
    if (!("failure" in result)) {
      removeGuard(paths);
      return result;
    }
    putBack(paths);
    removeGuard(paths);
    if (result.final || tried === TRIES) throw result.failure;
    await options.pause();
  }
}

type Failed = { readonly failure: StoreError; readonly final: boolean };

async function tryOpen(options: GuardedOpen, lastTry: boolean): Promise<Opened | Failed> {
  const { paths, openEngine } = options;
  let engine: Engine;
  try {
    engine = await openEngine(paths.db, { create: false });
  } catch (cause) {
    const code = isCorruption(cause) ? "damaged" : "unavailable";
    const failure = new StoreError(code, `the store in ${paths.db} cannot be opened: ${reasonOf(cause)}`, { cause });
    return { failure, final: false };
  }
  let complaint: string | undefined;
  let problem: unknown;
  try {
    complaint = complaintIn(paths);
    const continuity = await options.verify(engine);
    if (complaint === undefined || (lastTry && TORN_TAIL.test(complaint))) return { engine, continuity, complaint };
  } catch (error) {
    problem = error;
  }
  await engine.close().catch(() => undefined);
  const said = complaint === undefined ? "" : `; the engine says: ${complaint}`;
  if (problem instanceof StoreError) {
    const failure = new StoreError(problem.code, problem.message + said, { cause: problem });
    return { failure, final: problem.code === "wrong_use" };
  }
  const why = problem === undefined ? "the engine left out a part of its log" : reasonOf(problem);
  return {
    failure: new StoreError("unavailable", `the store in ${paths.db} was not read whole: ${why}${said}`),
    final: false,
  };
}

/** Finishes or undoes what a killed process left. */
function cleanUp(paths: LevelPaths): void {
  rmSync(`${paths.guard}.tmp`, { recursive: true, force: true });
  rmSync(`${paths.guard}.gone`, { recursive: true, force: true });
  if (existsSync(paths.guard)) {
    putBack(paths);
    removeGuard(paths);
  }
}

function requireEngineFiles({ db }: LevelPaths): void {
  const files = existsSync(db) ? engineFiles(db) : [];
  if (files.includes("CURRENT")) return;
  if (files.length === 0) throw new StoreError("unavailable", `there is no store in ${db}`);
  throw new StoreError(
    "damaged",
    `the store in ${db} has lost its file CURRENT, ${files.length} other files are there`,
  );
}

function makeGuard({ dir, db, guard }: LevelPaths): void {
  const making = `${guard}.tmp`;
  mkdirSync(making, { mode: 0o700 });
  for (const file of engineFiles(db)) linkSync(join(db, file), join(making, file));
  syncDirectory(making);
  renameSync(making, guard);
  syncDirectory(dir);
}

// The new name first: half a guard must never look like a whole one.
function removeGuard({ dir, guard }: LevelPaths): void {
  const going = `${guard}.gone`;
  renameSync(guard, going);
  syncDirectory(dir);
  rmSync(going, { recursive: true, force: true });
}

function putBack({ db, guard }: LevelPaths): void {
  mkdirSync(db, { recursive: true, mode: 0o700 });
  for (const file of readdirSync(db)) {
    if (ENGINE_FILE.test(file) || ENGINE_LOG.test(file)) rmSync(join(db, file), { force: true });
  }
  for (const file of readdirSync(guard)) linkSync(join(guard, file), join(db, file));
  syncDirectory(db);
}

function complaintIn({ db }: LevelPaths): string | undefined {
  const lines = readFileSync(join(db, "LOG"), "utf8").match(COMPLAINT);
  return lines === null ? undefined : lines.join(" | ");
}

function engineFiles(directory: string): readonly string[] {
  return readdirSync(directory).filter((file) => ENGINE_FILE.test(file));
}

/** Makes the names in a directory durable. */
export function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
