// The next CRL of an authority: its number follows the stored one, and it holds every revocation that the store knows.
import type { Authority } from "../authority/authority.ts";
import type { RotationDeps } from "../authority/rotation.ts";
import { signCrl } from "../authority/sign-crl.ts";
import { type CrlRecord, crls } from "../store/collections/crls.ts";
import { type RevocationRecord, revocations } from "../store/collections/revocations.ts";
import { type Op, putIfAbsent, type Stored, update } from "../store/store.ts";
import type { RevokedCertificate } from "../x509/crl.ts";

export type CrlDeps = Pick<RotationDeps, "store" | "keys" | "settings">;

/**
 * The op that puts the next CRL of an authority in the place of the one that is stored; its condition fails when another
 * one came between, so a number is never given twice. `added` are revocations of the same commit. An entry stays until
 * it was on a CRL that begins after its certificate ended. RFC 5280 3.3, 5.2.3.
 */
export async function nextCrlOp(
  deps: CrlDeps,
  authority: Authority,
  content: {
    readonly previous: Stored<CrlRecord> | undefined;
    readonly added: readonly RevocationRecord[];
    readonly now: Date;
  },
): Promise<Op> {
  const { name, kind, keyId } = authority.record;
  const { previous, added, now } = content;
  const from = previous?.value.thisUpdate ?? 0;
  const revoked: RevokedCertificate[] = [];
  const add = (record: RevocationRecord): void => {
    if (record.serialHex === "*" || record.notAfter < from) return;
    revoked.push({ serialHex: record.serialHex, at: new Date(record.revokedAt), reason: record.reason });
  };
  for await (const { value } of deps.store.scan(revocations, "key", { from: [`${keyId}/`], to: [`${keyId}0`] })) {
    add(value);
  }
  for (const record of added) add(record);
  const signed = await signCrl({ name, certificate: authority.certificate }, await deps.keys.open(name), {
    number: (previous?.value.number ?? 0n) + 1n,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + deps.settings.crlLifeSeconds[kind] * 1000),
    revoked,
  });
  return previous === undefined ? putIfAbsent(crls, signed) : update(crls, signed, previous.revision);
}
