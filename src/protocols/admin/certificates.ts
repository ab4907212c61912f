import type { AdminServiceServer, CertificateRecord as WireRecord } from "../../../proto/gen/signet/v1/admin.ts";
import { RevocationReason as WireReason } from "../../../proto/gen/signet/v1/admin.ts";
import type { Caller } from "../../issuing/caller.ts";
import { look } from "../../issuing/line.ts";
import { explain } from "../../issuing/policy/decide.ts";
import { lifeOf } from "../../issuing/policy/life.ts";
import type { ProfileName } from "../../issuing/profile/profile.ts";
import { CaError } from "../../registry/ca-error.ts";
import { wholeId } from "../../registry/entries.ts";
import { kindOf } from "../../spiffe/kind.ts";
import { type CertificateRecord, certificates } from "../../store/collections/certificates.ts";
import { idKey } from "../../store/collections/id-key.ts";
import { type RevocationRecord, revocationKey, revocations } from "../../store/collections/revocations.ts";
import type { Stored } from "../../store/store.ts";
import type { RevocationReason } from "../../x509/crl.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import type { AdminDeps } from "./handler.ts";
import { agentIdOf } from "./ids.ts";
import { continued, page, pageSize } from "./paging.ts";

export function certificateMethods(
  deps: AdminDeps,
): Pick<AdminServiceServer, "listCertificates" | "getCertificate" | "explain"> {
  return {
    listCertificates: unary(deps, grpcTable, async (request) => {
      const from = request.live ? { from: [deps.clock.now().getTime()] } : {};
      const options = { reverse: true, ...continued(request.pageToken) };
      const scan =
        request.spiffeId !== ""
          ? deps.store.scan(
              certificates,
              "id",
              { prefix: [idKey(wholeId(deps.trustDomain, request.spiffeId))], ...from },
              options,
            )
          : request.authority !== ""
            ? deps.store.scan(certificates, "authority", { prefix: [request.authority], ...from }, options)
            : deps.store.scan(certificates, "ends", from, options);
      const found = await page(scan, pageSize(request.pageSize));
      return {
        certificates: await recordsToWire(
          deps,
          found.items.map(({ value }) => value),
        ),
        nextPageToken: found.next,
      };
    }),
    getCertificate: unary(deps, grpcTable, async (request) => {
      const { value } = await certificateNamed(deps, request.serialHex);
      const [certificate] = await recordsToWire(deps, [value]);
      return { certificate };
    }),
    explain: unary(deps, grpcTable, async (request) => {
      const id = wholeId(deps.trustDomain, request.id);
      const kind = kindOf(id);
      const ofItself = kind === "agent" || kind === "server" || (kind === "device" && request.agent === "");
      const profile: ProfileName = ofItself ? kind : "workload";
      const presented = { id, serialHex: "", authorityKeyId: "" };
      const caller: Caller =
        profile === "server"
          ? { kind: "server", id }
          : profile === "device"
            ? { kind: "device", ...presented }
            : {
                kind: "agent",
                id: profile === "agent" && request.agent === "" ? id : agentIdOf(deps, request.agent),
                serialHex: "",
                authorityKeyId: "",
              };
      const csr = request.csrDer.length === 0 ? undefined : deps.steps.parse(request.csrDer);
      const facts = await look(deps.line, { caller, request: { profile, id }, now: deps.clock.now(), csr });
      const steps = explain(csr, facts).map(({ rule, passed, detail, cure }) => ({
        rule,
        passed,
        detail,
        cure: cure ?? "",
      }));
      return {
        allowed: steps.every(({ passed }) => passed),
        steps,
        spiffeId: id,
        dnsNames: [...(facts.entry?.value.dnsNames ?? facts.ownDnsNames)],
        ipAddresses: [...(facts.entry?.value.ipAddresses ?? facts.ownIpAddresses)],
        ttlSeconds: lifeOf(facts)?.grantedSeconds ?? 0,
        authority: facts.issuer?.record.name ?? "",
        entryId: facts.entry?.value.entryId ?? "",
      };
    }),
  };
}

/** The certificate whose serial begins with these digits, 8 at least. Throws "bad_request", "not_found", "conflict". */
export async function certificateNamed(
  deps: Pick<AdminDeps, "store">,
  text: string,
): Promise<Stored<CertificateRecord>> {
  const serial = text.toLowerCase().replaceAll(":", "");
  if (!/^[0-9a-f]{8,40}$/.test(serial)) {
    throw new CaError("bad_request", "a serial is named by its hex digits, the first 8 at least");
  }
  const range = { from: [serial], to: [`${serial}g`] };
  const [found, other] = await Array.fromAsync(deps.store.scan(certificates, "key", range, { limit: 2 }));
  if (found === undefined) {
    throw new CaError("not_found", `no certificate with the serial ${serial} is recorded`, {
      cure: "signet cert list",
    });
  }
  if (other !== undefined) {
    const names = `${found.value.serialHex}, ${other.value.serialHex}`;
    throw new CaError("conflict", `several serials begin with ${serial}: ${names}`, {
      cure: `signet cert show ${found.value.serialHex}`,
    });
  }
  return found;
}

const wireReasons: { readonly [reason in RevocationReason]: WireReason } = {
  unspecified: WireReason.REVOCATION_REASON_UNSPECIFIED,
  keyCompromise: WireReason.REVOCATION_REASON_KEY_COMPROMISE,
  cACompromise: WireReason.REVOCATION_REASON_KEY_COMPROMISE,
  affiliationChanged: WireReason.REVOCATION_REASON_AFFILIATION_CHANGED,
  superseded: WireReason.REVOCATION_REASON_SUPERSEDED,
  cessationOfOperation: WireReason.REVOCATION_REASON_CESSATION_OF_OPERATION,
  certificateHold: WireReason.REVOCATION_REASON_UNSPECIFIED,
  removeFromCRL: WireReason.REVOCATION_REASON_UNSPECIFIED,
  privilegeWithdrawn: WireReason.REVOCATION_REASON_PRIVILEGE_WITHDRAWN,
  aACompromise: WireReason.REVOCATION_REASON_KEY_COMPROMISE,
};

/** Certificates as they travel, each with its revocation. */
export function recordsToWire(
  deps: Pick<AdminDeps, "store">,
  records: readonly CertificateRecord[],
): Promise<WireRecord[]> {
  return Promise.all(
    records.map(async (record) => {
      const key = revocationKey(record.authorityKeyId, record.serialHex);
      return recordToWire(record, (await deps.store.get(revocations, key))?.value);
    }),
  );
}

function recordToWire(record: CertificateRecord, revocation: RevocationRecord | undefined): WireRecord {
  return {
    serialHex: record.serialHex,
    spiffeId: record.spiffeId,
    profile: record.profile,
    authority: record.authority,
    authorityKeyId: record.authorityKeyId,
    notBefore: new Date(record.notBefore),
    notAfter: new Date(record.notAfter),
    issuedAt: new Date(record.issuedAt),
    ttlSeconds: record.ttlSeconds,
    dnsNames: [...record.dnsNames],
    ipAddresses: [...record.ipAddresses],
    caller: record.caller,
    protocol: record.protocol,
    entryId: record.entryId ?? "",
    entryRevision: BigInt(record.entryRevision ?? 0),
    limitedBy: record.limitedBy ?? "",
    certificateDer: Buffer.from(record.der),
    revocationReason: wireReasons[revocation?.reason ?? "unspecified"],
    ...(revocation === undefined ? {} : { revokedAt: new Date(revocation.revokedAt) }),
  };
}
