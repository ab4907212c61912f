// The store over an engine that was opened and verified: its states, groups and reads (`level.ts` has the table).

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../platform/clock.ts";
import { CommitQueue, QUEUE_LIMITS, type QueueLimits } from "./commit-queue.ts";
import {
  assembleGroup,
  type Current,
  checkCollection,
  type Group,
  type Outcome,
  type PreparedCommit,
  prepareCommit,
  storedEntries,
} from "./group.ts";
import { checkKey } from "./index-key.ts";
import { KnownRevisions } from "./known-revisions.ts";
import { putChanges } from "./level-changes.ts";
import { type Continuity, putContinuity } from "./level-continuity.ts";
import { type Engine, isCorruption, type OpenEngine, reasonOf } from "./level-engine.ts";
import type { Opened } from "./level-guard.ts";
import { recordKey } from "./level-layout.ts";
import type { Mark, OpenMark } from "./level-mark.ts";
import { openRecord, scanEngine } from "./level-scan.ts";
import { damaged, decodeStored } from "./record.ts";
import { planScan } from "./scan-plan.ts";
import {
  type Collection,
  type CommitResult,
  type Op,
  type ScanItem,
  type ScanOptions,
  type ScanRange,
  type Store,
  type Stored,
  StoreError,
  type StoreHealth,
  type StoreStats,
} from "./store.ts";

const MARK_SYNC_MS = 1000;
/** Records whose revision is remembered for commits that only expect it. */
const KNOWN_REVISIONS = 50_000;

/** What happens inside, for log and metrics. */
export type LevelEvent =
  | { readonly kind: "group_stored"; readonly commits: number; readonly records: number; readonly tookMs: number }
  /** The handle is given up; commits in flight are in doubt. */
  | { readonly kind: "write_failed"; readonly reason: string }
  | { readonly kind: "reopen_failed"; readonly reason: string; readonly tried: number; readonly nextTryMs: number }
  | { readonly kind: "reopened"; readonly commit: number; readonly tried: number }
  /** The engine left out octets that belong to no acknowledged commit, as after a power cut. */
  | { readonly kind: "engine_complained"; readonly complaint: string }
  /** Told once until it works again; meanwhile a lost end of the log would not be found. */
  | { readonly kind: "mark_failed"; readonly reason: string };

export interface LevelStoreOptions {
  readonly clock: Clock;
  /** What it throws is ignored. */
  readonly onEvent?: (event: LevelEvent) => void;
  readonly limits?: Partial<QueueLimits>;
  /** First and longest wait between tries to open again after a failed write. */
  readonly reopenMs?: { readonly first: number; readonly longest: number };
  /** A write that takes longer makes `health` say no. */
  readonly slowWriteMs?: number;
  /** File of the continuity mark, outside the store's directory; without it a lost end of the log is not found. */
  readonly mark?: string;
  /** Takes the store as it is whatever the mark says, and writes the mark anew. */
  readonly acceptMark?: boolean;
  /** Another way to open the mark, for tests that let it fail. */
  readonly openMark?: OpenMark;
  /** Another engine, for tests that let it fail. */
  readonly openEngine?: OpenEngine;
}

export interface LevelStoreDeps {
  /** The engine's directory. */
  readonly db: string;
  readonly lock: { release(): Promise<void> };
  readonly mark?: Mark | undefined;
  /** A guarded open; throws "damaged" when the store ends before commit `atLeast`. */
  reopen(atLeast: number): Promise<Opened>;
}

type State =
  | { readonly kind: "open"; readonly engine: Engine }
  | { readonly kind: "recovering"; readonly reason: string; readonly sinceMs: number }
  | { readonly kind: "closed" };

/** The store over an opened engine. */
export class LevelStore implements Store {
  readonly kind = "level";
  readonly #options: LevelStoreOptions;
  readonly #clock: Clock;
  readonly #deps: LevelStoreDeps;
  readonly #queue: CommitQueue;
  readonly #known = new WeakSet<object>();
  readonly #revisions = new KnownRevisions(KNOWN_REVISIONS);
  readonly #stop = new AbortController();
  #state: State;
  #continuity: Continuity;
  #revision: number;
  #recovery: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #lastCommitAt: number | undefined;
  #writingSinceMs: number | undefined;
  #markProblem: string | undefined;
  #markSync: Promise<void> | undefined;

  constructor(deps: LevelStoreDeps, opened: Opened, options: LevelStoreOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#clock = options.clock;
    this.#queue = new CommitQueue((group) => this.#storeGroup(group), { ...QUEUE_LIMITS, ...options.limits });
    this.#state = { kind: "open", engine: opened.engine };
    this.#continuity = opened.continuity;
    this.#revision = opened.continuity.revision;
    this.#complained(opened);
  }

  async get<T>(collection: Collection<T>, key: string): Promise<Stored<T> | undefined> {
    checkCollection(collection, this.#known);
    checkKey(collection.name, key);
    const engine = this.#engine();
    let octets: Uint8Array | undefined;
    try {
      octets = await engine.get(recordKey(`${collection.name}\0${key}`));
    } catch (cause) {
      throw this.#readError(collection.name, key, cause);
    }
    if (octets === undefined) return undefined;
    return decodeStored(collection, key, openRecord(collection, key, octets));
  }

  async commit(ops: readonly Op[]): Promise<CommitResult> {
    const prepared = prepareCommit(ops, this.#known);
    if (this.#closing !== undefined) throw closedError();
    this.#engine();
    return this.#queue.add(prepared);
  }

  async *scan<T>(
    collection: Collection<T>,
    index: string,
    range: ScanRange = {},
    options: ScanOptions = {},
  ): AsyncGenerator<ScanItem<T>> {
    checkCollection(collection, this.#known);
    const plan = planScan(collection, index, range, options);
    const engine = this.#engine();
    try {
      yield* scanEngine(engine, collection, plan);
    } catch (cause) {
      throw cause instanceof StoreError ? cause : this.#readError(collection.name, `a range of index ${index}`, cause);
    }
  }

  async stats(): Promise<StoreStats> {
    let bytes = 0;
    const { db } = this.#deps;
    for (const file of existsSync(db) ? readdirSync(db) : []) {
      bytes += statSync(join(db, file), { throwIfNoEntry: false })?.size ?? 0;
    }
    return { counts: Object.fromEntries(this.#continuity.counts), bytes, lastCommitAt: this.#lastCommitAt };
  }

  health(): StoreHealth {
    const mark = this.#markProblem;
    const problems = mark === undefined ? [] : [{ what: mark, cure: "signet doctor" }];
    return { ...this.#writable(), problems };
  }

  #writable(): Omit<StoreHealth, "problems"> {
    const state = this.#state;
    const now = this.#clock.monotonicMs();
    const secondsSince = (ms: number): string => `${Math.max(0, Math.round((now - ms) / 1000))} s`;
    if (state.kind === "closed" || this.#closing !== undefined) return { ok: false, detail: "the store is closed" };
    if (state.kind === "recovering") {
      return { ok: false, detail: `not writable for ${secondsSince(state.sinceMs)}: ${state.reason}` };
    }
    if (this.#writingSinceMs !== undefined && now - this.#writingSinceMs > (this.#options.slowWriteMs ?? 10_000)) {
      return { ok: false, detail: `a write has been waiting for the disk for ${secondsSince(this.#writingSinceMs)}` };
    }
    return { ok: true, detail: `commit ${this.#continuity.number} is on disk` };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#queue.idle();
    this.#stop.abort();
    await this.#recovery;
    const state = this.#state;
    this.#state = { kind: "closed" };
    try {
      if (state.kind === "open") {
        // When this fails the log stays, and the next opening reads it back.
        await state.engine.flush().catch(() => undefined);
        await state.engine.close();
      }
    } finally {
      await this.#markSync;
      await this.#deps.mark?.sync().catch(() => undefined);
      await this.#deps.mark?.close().catch(() => undefined);
      await this.#deps.lock.release();
    }
  }

  // The commit is durable already: a mark that cannot be written makes it no less so.
  async #markCommit(number: number): Promise<void> {
    const { mark } = this.#deps;
    if (mark === undefined) return;
    try {
      await mark.write(number);
      this.#markSync ??= this.#syncMark(mark);
      this.#markProblem = undefined;
    } catch (cause) {
      this.#markFailed(cause);
    }
  }

  async #syncMark(mark: Mark): Promise<void> {
    await this.#clock.sleep(MARK_SYNC_MS, { signal: this.#stop.signal, unref: true });
    try {
      await mark.sync();
    } catch (cause) {
      this.#markFailed(cause);
    } finally {
      this.#markSync = undefined;
    }
  }

  #markFailed(cause: unknown): void {
    const reason = `the mark ${this.#deps.mark?.path ?? ""} cannot be written: ${reasonOf(cause)}`;
    if (this.#markProblem === undefined) this.#tell({ kind: "mark_failed", reason });
    this.#markProblem = reason;
  }

  /** Stores a group; never throws. */
  async #storeGroup(commits: readonly PreparedCommit[]): Promise<readonly Outcome[]> {
    const state = this.#state;
    if (state.kind !== "open") return commits.map(() => unavailable(state));
    const { engine } = state;
    const stored = await this.#readSlots(engine, commits);
    const group = assembleGroup(commits, stored, this.#revision);
    if (group.changes.size === 0) return group.outcomes;
    const startedMs = this.#clock.monotonicMs();
    this.#writingSinceMs = startedMs;
    try {
      const batch = engine.batch();
      const octets = putChanges(batch, group.changes);
      const { revision, counts } = group;
      const next = putContinuity(batch, this.#continuity, { revision, counts, octets });
      await batch.write();
      this.#continuity = next();
      this.#revisions.stored(group.changes);
      await this.#markCommit(this.#continuity.number);
    } catch (cause) {
      return this.#writeFailed(commits, group, cause);
    } finally {
      this.#writingSinceMs = undefined;
      // Never given out again, whatever became of the batch.
      this.#revision = group.revision;
    }
    this.#lastCommitAt = this.#clock.now().getTime();
    const tookMs = this.#clock.monotonicMs() - startedMs;
    this.#tell({ kind: "group_stored", commits: commits.length, records: group.changes.size, tookMs });
    return group.outcomes;
  }

  /** What is stored for each slot that the commits name; a slot that cannot be read throws when it is asked for. */
  async #readSlots(engine: Engine, commits: readonly PreparedCommit[]): Promise<(slot: string) => Current | undefined> {
    const slots = new Map<
      string,
      { collection: Collection<unknown>; key: string; octets?: Uint8Array | undefined; error?: unknown }
    >();
    const known = new Map<string, number>();
    for (const { ops } of commits) {
      for (const { slot, collection, key, content } of ops) {
        const revision = content === undefined ? this.#revisions.get(slot) : undefined;
        if (revision === undefined) slots.set(slot, { collection, key });
        else known.set(slot, revision);
      }
    }
    const found = [...slots.values()];
    const keys = [...slots.keys()].map(recordKey);
    try {
      const values = await engine.getMany(keys);
      for (const [i, slot] of found.entries()) slot.octets = values[i];
    } catch {
      // One bad block fails them all: ask for each alone, so that only the commits that need it fail.
      for (const [i, slot] of found.entries()) {
        try {
          slot.octets = await engine.get(keys[i] ?? "");
        } catch (error) {
          slot.error = error;
        }
      }
    }
    return (slot) => {
      const held = slots.get(slot);
      const revision = held === undefined ? known.get(slot) : undefined;
      if (revision !== undefined) return { revision, entries: () => [] };
      if (held?.error !== undefined) throw this.#readError(held.collection.name, held.key, held.error);
      if (held?.octets === undefined) return undefined;
      const { collection, key, octets } = held;
      const sealed = openRecord(collection, key, octets);
      this.#revisions.learn(slot, sealed.revision);
      return { revision: sealed.revision, entries: () => storedEntries(collection, key, sealed) };
    };
  }

  #writeFailed(commits: readonly PreparedCommit[], group: Group, cause: unknown): readonly Outcome[] {
    const reason = `a write failed: ${reasonOf(cause)}`;
    const state: State = { kind: "recovering", reason, sinceMs: this.#clock.monotonicMs() };
    const engine = this.#state.kind === "open" ? this.#state.engine : undefined;
    this.#state = state;
    this.#queue.refuseWaiting(unavailable(state));
    this.#revisions.clear();
    this.#tell({ kind: "write_failed", reason });
    this.#recovery = this.#recover(engine, state);
    return commits.map(({ ops }, i): Outcome => {
      const outcome = group.outcomes[i];
      if (outcome instanceof StoreError) return outcome;
      if (outcome?.done === true && ops.some(({ content }) => content !== undefined)) {
        return new StoreError("in_doubt", `${reason}; whether this commit is stored is not known`, { cause });
      }
      return unavailable(state);
    });
  }

  /** Owned by `close`, which ends and awaits it. */
  async #recover(engine: Engine | undefined, state: State & { kind: "recovering" }): Promise<void> {
    const { first, longest } = this.#options.reopenMs ?? { first: 100, longest: 5000 };
    const { signal } = this.#stop;
    await engine?.close().catch(() => undefined);
    let waitMs = first;
    for (let tried = 1; !signal.aborted; tried++) {
      try {
        const opened = await this.#deps.reopen(this.#continuity.number);
        this.#continuity = { ...opened.continuity, marked: this.#continuity.marked };
        this.#revision = Math.max(this.#revision, opened.continuity.revision);
        this.#state = { kind: "open", engine: opened.engine };
        this.#tell({ kind: "reopened", commit: opened.continuity.number, tried });
        this.#complained(opened);
        return;
      } catch (error) {
        const reason = reasonOf(error);
        this.#state = { ...state, reason: `${state.reason}; try ${tried} to open again: ${reason}` };
        this.#tell({ kind: "reopen_failed", reason, tried, nextTryMs: waitMs });
        await this.#clock.sleep(waitMs, { signal });
        waitMs = Math.min(longest, waitMs * 2);
      }
    }
  }

  #engine(): Engine {
    if (this.#state.kind === "open") return this.#state.engine;
    throw unavailable(this.#state);
  }

  /** A read that the engine refused: because the handle was given up meanwhile, or because of what it read. */
  #readError(collection: string, key: string, cause: unknown): StoreError {
    if (this.#state.kind !== "open") return unavailable(this.#state);
    if (isCorruption(cause)) return damaged(collection, key, reasonOf(cause), cause);
    const message = `record ${JSON.stringify(key)} of ${collection} cannot be read now: ${reasonOf(cause)}`;
    return new StoreError("unavailable", message, { cause });
  }

  #complained({ complaint }: Opened): void {
    if (complaint !== undefined) this.#tell({ kind: "engine_complained", complaint });
  }

  // What a listener throws must not turn a stored commit into one in doubt, nor stop a recovery.
  #tell(event: LevelEvent): void {
    try {
      this.#options.onEvent?.(event);
    } catch {
      // The listener's own concern.
    }
  }
}

function unavailable(state: Exclude<State, { kind: "open" }>): StoreError {
  if (state.kind === "closed") return closedError();
  return new StoreError("unavailable", `the store takes nothing now: ${state.reason}`);
}

function closedError(): StoreError {
  return new StoreError("closed", "the store is closed");
}
