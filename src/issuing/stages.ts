// The stages of a certificate on the issuing line. Each is a type of its own that only the step before can make, so a
// step that is left out does not compile.

import type { Authority } from "../authority/authority.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { DeviceRecord } from "../store/collections/devices.ts";
import type { EntryRecord } from "../store/collections/entries.ts";
import type { NodeRecord } from "../store/collections/nodes.ts";
import type { Stored } from "../store/store.ts";
import type { ParsedCsr } from "../x509/csr.ts";
import type { Profile } from "./profile/profile.ts";

declare const allowed: unique symbol;
declare const unsigned: unique symbol;
declare const signed: unique symbol;

/** Step 2: what the certificate will hold. Names are those of the entry, never of the CSR. */
export interface Allowed {
  readonly [allowed]: true;
  readonly csr: ParsedCsr;
  readonly profile: Profile;
  readonly issuer: Authority;
  readonly id: SpiffeId;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlSeconds: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly limitedBy: "authority" | undefined;
  /** What this was decided by; the commit expects it unchanged. */
  readonly entry: Stored<EntryRecord> | undefined;
  readonly node: Stored<NodeRecord> | undefined;
  readonly device: Stored<DeviceRecord> | undefined;
}

/** Step 3: the octets to sign. */
export interface Unsigned extends Omit<Allowed, typeof allowed> {
  readonly [unsigned]: true;
  readonly serialHex: string;
  readonly tbs: Uint8Array;
  /** AlgorithmIdentifier of the signature, DER. */
  readonly algorithmDer: Uint8Array;
}

/** Step 4: a certificate that nobody knows of yet. It must not leave the process. */
export interface Signed extends Omit<Unsigned, typeof unsigned> {
  readonly [signed]: true;
  readonly der: Uint8Array;
}

export type AllowedFields = Omit<Allowed, typeof allowed>;
export type UnsignedFields = Omit<Unsigned, typeof unsigned>;
export type SignedFields = Omit<Signed, typeof signed>;
