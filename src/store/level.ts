// The embedded store: LevelDB in one directory, owned by one process. What the engine does not keep by itself, and what
// is done about it here:
//
// | state      | commits                          | reads         | how it ends                                          |
// |------------|----------------------------------|---------------|------------------------------------------------------|
// | open       | stored in groups, one at a time  | from disk     | a write fails -> recovering; close() -> closing      |
// | recovering | "unavailable" at once            | "unavailable" | engine closed, guarded open, continuity holds -> open |
// | closing    | the waiting ones are done, later ones are "closed" | from disk | closed                                 |
// | closed     | "closed"                         | "closed"      |                                                      |
//
// Durable when a commit's promise resolves: its records, their index entries, the commit number and the counts, in one
// synced batch. After a failed write the engine may acknowledge what the next opening loses, so its handle never writes
// again: the group in flight is "in_doubt", the waiting ones "unavailable". After a kill at any moment the next opening
// finds each acknowledged commit whole, and one that was not acknowledged whole or not at all.
//
// Index entries of a stored value are computed from it, not kept with it: a collection whose index functions change needs
// a migration.

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { noContinuity, putContinuity, putSchema, readContinuity } from "./level-continuity.ts";
import { isLocked, openEngine, openLock, reasonOf } from "./level-engine.ts";
import { guardedOpen, type Opened, syncDirectory } from "./level-guard.ts";
import { type LevelPaths, levelPaths } from "./level-layout.ts";
import { type Mark, makeMark, openMark } from "./level-mark.ts";
import { LevelStore, type LevelStoreOptions } from "./level-store.ts";
import { type Store, StoreError } from "./store.ts";

export type { LevelEvent, LevelStoreOptions } from "./level-store.ts";

const TRY_PAUSE_MS = 100;

/**
 * Makes a store in `dir`, which is made too, and opens it; `init` alone calls this. A making that was cut short left no
 * store and is done again. Throws "wrong_use" when there is a store.
 */
export async function createLevelStore(dir: string, options: LevelStoreOptions): Promise<Store> {
  const paths = levelPaths(dir);
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 });
  return locked(paths, options, async () => {
    if (existsSync(paths.db) || existsSync(paths.guard)) {
      throw new StoreError("wrong_use", `there is a store in ${dir} already`);
    }
    if (options.mark !== undefined) await makeMark(options.mark);
    await makeEngineFiles(paths, options);
  });
}

/**
 * Opens the store in `dir`; never makes one. Throws "unavailable" when another process uses it, when there is none, or
 * when it cannot be opened now; "damaged" when an acknowledged commit is missing, or when that cannot be told because the
 * mark is missing, damaged or a copy; "wrong_use" when a newer program wrote it.
 */
export async function openLevelStore(dir: string, options: LevelStoreOptions): Promise<Store> {
  const paths = levelPaths(dir);
  if (!existsSync(paths.db) && !existsSync(paths.guard))
    throw new StoreError("unavailable", `there is no store in ${dir}`);
  return locked(paths, options, () => Promise.resolve());
}

/** Takes the directory, prepares it, opens it. */
async function locked(paths: LevelPaths, options: LevelStoreOptions, prepare: () => Promise<void>): Promise<Store> {
  const lock = await takeLock(paths);
  const reopen = (atLeast: number): Promise<Opened> =>
    guardedOpen({
      paths,
      openEngine: options.openEngine ?? openEngine,
      verify: (engine) => readContinuity(engine, atLeast),
      pause: () => options.clock.sleep(TRY_PAUSE_MS),
    });
  let mark: Mark | undefined;
  try {
    await prepare();
    mark = options.mark === undefined ? undefined : await (options.openMark ?? openMark)(options.mark, options.clock);
    const opened = await reopen(mark?.found.state === "whole" ? mark.found.number : 0);
    const held = mark === undefined ? opened : await taken(opened, mark, options);
    return new LevelStore({ db: paths.db, lock, mark, reopen }, held, options);
  } catch (cause) {
    await mark?.close().catch(() => undefined);
    await lock.release().catch(() => undefined);
    if (cause instanceof StoreError) throw cause;
    throw new StoreError("unavailable", `the store in ${paths.dir} cannot be opened: ${reasonOf(cause)}`, { cause });
  }
}

/** Takes a mark for an opened store: its own, or a new one for a store that has none. Throws "damaged". */
async function taken(opened: Opened, mark: Mark, { acceptMark = false }: LevelStoreOptions): Promise<Opened> {
  const { engine, continuity } = opened;
  try {
    const doubt = continuity.marked && !acceptMark ? doubtOf(mark) : undefined;
    if (doubt !== undefined) throw new StoreError("damaged", doubt, { about: "mark" });
    await mark.write(continuity.number);
    await mark.sync();
    return { ...opened, continuity: { ...continuity, marked: true } };
  } catch (error) {
    await engine.close().catch(() => undefined);
    throw error;
  }
}

function doubtOf({ path, found }: Mark): string | undefined {
  const unknown = "whether the newest commits are all there cannot be told";
  switch (found.state) {
    case "whole":
      return undefined;
    case "copied":
      return `the store is a copy: its mark ${path}, commit ${found.number}, was written in another file; what was acknowledged after the copy was made is not in it`;
    case "new":
      return `the store's mark ${path} is empty: ${unknown}`;
    case "missing":
      return `the store's mark ${path} is missing: ${unknown}`;
    case "damaged":
      return `the store's mark ${path} is damaged: ${unknown}`;
  }
}

async function takeLock({ dir, lock }: LevelPaths): Promise<{ release(): Promise<void> }> {
  try {
    return await openLock(lock);
  } catch (cause) {
    const message = isLocked(cause)
      ? `another process (a server) uses the store in ${dir}: stop it first`
      : `the store in ${dir} cannot be locked: ${reasonOf(cause)}`;
    throw new StoreError("unavailable", message, { cause });
  }
}

// Under another name until the first batch is durable. Only here may the engine make files, in a directory of its own:
// asked to make what is missing, it would take a store without its file CURRENT for none, and delete the rest.
async function makeEngineFiles(paths: LevelPaths, options: LevelStoreOptions): Promise<void> {
  const making = `${paths.db}.new`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  const engine = await (options.openEngine ?? openEngine)(making, { create: true });
  try {
    const batch = engine.batch();
    putSchema(batch);
    putContinuity(batch, noContinuity(), { revision: 0, counts: new Map(), octets: 0 });
    await batch.write();
  } finally {
    await engine.close();
  }
  syncDirectory(making);
  renameSync(making, paths.db);
  syncDirectory(paths.dir);
}
