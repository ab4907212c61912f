// A store that remembers what `get` read, for collections that are read at every request. Right as long as the commits go
// through it: a record is forgotten when a commit that changes it starts, not remembered while that commit is under way,
// and forgotten again when any commit that names it ends other than done. (A commit that puts what is absent changes
// nothing that could be remembered: absence never is.) With several processes on one database a record
// may be old; a commit that expects its revision then fails, and the next `get` reads it anew.

import type {
  Collection,
  CommitResult,
  Op,
  ScanItem,
  ScanOptions,
  ScanRange,
  Store,
  Stored,
  StoreHealth,
  StoreStats,
} from "./store.ts";

export interface CacheOptions {
  /** Names of the collections to remember. */
  readonly collections: readonly string[];
  /** Records remembered; those not asked for again since they were last passed over are forgotten first. */
  readonly maxRecords: number;
}

/** Wraps a store. Values of the named collections are shared between readers: they must not be changed. */
export function withCache(store: Store, options: CacheOptions): Store {
  return new CachedStore(store, options);
}

interface Held {
  readonly record: Stored<unknown>;
  /** Asked for again since it was read or last passed over: a mark costs less than keeping the order of use. */
  used: boolean;
}

class CachedStore implements Store {
  readonly kind: string;
  readonly #store: Store;
  readonly #collections: ReadonlySet<string>;
  readonly #maxRecords: number;
  /** In the order in which they will be looked at when one has to go. */
  readonly #records = new Map<string, Held>();
  /** Slots that commits under way change, with how many do. */
  readonly #changing = new Map<string, number>();
  /** Reads under way; one that is no longer here when it ends has been overtaken by a commit. */
  readonly #reading = new Map<string, Promise<Stored<unknown> | undefined>>();

  constructor(store: Store, { collections, maxRecords }: CacheOptions) {
    this.kind = store.kind;
    this.#store = store;
    this.#collections = new Set(collections);
    this.#maxRecords = maxRecords;
  }

  async get<T>(collection: Collection<T>, key: string): Promise<Stored<T> | undefined> {
    if (!this.#collections.has(collection.name)) return this.#store.get(collection, key);
    const slot = slotOf(collection.name, key);
    const held = this.#records.get(slot);
    if (held !== undefined) {
      held.used = true;
      return held.record as Stored<T>;
    }
    if (this.#changing.has(slot)) return this.#store.get(collection, key);
    const underWay = this.#reading.get(slot) as Promise<Stored<T> | undefined> | undefined;
    if (underWay !== undefined) return underWay;
    const read = this.#store.get(collection, key);
    this.#reading.set(slot, read);
    try {
      const found = await read;
      if (found !== undefined && this.#reading.get(slot) === read) this.#remember(slot, found);
      return found;
    } finally {
      if (this.#reading.get(slot) === read) this.#reading.delete(slot);
    }
  }

  async commit(ops: readonly Op[]): Promise<CommitResult> {
    const changed: string[] = [];
    for (const op of ops) {
      const { kind, collection } = op;
      if ((kind === "update" || kind === "delete") && this.#collections.has(collection.name))
        changed.push(slotOfOp(op));
    }
    for (const slot of changed) {
      this.#changing.set(slot, (this.#changing.get(slot) ?? 0) + 1);
      this.#forget(slot);
    }
    let done = false;
    try {
      const result = await this.#store.commit(ops);
      done = result.done;
      return result;
    } finally {
      for (const slot of changed) {
        const left = (this.#changing.get(slot) ?? 1) - 1;
        if (left > 0) this.#changing.set(slot, left);
        else this.#changing.delete(slot);
      }
      if (!done) for (const op of ops) this.#forget(slotOfOp(op));
    }
  }

  scan<T>(
    collection: Collection<T>,
    index: string,
    range?: ScanRange,
    options?: ScanOptions,
  ): AsyncIterable<ScanItem<T>> {
    return this.#store.scan(collection, index, range, options);
  }

  stats(): Promise<StoreStats> {
    return this.#store.stats();
  }

  health(): StoreHealth {
    return this.#store.health();
  }

  close(): Promise<void> {
    return this.#store.close().finally(() => this.#records.clear());
  }

  #remember(slot: string, found: Stored<unknown>): void {
    for (const [oldest, held] of this.#records) {
      if (this.#records.size < this.#maxRecords) break;
      this.#records.delete(oldest);
      if (held.used) this.#records.set(oldest, { record: held.record, used: false });
    }
    this.#records.set(slot, { record: found, used: false });
  }

  #forget(slot: string): void {
    this.#records.delete(slot);
    this.#reading.delete(slot);
  }
}

function slotOf(collection: string, key: string): string {
  return `${collection}\0${key}`;
}

function slotOfOp({ collection, key }: Op): string {
  return slotOf(collection.name, key);
}
