// Facts and CSRs for tests of the decision: good defaults, of which a test overrides one.
import type { Authority } from "../../../src/authority/authority.ts";
import type { Facts } from "../../../src/issuing/policy/facts.ts";
import { type Profile, type ProfileName, profiles } from "../../../src/issuing/profile/profile.ts";
import { parseSpiffeId, parseTrustDomain, type SpiffeId, type TrustDomain } from "../../../src/spiffe/id.ts";
import type { AuthorityRecord } from "../../../src/store/collections/authorities.ts";
import type { EntryRecord } from "../../../src/store/collections/entries.ts";
import type { NodeRecord } from "../../../src/store/collections/nodes.ts";
import type { Stored } from "../../../src/store/store.ts";
import type { Certificate } from "../../../src/x509/certificate.ts";
import { type ParsedCsr, parseCsr } from "../../../src/x509/csr.ts";
import { subjectAltNameExtension } from "../../../src/x509/extensions.ts";
import { dnsName, ipName, uriName } from "../../../src/x509/general-name.ts";
import { buildCa } from "../../fakes/build-ca.ts";
import { extensionRequest, requestOf } from "../x509/build-request.ts";

const ca = buildCa();

export const now: Date = ca.at;
const trustDomain: TrustDomain = parseTrustDomain("prod.example");
export const agentOne: SpiffeId = parseSpiffeId("spiffe://prod.example/agent/one");
export const svcA: SpiffeId = parseSpiffeId("spiffe://prod.example/svc/a");

export function profile(name: ProfileName): Profile {
  return profiles({ serverSeconds: 86_400, agentSeconds: 86_400, workloadSeconds: 3600 })[name];
}

export function authority(
  certificate: Certificate = ca.intermediate,
  fields: Partial<AuthorityRecord> = {},
): Authority {
  const record: AuthorityRecord = {
    name: "int-1",
    kind: "intermediate",
    state: "active",
    parent: "root-1",
    keyType: "ec-p256",
    keyId: certificate.subjectKeyId ?? "",
    certificateDer: certificate.raw,
    serves: ["services"],
    keyHere: true,
    preparedAt: now.getTime(),
    announcedBy: 1n,
    ...fields,
  };
  return { record, revision: 7, certificate };
}

export function entryOf(fields: Partial<EntryRecord> = {}): Stored<EntryRecord> {
  const value: EntryRecord = {
    entryId: "e-1",
    spiffeId: svcA,
    agentId: agentOne,
    selectors: [],
    dnsNames: ["a.prod.example"],
    ipAddresses: ["192.0.2.7"],
    ttlSeconds: 3600,
    hint: "",
    createdAt: 0,
    updatedAt: 0,
    createdBy: "local",
    ...fields,
  };
  return { value, revision: 3 };
}

export function nodeOf(fields: Partial<NodeRecord> = {}): Stored<NodeRecord> {
  const value: NodeRecord = {
    agentId: agentOne,
    state: "member",
    attestation: "join_string",
    joinedAt: 0,
    serialHex: "55".repeat(16),
    authority: "int-1",
    notAfter: now.getTime() + 3_600_000,
    spkiSha256: "00".repeat(32),
    joinedFrom: "192.0.2.1:1",
    ...fields,
  };
  return { value, revision: 2 };
}

/** What is true when the agent `one` asks for /svc/a by a good entry. */
export function factsOf(fields: Partial<Facts> = {}): Facts {
  return {
    now,
    trustDomain,
    caller: { kind: "agent", id: agentOne, serialHex: "55".repeat(16), authorityKeyId: "aa" },
    profile: profile("workload"),
    id: svcA,
    entry: entryOf(),
    entryOfOther: undefined,
    node: nodeOf(),
    device: undefined,
    issuer: authority(),
    ttlSeconds: undefined,
    serverNames: new Set(["ca.prod.example", "192.0.2.100"]),
    ownDnsNames: [],
    ownIpAddresses: [],
    keyRevoked: false,
    ...fields,
  };
}

export interface AskedNames {
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  readonly ips?: readonly string[];
}

/** A CSR that asks for these names; without any it has no such extension. */
export function csrFor({ uris = [], dns = [], ips = [] }: AskedNames = {}): ParsedCsr {
  const names = [...uris.map(uriName), ...dns.map(dnsName), ...ips.map(ipName)];
  return parseCsr(
    requestOf({ attributes: names.length === 0 ? [] : [extensionRequest(subjectAltNameExtension(names, true))] }),
  );
}

/** A CSR that asks for these extensions. */
export function csrWith(...extensions: readonly Uint8Array[]): ParsedCsr {
  return parseCsr(requestOf({ attributes: [extensionRequest(...extensions)] }));
}
