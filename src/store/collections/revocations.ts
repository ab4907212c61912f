import type { RevocationReason } from "../../x509/crl.ts";
import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** A revoked certificate, or with serial * all of an authority. Unix milliseconds. */
export interface RevocationRecord {
  readonly authorityKeyId: string;
  readonly serialHex: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hex: this key is never signed again. Empty for serial *. */
  readonly spkiSha256: string;
  /** When the certificate ends: after that the deny list need not carry it. */
  readonly notAfter: number;
  readonly revokedAt: number;
  readonly reason: RevocationReason;
}

export function revocationKey(authorityKeyId: string, serialHex: string): string {
  return `${authorityKeyId}/${serialHex}`;
}

export const revocations: Collection<RevocationRecord> = {
  name: "revocations",
  key: (record) => revocationKey(record.authorityKeyId, record.serialHex),
  indexes: {
    ends: (record) => [[record.notAfter]],
    spki: (record) => (record.spkiSha256 === "" ? [] : [[record.spkiSha256]]),
  },
  version: 1,
  ...jsonCodec<RevocationRecord>(),
};
