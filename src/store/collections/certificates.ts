import { headerAndBytes } from "../json-codec.ts";
import { type Row, rowAndBytes } from "../row-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

/** An issued leaf: what it says, who asked for it, by which entry. Times are Unix milliseconds. */
export interface CertificateRecord {
  readonly serialHex: string;
  /** Name of the authority that signed, and its subject key identifier in hex. */
  readonly authority: string;
  readonly authorityKeyId: string;
  readonly spiffeId: string;
  readonly profile: string;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly issuedAt: number;
  readonly ttlSeconds: number;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string;
  /** Who asked: a SPIFFE ID, or "server". */
  readonly caller: string;
  readonly protocol: string;
  readonly entryId?: string;
  readonly entryRevision?: number;
  readonly limitedBy?: "authority";
  readonly der: Uint8Array;
}

/** Serial first, so that a serial finds its certificate whatever authority signed it. */
export function certificateKey(serialHex: string, authority: string): string {
  return `${serialHex}/${authority}`;
}

/** Members in the order of version 2. Version 1 was a JSON object. */
const row: Row<CertificateRecord, "der"> = {
  serialHex: true,
  authority: true,
  authorityKeyId: true,
  spiffeId: true,
  profile: true,
  notBefore: true,
  notAfter: true,
  issuedAt: true,
  ttlSeconds: true,
  dnsNames: true,
  ipAddresses: true,
  spkiSha256: true,
  caller: true,
  protocol: true,
  entryId: true,
  entryRevision: true,
  limitedBy: true,
};

export const certificates: Collection<CertificateRecord> = {
  name: "certificates",
  key: (record) => certificateKey(record.serialHex, record.authority),
  indexes: {
    id: (record) => [[idKey(record.spiffeId), record.notAfter]],
    authority: (record) => [[record.authority, record.notAfter]],
    ends: (record) => [[record.notAfter]],
  },
  version: 2,
  ...rowAndBytes<CertificateRecord, "der">(row, "der", { version: 2, older: headerAndBytes("der") }),
};
