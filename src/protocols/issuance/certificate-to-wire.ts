import type { Certificate } from "../../../proto/gen/signet/v1/issuance.ts";
import type { CertificateRecord } from "../../store/collections/certificates.ts";

/** An issued certificate as it travels: chain without the root, and what its holder needs to know. */
export function certificateToWire(
  record: CertificateRecord,
  chainDer: readonly Uint8Array[],
  serverTime: Date,
): Certificate {
  return {
    // Views: the message is written at once, and nobody changes a certificate.
    chainDer: chainDer.map(({ buffer, byteOffset, length }) => Buffer.from(buffer, byteOffset, length)),
    serialHex: record.serialHex,
    spiffeId: record.spiffeId,
    notBefore: new Date(record.notBefore),
    notAfter: new Date(record.notAfter),
    ttlSeconds: record.ttlSeconds,
    authority: record.authority,
    limitedBy: record.limitedBy ?? "",
    entryId: record.entryId ?? "",
    entryRevision: BigInt(record.entryRevision ?? 0),
    serverTime,
  };
}
