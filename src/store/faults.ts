// Faults at the store port, for tests: a call can fail with nothing stored, fail although it was stored, or come late.
// The test decides which call; the product never wires this in.

import type {
  Collection,
  CommitResult,
  Op,
  ScanItem,
  ScanOptions,
  ScanRange,
  Store,
  Stored,
  StoreError,
  StoreStats,
} from "./store.ts";

/** One call of the port; `number` counts the calls of its operation from 1. */
export type StoreCall =
  | { readonly operation: "commit"; readonly number: number; readonly ops: readonly Op[] }
  | { readonly operation: "get"; readonly number: number; readonly collection: string; readonly key: string }
  | { readonly operation: "scan"; readonly number: number; readonly collection: string; readonly index: string };

type Verdict = StoreError | undefined;

/** What a test does around each call. A promise delays the call; the arrival order of delayed commits is that of their promises. */
export interface StoreFaults {
  /** An error fails the call before it does anything: nothing is stored. */
  before?(call: StoreCall): Verdict | Promise<Verdict>;
  /** An error replaces the answer of a call that was done: a commit stays stored. */
  after?(call: StoreCall): Verdict | Promise<Verdict>;
}

/** The store with faults around each call. */
export function withFaults(store: Store, faults: StoreFaults): Store {
  const calls = { commit: 0, get: 0, scan: 0 };
  const run = async <R>(call: StoreCall, work: () => Promise<R>): Promise<R> => {
    // Without a verdict the call is made at once: its place in the order of arrival is not lost.
    const verdict = faults.before?.(call);
    if (verdict !== undefined) await judge(verdict);
    const result = await work();
    await judge(faults.after?.(call));
    return result;
  };
  return {
    kind: store.kind,
    get<T>(collection: Collection<T>, key: string): Promise<Stored<T> | undefined> {
      const call: StoreCall = { operation: "get", number: ++calls.get, collection: collection.name, key };
      return run(call, () => store.get(collection, key));
    },
    commit(ops): Promise<CommitResult> {
      return run({ operation: "commit", number: ++calls.commit, ops }, () => store.commit(ops));
    },
    async *scan<T>(
      collection: Collection<T>,
      index: string,
      range: ScanRange = {},
      options: ScanOptions = {},
    ): AsyncGenerator<ScanItem<T>> {
      const call: StoreCall = { operation: "scan", number: ++calls.scan, collection: collection.name, index };
      await judge(faults.before?.(call));
      yield* store.scan(collection, index, range, options);
      await judge(faults.after?.(call));
    },
    stats: (): Promise<StoreStats> => store.stats(),
    health: () => store.health(),
    close: () => store.close(),
  };
}

async function judge(verdict: Verdict | Promise<Verdict>): Promise<void> {
  const error = await verdict;
  if (error !== undefined) throw error;
}
