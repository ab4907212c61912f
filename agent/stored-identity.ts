// A held identity as JSON, for the agent's own files.
import { z } from "zod";
import { parseSpiffeId } from "../src/spiffe/id.ts";
import type { HeldIdentity } from "./identities/held-identity.ts";

/** A held identity as it stands in a file: octets in base64, times as RFC 3339, 64-bit numbers as text. */
export interface StoredIdentity {
  readonly spiffeId: string;
  readonly chain: readonly string[];
  readonly key: string;
  readonly serialHex: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly ttlSeconds: number;
  readonly obtainedAt: string;
  readonly renewAt: string;
  readonly jitter: number;
  readonly authority: string;
  readonly limitedByAuthority: boolean;
  readonly entryId: string;
  readonly entryRevision: string;
}

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/);
const time = z.iso.datetime();

/** Reads a stored identity. */
export const storedIdentity: z.ZodType<StoredIdentity> = z.object({
  spiffeId: z.string(),
  chain: z.array(base64).min(1).max(16),
  key: base64,
  serialHex: z.string().regex(/^[0-9a-f]{2,40}$/),
  notBefore: time,
  notAfter: time,
  ttlSeconds: z.number().int().positive(),
  obtainedAt: time,
  renewAt: time,
  jitter: z.number().min(-1).max(1),
  authority: z.string(),
  limitedByAuthority: z.boolean(),
  entryId: z.string(),
  entryRevision: z.string().regex(/^\d{1,20}$/),
});

/** Makes the JSON value of a held identity. It holds the private key. */
export function toStored(held: HeldIdentity): StoredIdentity {
  return {
    spiffeId: held.spiffeId,
    chain: held.chainDer.map((der) => Buffer.from(der).toString("base64")),
    key: Buffer.from(held.keyDer).toString("base64"),
    serialHex: held.serialHex,
    notBefore: held.notBefore.toISOString(),
    notAfter: held.notAfter.toISOString(),
    ttlSeconds: held.ttlSeconds,
    obtainedAt: held.obtainedAt.toISOString(),
    renewAt: held.renewAt.toISOString(),
    jitter: held.jitter,
    authority: held.authority,
    limitedByAuthority: held.limitedByAuthority,
    entryId: held.entryId,
    entryRevision: String(held.entryRevision),
  };
}

/** The held identity of what was read. Throws SpiffeError when its ID is none. */
export function fromStored(stored: StoredIdentity): HeldIdentity {
  return {
    spiffeId: parseSpiffeId(stored.spiffeId),
    chainDer: stored.chain.map(octets),
    keyDer: octets(stored.key),
    serialHex: stored.serialHex,
    notBefore: new Date(stored.notBefore),
    notAfter: new Date(stored.notAfter),
    ttlSeconds: stored.ttlSeconds,
    obtainedAt: new Date(stored.obtainedAt),
    renewAt: new Date(stored.renewAt),
    jitter: stored.jitter,
    authority: stored.authority,
    limitedByAuthority: stored.limitedByAuthority,
    entryId: stored.entryId,
    entryRevision: BigInt(stored.entryRevision),
  };
}

/** Octets of base64 text. */
export function octets(base64Text: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64Text, "base64"));
}
