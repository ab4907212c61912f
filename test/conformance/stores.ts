// The stores under test, each with the means to break and to reopen it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../src/platform/clock.ts";
import { createLevelStore, type LevelEvent, type LevelStoreOptions, openLevelStore } from "../../src/store/level.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import type { Store } from "../../src/store/store.ts";
import { type FailingEngine, failingEngine } from "../fakes/failing-engine.ts";

export const wallClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, { signal } = {}) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const timer = setTimeout(end, ms);
      signal?.addEventListener("abort", end, { once: true });
      function end(): void {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      }
    }),
};

export interface StoreUnderTest {
  readonly store: Store;
  /** Lets the next write fail: nothing of it is stored, or all of it. */
  failNextWrite(stored: boolean): void;
  /** Resolves when the store takes writes again after one failed. */
  recovered(): Promise<void>;
  dispose(): Promise<void>;
}

export async function memoryUnderTest(): Promise<StoreUnderTest> {
  let next: "fail" | "fail_stored" | undefined;
  const faults = {
    write: () => {
      const fault = next;
      next = undefined;
      return fault;
    },
  };
  const store = createMemoryStore({ clock: wallClock, faults });
  return {
    store,
    failNextWrite: (stored) => {
      next = stored ? "fail_stored" : "fail";
    },
    recovered: () => Promise.resolve(),
    dispose: () => store.close(),
  };
}

export interface LevelUnderTest extends StoreUnderTest {
  readonly dir: string;
  readonly engine: FailingEngine;
  readonly events: readonly LevelEvent[];
  /** Resolves with the next event of a kind. */
  next(kind: LevelEvent["kind"]): Promise<LevelEvent>;
  /** Opens the directory again; the caller has closed the store before. */
  open(options?: Partial<LevelStoreOptions>): Promise<Store>;
}

/** `mark: "beside"` gives the store a mark, beside its directory. */
export async function levelUnderTest(options: Partial<LevelStoreOptions> = {}): Promise<LevelUnderTest> {
  const dir = join(mkdtempSync(join(tmpdir(), "signet-store-")), "store");
  const engine = failingEngine();
  const events: LevelEvent[] = [];
  let waiting: { kind: LevelEvent["kind"]; resolve: (event: LevelEvent) => void }[] = [];
  const onEvent = (event: LevelEvent): void => {
    events.push(event);
    for (const one of waiting) if (one.kind === event.kind) one.resolve(event);
    waiting = waiting.filter(({ kind }) => kind !== event.kind);
  };
  const all: LevelStoreOptions = {
    clock: wallClock,
    openEngine: engine.open,
    onEvent,
    reopenMs: { first: 1, longest: 5 },
    ...options,
    ...(options.mark === "beside" ? { mark: `${dir}.mark` } : {}),
  };
  const stores: Store[] = [];
  const keep = (store: Store): Store => {
    stores.push(store);
    return store;
  };
  const store = keep(await createLevelStore(dir, all));
  const next = (kind: LevelEvent["kind"]): Promise<LevelEvent> =>
    new Promise((resolve) => waiting.push({ kind, resolve }));
  return {
    store,
    dir,
    engine,
    events,
    next,
    failNextWrite: (stored) => engine.failNextWrite(stored),
    async recovered() {
      if (!store.health().ok) await next("reopened");
    },
    open: async (changes = {}) => keep(await openLevelStore(dir, { ...all, ...changes })),
    async dispose() {
      await Promise.all(stores.map((one) => one.close()));
      rmSync(join(dir, ".."), { recursive: true, force: true });
    },
  };
}
