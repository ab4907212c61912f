// The keys of revoked certificates, in memory: the line asks about a new key for every certificate, which in the store
// would be a search each time that finds nothing (up to a third of what an issue costs).
import { type RevocationRecord, revocations } from "../store/collections/revocations.ts";
import { type Op, type Store, StoreError } from "../store/store.ts";

export interface RevokedKeys {
  /** Whether a certificate over this key was ever revoked: such a key is never signed again. SHA-256 of the SPKI, hex. */
  readonly keyWasRevoked: (spkiSha256: string) => boolean;
  /** Commits go through this one, so that a revocation holds from the moment it is stored. */
  readonly store: Store;
}

/** Reads the keys revoked so far, and learns of each further one from the commits. */
export async function withRevokedKeys(store: Store): Promise<RevokedKeys> {
  const keys = new Set<string>();
  for await (const { value } of store.scan(revocations, "spki")) keys.add(value.spkiSha256);
  return {
    keyWasRevoked: (spkiSha256) => keys.has(spkiSha256),
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
          if (result.done) learn(keys, ops);
          return result;
        } catch (error) {
          // It may be stored: denied is the safe side, and the next start knows.
          if (error instanceof StoreError && error.code === "in_doubt") learn(keys, ops);
          throw error;
        }
      },
    },
  };
}

function learn(keys: Set<string>, ops: readonly Op[]): void {
  for (const op of ops) {
    if (op.collection.name !== revocations.name || (op.kind !== "put_if_absent" && op.kind !== "update")) continue;
    const { spkiSha256 } = op.value as RevocationRecord;
    if (spkiSha256 !== "") keys.add(spkiSha256);
  }
}
