// Step 5 of the issuing line: the durable record, and the one class that may leave the process.
import { type AuditDeps, audited } from "../audit/audit.ts";
import type { Authority } from "../authority/authority.ts";
import { expectAuthority } from "../authority/authority.ts";
import { commit } from "../registry/committed.ts";
import { expectDevice } from "../registry/devices.ts";
import { expectEntry } from "../registry/entries.ts";
import { expectNode } from "../registry/nodes.ts";
import { type CertificateRecord, certificates } from "../store/collections/certificates.ts";
import { devices } from "../store/collections/devices.ts";
import { nodes } from "../store/collections/nodes.ts";
import { type Op, putIfAbsent, type Store } from "../store/store.ts";
import { type Caller, callerName } from "./caller.ts";
import type { IssueRequest } from "./issue.ts";
import type { Signed } from "./stages.ts";

/** A certificate that is durably recorded: the only form in which one is handed out. */
class RecordedCertificate {
  readonly #commit: number;
  readonly record: CertificateRecord;
  readonly issuer: Authority;
  constructor(commitRevision: number, record: CertificateRecord, issuer: Authority) {
    this.#commit = commitRevision;
    this.record = record;
    this.issuer = issuer;
  }
  /** The revision that the store gave the record. */
  get revision(): number {
    return this.#commit;
  }
  /** Leaf, then its intermediate, DER, without the root. */
  get chainDer(): readonly Uint8Array[] {
    return [this.record.der, this.issuer.certificate.raw];
  }
}
/** Only the type leaves this file, so nobody else can make one. */
export type Recorded = RecordedCertificate;

export interface RecordDeps extends AuditDeps {
  readonly store: Store;
}

/**
 * Commits certificate, audit event, what goes together with it, and the conditions it was decided by. Resolves once that
 * is durable; to undefined when a condition failed. Throws CaError "unavailable", "in_doubt".
 */
export async function record(
  deps: RecordDeps,
  signed: Signed,
  context: { readonly caller: Caller; readonly request: IssueRequest; readonly now: Date },
): Promise<Recorded | undefined> {
  const { caller, request, now } = context;
  const held = certificateRecord(signed, callerName(caller), request.protocol, now);
  const together = (await request.together?.(held)) ?? [];
  const ops: Op[] = [
    putIfAbsent(certificates, held),
    audited(
      deps,
      { name: callerName(caller), reason: "" },
      {
        at: now,
        action: "certificate.issue",
        subject: held.serialHex,
        after: { spiffeId: held.spiffeId, authority: held.authority, notAfter: held.notAfter },
      },
    ),
    expectAuthority(signed.issuer),
    ...together,
  ];
  if (signed.entry !== undefined) ops.push(expectEntry(signed.entry));
  // A node record that the commit itself changes carries its own condition.
  if (signed.node !== undefined && !together.some((op) => op.collection.name === nodes.name)) {
    ops.push(expectNode(signed.node));
  }
  if (signed.device !== undefined && !together.some((op) => op.collection.name === devices.name)) {
    ops.push(expectDevice(signed.device));
  }
  const result = await commit(deps.store, ops);
  return result.done ? new RecordedCertificate(result.revisions[0] ?? 0, held, signed.issuer) : undefined;
}

function certificateRecord(signed: Signed, caller: string, protocol: string, now: Date): CertificateRecord {
  return {
    serialHex: signed.serialHex,
    authority: signed.issuer.record.name,
    authorityKeyId: signed.issuer.record.keyId,
    spiffeId: signed.id,
    profile: signed.profile.name,
    notBefore: signed.notBefore.getTime(),
    notAfter: signed.notAfter.getTime(),
    issuedAt: now.getTime(),
    ttlSeconds: signed.ttlSeconds,
    dnsNames: signed.dnsNames,
    ipAddresses: signed.ipAddresses,
    spkiSha256: signed.csr.spkiSha256,
    caller,
    protocol,
    ...(signed.entry === undefined
      ? {}
      : { entryId: signed.entry.value.entryId, entryRevision: signed.entry.revision }),
    ...(signed.limitedBy === undefined ? {} : { limitedBy: signed.limitedBy }),
    der: signed.der,
  };
}
