import { type AuthorityRecord, authorities } from "../store/collections/authorities.ts";
import { expectRevision, type Op, type Stored } from "../store/store.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";

/** An authority as it was read: record, its revision, and the certificate that it holds. */
export interface Authority {
  readonly record: AuthorityRecord;
  readonly revision: number;
  readonly certificate: Certificate;
}

export function authorityOf(stored: Stored<AuthorityRecord>): Authority {
  return {
    record: stored.value,
    revision: stored.revision,
    certificate: parseCertificate(stored.value.certificateDer),
  };
}

/** The condition that an authority is in the state in which it was read. */
export function expectAuthority(authority: Authority): Op {
  return expectRevision(authorities, authority.record.name, authority.revision);
}

/** Signs leaves, or may still have to sign CRLs for those it signed. */
export function isCurrent(authority: Authority): boolean {
  const { state } = authority.record;
  return state === "prepared" || state === "active" || state === "old" || state === "tainted";
}
