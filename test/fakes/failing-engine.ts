// The real engine of the level store, told to fail: what the store does after a failed write is then seen on real files.

import { type Engine, type OpenEngine, openEngine } from "../../src/store/level-engine.ts";

export interface FailingEngine {
  readonly open: OpenEngine;
  /** Fails the next write: before it, or after it was stored. */
  failNextWrite(stored: boolean): void;
  /** Fails the next openings. */
  failOpens(count: number): void;
  /** Holds writes back until the returned function is called. */
  holdWrites(): () => void;
  /** Fails the next `getMany`, and each `get` of a key that ends so until then. */
  failReadsOf(keyEnd: string | undefined): void;
}

export function failingEngine(): FailingEngine {
  let nextWrite: { readonly stored: boolean } | undefined;
  let opensToFail = 0;
  let held: Promise<void> = Promise.resolve();
  let badKeyEnd: string | undefined;
  const isBad = (key: string): boolean => badKeyEnd !== undefined && key.endsWith(badKeyEnd);
  const wrap = (engine: Engine): Engine => ({
    ...engine,
    async get(key) {
      if (isBad(key)) throw new Error("read failed (planted)");
      return engine.get(key);
    },
    async getMany(keys, snapshot) {
      if (keys.some(isBad)) throw new Error("read failed (planted)");
      return engine.getMany(keys, snapshot);
    },
    batch() {
      const batch = engine.batch();
      return {
        ...batch,
        async write() {
          await held;
          const fault = nextWrite;
          nextWrite = undefined;
          if (fault === undefined || fault.stored) await batch.write();
          if (fault !== undefined) throw new Error("no space left (planted)");
        },
      };
    },
  });
  return {
    async open(location, options) {
      if (opensToFail > 0) {
        opensToFail--;
        throw new Error("too many open files (planted)");
      }
      return wrap(await openEngine(location, options));
    },
    failNextWrite: (stored) => {
      nextWrite = { stored };
    },
    failOpens: (count) => {
      opensToFail = count;
    },
    holdWrites() {
      let release = (): void => undefined;
      held = new Promise((resolve) => {
        release = resolve;
      });
      return () => release();
    },
    failReadsOf: (keyEnd) => {
      badKeyEnd = keyEnd;
    },
  };
}
