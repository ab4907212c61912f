// A held identity as JSON, for the agent's own files: octets in base64, times as RFC 3339, 64-bit numbers as text.
import { parseSpiffeId } from "../src/spiffe/id.ts";
import type { HeldIdentity } from "./identities/held-identity.ts";
import type { JsonFields } from "./json-fields.ts";

/** Makes the JSON value of a held identity. It holds the private key. */
export function toStored(held: HeldIdentity): Readonly<Record<string, unknown>> {
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

/** Reads what toStored() made. Throws DamagedFile, and SpiffeError when the ID is none. */
export function fromStored(stored: JsonFields): HeldIdentity {
  return {
    spiffeId: parseSpiffeId(stored.text("spiffeId")),
    chainDer: stored.octetsList("chain"),
    keyDer: stored.octets("key"),
    serialHex: stored.text("serialHex", /^[0-9a-f]{2,40}$/),
    notBefore: stored.time("notBefore"),
    notAfter: stored.time("notAfter"),
    ttlSeconds: stored.number("ttlSeconds"),
    obtainedAt: stored.time("obtainedAt"),
    renewAt: stored.time("renewAt"),
    jitter: stored.number("jitter"),
    authority: stored.text("authority"),
    limitedByAuthority: stored.flag("limitedByAuthority"),
    entryId: stored.text("entryId"),
    entryRevision: stored.number64("entryRevision"),
  };
}
