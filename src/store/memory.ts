// The store in memory, for tests: it keeps the promises of the port but for durability, and can be told to fail. Values
// are kept encoded, so a reader never shares an object with a writer.

import type { Clock } from "../platform/clock.ts";
import { CommitQueue, QUEUE_LIMITS, type QueueLimits } from "./commit-queue.ts";
import { type StoreFaults, withFaults } from "./faults.ts";
import {
  assembleGroup,
  type Change,
  type Content,
  checkCollection,
  type Outcome,
  type PreparedCommit,
  prepareCommit,
} from "./group.ts";
import { checkKey, compareText, encodePosition, KEY_INDEX, keyOfEntry } from "./index-key.ts";
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

/** Faults around each call, and below them at the write of a whole commit group. */
export interface MemoryFaults extends StoreFaults {
  /** The write of group `number` (from 1): "fail" stores nothing, "fail_stored" all of it, and either is "in_doubt". */
  write?(number: number): "fail" | "fail_stored" | undefined | Promise<"fail" | "fail_stored" | undefined>;
}

export interface MemoryStoreOptions {
  readonly clock: Pick<Clock, "now">;
  readonly faults?: MemoryFaults;
  readonly limits?: Partial<QueueLimits>;
}

/** An empty store that ends with the process. */
export function createMemoryStore(options: MemoryStoreOptions): Store {
  const store = new MemoryStore(options);
  return options.faults === undefined ? store : withFaults(store, options.faults);
}

type MemoryRecord = Content & { readonly revision: number };

class MemoryStore implements Store {
  readonly kind = "memory";
  readonly #options: MemoryStoreOptions;
  readonly #queue: CommitQueue;
  readonly #known = new WeakSet<object>();
  readonly #records = new Map<string, MemoryRecord>();
  readonly #indexes = new Map<string, SortedTexts>();
  readonly #counts = new Map<string, number>();
  #revision = 0;
  #groups = 0;
  #lastCommitAt: number | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.#queue = new CommitQueue((group) => this.#storeGroup(group), { ...QUEUE_LIMITS, ...options.limits });
  }

  async get<T>(collection: Collection<T>, key: string): Promise<Stored<T> | undefined> {
    checkCollection(collection, this.#known);
    checkKey(collection.name, key);
    if (this.#closed) throw closedError();
    const record = this.#records.get(`${collection.name}\0${key}`);
    return record === undefined ? undefined : decodeCopy(collection, key, record);
  }

  async commit(ops: readonly Op[]): Promise<CommitResult> {
    const prepared = prepareCommit(ops, this.#known);
    if (this.#closing !== undefined) throw closedError();
    return this.#queue.add(prepared);
  }

  async *scan<T>(
    collection: Collection<T>,
    index: string,
    range: ScanRange = {},
    options: ScanOptions = {},
  ): AsyncGenerator<ScanItem<T>> {
    checkCollection(collection, this.#known);
    const { bounds, limit, reverse } = planScan(collection, index, range, options);
    if (this.#closed) throw closedError();
    const entries = this.#index(collection.name, index).range(bounds.gte, bounds.lt);
    if (reverse) entries.reverse();
    // Records are replaced, never changed, so these are of one moment.
    const found = entries.slice(0, Number.isFinite(limit) ? limit : undefined).map((entry) => {
      const key = index === KEY_INDEX ? entry : (keyOfEntry(entry) ?? "");
      return { entry, key, record: this.#records.get(`${collection.name}\0${key}`) };
    });
    for (const { entry, key, record } of found) {
      if (this.#closed) throw closedError();
      if (record === undefined) throw damaged(collection.name, key, `index ${index} has it, but it is not there`);
      yield { ...decodeCopy(collection, key, record), position: encodePosition(entry) };
    }
  }

  async stats(): Promise<StoreStats> {
    return { counts: Object.fromEntries(this.#counts), bytes: 0, lastCommitAt: this.#lastCommitAt };
  }

  health(): StoreHealth {
    if (this.#closing !== undefined) return { ok: false, detail: "the store is closed", problems: [] };
    return { ok: true, detail: "in memory: nothing outlives the process", problems: [] };
  }

  close(): Promise<void> {
    this.#closing ??= this.#queue.idle().then(() => {
      this.#closed = true;
    });
    return this.#closing;
  }

  async #storeGroup(commits: readonly PreparedCommit[]): Promise<readonly Outcome[]> {
    const stored = (slot: string): { revision: number; entries(): readonly string[] } | undefined => {
      const record = this.#records.get(slot);
      return record === undefined ? undefined : { revision: record.revision, entries: () => record.entries };
    };
    const group = assembleGroup(commits, stored, this.#revision);
    if (group.changes.size === 0) return group.outcomes;
    this.#revision = group.revision;
    const fault = await this.#options.faults?.write?.(++this.#groups);
    if (fault !== "fail") {
      for (const [slot, change] of group.changes) this.#apply(slot, change);
      for (const [name, gained] of group.counts) this.#counts.set(name, (this.#counts.get(name) ?? 0) + gained);
    }
    if (fault !== undefined) return group.outcomes.map((outcome, i) => afterFailure(commits[i], outcome));
    this.#lastCommitAt = this.#options.clock.now().getTime();
    return group.outcomes;
  }

  #apply(slot: string, { collection: { name }, key, before, after }: Change): void {
    for (const entry of before) this.#indexOf(name, entry, (index, text) => index.remove(text));
    if (after === undefined) {
      this.#records.delete(slot);
      this.#index(name, KEY_INDEX).remove(key);
    } else {
      this.#records.set(slot, after);
      this.#index(name, KEY_INDEX).add(key);
      for (const entry of after.entries) this.#indexOf(name, entry, (index, text) => index.add(text));
    }
  }

  #indexOf(collection: string, entry: string, change: (index: SortedTexts, text: string) => void): void {
    const end = entry.indexOf("\0");
    change(this.#index(collection, entry.slice(0, end)), entry.slice(end + 1));
  }

  #index(collection: string, index: string): SortedTexts {
    const name = `${collection}\0${index}`;
    let texts = this.#indexes.get(name);
    if (texts === undefined) this.#indexes.set(name, (texts = new SortedTexts()));
    return texts;
  }
}

/** Texts without repetition, ordered by UTF-8 octets. */
class SortedTexts {
  readonly #texts: string[] = [];

  add(text: string): void {
    const at = this.#position(text);
    if (this.#texts[at] !== text) this.#texts.splice(at, 0, text);
  }

  remove(text: string): void {
    const at = this.#position(text);
    if (this.#texts[at] === text) this.#texts.splice(at, 1);
  }

  /** A copy of the texts from `gte` to below `lt`. */
  range(gte: string, lt: string | undefined): string[] {
    return this.#texts.slice(this.#position(gte), lt === undefined ? undefined : this.#position(lt));
  }

  /** Of the first text that is not below `text`. */
  #position(text: string): number {
    let low = 0;
    let high = this.#texts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareText(this.#texts[middle] ?? "", text) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function decodeCopy<T>(collection: Collection<T>, key: string, record: MemoryRecord): Stored<T> {
  return decodeStored(collection, key, { ...record, value: new Uint8Array(record.value) });
}

function afterFailure(commit: PreparedCommit | undefined, outcome: Outcome): StoreError {
  if (outcome instanceof StoreError) return outcome;
  const changes = commit?.ops.some(({ content }) => content !== undefined) ?? true;
  if (outcome.done && changes)
    return new StoreError("in_doubt", "the write failed; whether this commit is stored is not known");
  return new StoreError("unavailable", "the write of the group failed; nothing of this commit is stored");
}

function closedError(): StoreError {
  return new StoreError("closed", "the store is closed");
}
