import type { KeyObject } from "node:crypto";
import type { TrustBundle } from "../spiffe/bundle.ts";
import type { DenyList } from "../spiffe/deny.ts";
import type { SpiffeId, TrustDomain } from "../spiffe/id.ts";
import type { Certificate } from "../x509/certificate.ts";

/** One identity: who we are, and the proof. Immutable; a renewal makes a new one. */
export interface Identity {
  readonly spiffeId: SpiffeId;
  readonly trustDomain: TrustDomain;
  readonly leaf: Certificate;
  /** DER of leaf and intermediates, without the root. */
  readonly chainDer: readonly Uint8Array[];
  /** The same as PEM. */
  readonly chainPem: string;
  /** The private key as a handle. */
  readonly privateKey: KeyObject;
  readonly notAfter: Date;
}

/**
 * Holds the newest identity, trust bundle and deny list. The three belong together when they are read in one turn of
 * the event loop. An identity that has ended is still answered: look at `notAfter` before use.
 */
export interface Source {
  identity(): Identity;
  bundle(): TrustBundle;
  denied(): DenyList;
  /** Calls `listener` after each change of one of the three; returns what ends that. */
  onChange(listener: () => void): () => void;
  /** Ends watching. What was read stays readable. */
  close(): void;
}
