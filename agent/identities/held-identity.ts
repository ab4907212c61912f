import type { SpiffeId } from "../../src/spiffe/id.ts";

/** A certificate with its key and what the agent knows of it. Never changed; the next one takes its place. */
export interface HeldIdentity {
  readonly spiffeId: SpiffeId;
  /** Leaf, then intermediates, without the root. */
  readonly chainDer: readonly Uint8Array[];
  /** PKCS#8. */
  readonly keyDer: Uint8Array;
  /** Lower-case hex. */
  readonly serialHex: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The life that was granted, counted from the moment of issue. */
  readonly ttlSeconds: number;
  /** By this clock, just before it was asked for. */
  readonly obtainedAt: Date;
  readonly renewAt: Date;
  /** In [-1, 1], drawn once for this certificate. */
  readonly jitter: number;
  readonly authority: string;
  readonly limitedByAuthority: boolean;
  readonly entryId: string;
  readonly entryRevision: bigint;
}

/** What an entry says that the agent needs. */
export interface AgentEntry {
  readonly entryId: string;
  readonly spiffeId: SpiffeId;
  readonly selectors: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlSeconds: number;
  readonly hint: string;
  readonly revision: bigint;
}

/** True once the certificate is no longer valid; its last second counts in. RFC 5280 4.1.2.5. */
export function hasEnded(held: Pick<HeldIdentity, "notAfter">, now: Date): boolean {
  return now.getTime() > held.notAfter.getTime();
}
