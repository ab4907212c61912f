import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

export const authorityStates = ["prepared", "active", "old", "retired", "tainted", "revoked"] as const;
export type AuthorityState = (typeof authorityStates)[number];
export type AuthorityKind = "root" | "intermediate";
export type Serves = "services" | "devices";

/** A CA certificate with its state. The key stands with the key manager under the authority's name. Unix milliseconds. */
export interface AuthorityRecord {
  /** Can be said on the telephone: root-1, int-2. */
  readonly name: string;
  readonly kind: AuthorityKind;
  readonly state: AuthorityState;
  /** Name of the authority that signed it; its own for a root. */
  readonly parent: string;
  readonly keyType: string;
  /** Subject key identifier, hex. */
  readonly keyId: string;
  readonly certificateDer: Uint8Array;
  /** Which profiles it signs for; roots sign authorities only. */
  readonly serves: readonly Serves[];
  /** False when the key was taken away at `init` or destroyed at retirement. */
  readonly keyHere: boolean;
  readonly preparedAt: number;
  /** The deny-list sequence that brought its first CRL: activation waits until agents have it. */
  readonly announcedBy: bigint;
  /** For a prepared one: when its activation is due; then it still waits for acknowledgements, for a bounded time. */
  readonly activateFrom?: number;
  readonly activatedAt?: number;
  readonly oldAt?: number;
  readonly retiredAt?: number;
}

export const authorities: Collection<AuthorityRecord> = {
  name: "authorities",
  key: (record) => record.name,
  indexes: { keyid: (record) => [[record.keyId]] },
  version: 1,
  ...jsonCodec<AuthorityRecord>(),
};
