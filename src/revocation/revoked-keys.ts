// The keys of revoked certificates. The line asks about a new key for every certificate, which in the store would be a
// search each time that finds nothing (up to a third of what an issue costs), so they are in memory too: read in the
// background after a start, never more than a bounded number. Until they are there, and where they are too many, the
// index answers.
import { type RevocationRecord, revocations } from "../store/collections/revocations.ts";
import { type Op, type Store, StoreError } from "../store/store.ts";

export interface RevokedKeys {
  /** Whether a certificate over this key was ever revoked: such a key is never signed again. SHA-256 of the SPKI, hex. */
  readonly keyWasRevoked: (spkiSha256: string) => boolean | Promise<boolean>;
  /** Commits go through this one, so that a revocation holds from the moment it is stored. */
  readonly store: Store;
  /** Reads the keys into memory; ends early on abort. Until it is through the index is asked. */
  readonly fill: (signal: AbortSignal) => Promise<void>;
}

/** Keys in memory, some 10 MiB. */
const maxInMemory = 100_000;

/** Makes the memory of revoked keys, empty; with no revocation in the store it knows all of them. */
export async function withRevokedKeys(store: Store, most: number = maxInMemory): Promise<RevokedKeys> {
  const keys = new Set<string>();
  let knowsAll = ((await store.stats()).counts[revocations.name] ?? 0) === 0;
  const remember = (spkiSha256: string): void => {
    if (spkiSha256 === "" || keys.has(spkiSha256)) return;
    if (keys.size >= most) knowsAll = false;
    else keys.add(spkiSha256);
  };
  return {
    keyWasRevoked: (spkiSha256) => {
      if (keys.has(spkiSha256)) return true;
      return knowsAll ? false : isStored(store, spkiSha256);
    },
    fill: async (signal) => {
      if (knowsAll) return;
      for await (const { value } of store.scan(revocations, "spki")) {
        if (signal.aborted || keys.size >= most) return;
        remember(value.spkiSha256);
      }
      // What was committed meanwhile was remembered by its commit.
      knowsAll = keys.size < most;
    },
    store: {
      kind: store.kind,
      get: (collection, key) => store.get(collection, key),
      scan: (collection, index, range, options) => store.scan(collection, index, range, options),
      stats: () => store.stats(),
      health: () => store.health(),
      close: () => store.close(),
      commit: async (ops) => {
        try {
          const result = await store.commit(ops);
          if (result.done) for (const key of revokedBy(ops)) remember(key);
          return result;
        } catch (error) {
          // It may be stored: denied is the safe side, and the next start knows.
          if (error instanceof StoreError && error.code === "in_doubt") for (const key of revokedBy(ops)) remember(key);
          throw error;
        }
      },
    },
  };
}

async function isStored(store: Pick<Store, "scan">, spkiSha256: string): Promise<boolean> {
  if (spkiSha256 === "") return false;
  for await (const _ of store.scan(revocations, "spki", { prefix: [spkiSha256] }, { limit: 1 })) return true;
  return false;
}

const nothing: readonly string[] = [];

function revokedBy(ops: readonly Op[]): readonly string[] {
  // Nearly every commit issues and revokes nothing.
  if (!ops.some(({ collection }) => collection.name === revocations.name)) return nothing;
  return ops.flatMap((op) =>
    op.collection.name === revocations.name && (op.kind === "put_if_absent" || op.kind === "update")
      ? [(op.value as RevocationRecord).spkiSha256]
      : [],
  );
}
