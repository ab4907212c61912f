// The server's ports with a fault at one call: killed before it, killed after it, failed and not stored, failed but stored.
import { KeyError, type KeyHandle, type KeyManager } from "../../src/keys/key-manager.ts";
import { type CommitResult, type Store, StoreError } from "../../src/store/store.ts";

export const faultKinds = ["killed before", "killed after", "failed, not stored", "failed, but stored"] as const;
export type FaultKind = (typeof faultKinds)[number];

/** Call number `at` (from 1, over all ports of one life) meets the fault. */
export interface Plan {
  readonly at: number;
  readonly kind: FaultKind;
}

/** One life of the process: its ports, and what became of it. */
export interface Life {
  readonly store: Store;
  readonly keys: KeyManager;
  /** Resolves when the process was killed. Nothing that it still waits for ever comes. */
  readonly killed: Promise<"killed">;
  /** Which call met the fault; undefined when the work needed fewer calls. */
  readonly met: () => string | undefined;
  readonly calls: () => number;
  /** From now on calls count; before that the ports are whole. */
  arm(): void;
}

/** Wraps what survives a kill (records and keys) for one life. */
export function liveOnce(held: { readonly store: Store; readonly keys: KeyManager }, plan: Plan): Life {
  let armed = false;
  let calls = 0;
  let met: string | undefined;
  let isDead = false;
  let die: (word: "killed") => void = () => {};
  const killed = new Promise<"killed">((resolve) => {
    die = resolve;
  });
  const never = <T>(): Promise<T> => new Promise<T>(() => {});
  const kill = <T>(): Promise<T> => {
    isDead = true;
    die("killed");
    return never<T>();
  };
  const call = async <T>(name: string, work: () => Promise<T>, failure: (stored: boolean) => Error): Promise<T> => {
    if (isDead) return never<T>();
    if (!armed || ++calls !== plan.at) {
      const result = await work();
      return isDead ? never<T>() : result;
    }
    met = name;
    switch (plan.kind) {
      case "killed before":
        return kill<T>();
      case "killed after":
        await work();
        return kill<T>();
      case "failed, not stored":
        throw failure(false);
      case "failed, but stored":
        await work();
        throw failure(true);
    }
  };
  const storeFailure = (stored: boolean): Error =>
    stored ? new StoreError("in_doubt", "nobody knows") : new StoreError("unavailable", "the disk is full");
  const keyFailure = (): Error => new KeyError("unavailable", "the key disk is full");
  const { store, keys } = held;
  return {
    killed,
    met: () => met,
    calls: () => calls,
    arm: () => {
      armed = true;
    },
    store: {
      kind: store.kind,
      get: (collection, key) => call(`store.get ${collection.name}`, () => store.get(collection, key), storeFailure),
      commit: (ops): Promise<CommitResult> =>
        call(`store.commit ${ops[0]?.collection.name ?? ""}`, () => store.commit(ops), storeFailure),
      scan: async function* (collection, index, range, options) {
        await call(`store.scan ${collection.name}`, async () => undefined, storeFailure);
        yield* store.scan(collection, index, range, options);
      },
      stats: () => store.stats(),
      health: () => store.health(),
      close: () => Promise.resolve(),
    },
    keys: {
      encrypted: keys.encrypted,
      create: (name, type) => call(`keys.create ${name}`, () => keys.create(name, type), keyFailure).then(signing),
      open: (name) => call(`keys.open ${name}`, () => keys.open(name), keyFailure).then(signing),
      list: () => call("keys.list", () => keys.list(), keyFailure),
      destroy: (name) => call(`keys.destroy ${name}`, () => keys.destroy(name), keyFailure),
    },
  };
  function signing(handle: KeyHandle): KeyHandle {
    return {
      name: handle.name,
      type: handle.type,
      spkiDer: handle.spkiDer,
      sign: (octets) => call("key.sign", async () => handle.sign(octets), keyFailure),
    };
  }
}
