// The steps of the issuing line, built from what they need. wire.ts may wrap each to count and to time it.

import type { Authority } from "../authority/authority.ts";
import { currentIssuer, type TrustState } from "../authority/trust-state.ts";
import type { KeyManager } from "../keys/key-manager.ts";
import type { Random } from "../platform/random.ts";
import { CaError } from "../registry/ca-error.ts";
import { storeFailure } from "../registry/committed.ts";
import { getDeviceClass } from "../registry/device-classes.ts";
import { findDevice } from "../registry/devices.ts";
import { findEntry } from "../registry/entries.ts";
import { findNode } from "../registry/nodes.ts";
import { type EntryRecord, entries } from "../store/collections/entries.ts";
import { idKey } from "../store/collections/id-key.ts";
import type { Store } from "../store/store.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { type ParsedCsr, parseCsr } from "../x509/csr.ts";
import { X509Error } from "../x509/errors.ts";
import { lintLeaf } from "../x509/lint.ts";
import { serialFromRandom, serialHex } from "../x509/serial.ts";
import { assemble, fillLeaf, type LeafTemplate, leafTemplate } from "../x509/template.ts";
import type { Caller } from "./caller.ts";
import type { IssueRequest, IssueSteps } from "./issue.ts";
import { decide } from "./policy/decide.ts";
import type { Facts } from "./policy/facts.ts";
import { deviceProfile, type Profile, type ProfileName } from "./profile/profile.ts";
import { record } from "./record.ts";
import type { Allowed, Signed, SignedFields, Unsigned, UnsignedFields } from "./stages.ts";

export interface LineDeps {
  readonly store: Store;
  readonly keys: KeyManager;
  readonly random: Random;
  readonly state: TrustState;
  readonly profiles: { readonly [name in ProfileName]: Profile };
  readonly serverNames: ReadonlySet<string>;
  readonly ownDnsNames: readonly string[];
  readonly ownIpAddresses: readonly string[];
  /** Whether a certificate over the key with this SHA-256 was revoked. */
  readonly keyWasRevoked: (spkiSha256: string) => boolean | Promise<boolean>;
}

export function createLine(deps: LineDeps): IssueSteps {
  const templates = createTemplates();
  return {
    parse,
    look: (caller, request, csr, now) => look(deps, { caller, request, now, csr }),
    decide,
    build: (allowed) => build(allowed, templates, deps.random),
    sign: (unsigned) => sign(unsigned, deps.keys),
    record: async (signed, caller, request, now) => {
      const recorded = await record(deps, signed, { caller, request, now });
      // The next attempt must not be decided by what this one was, such as an authority that signs no more.
      if (recorded === undefined) await deps.state.reload();
      return recorded;
    },
  };
}

/** Parses and verifies proof of possession. Throws CaError "bad_request" with what is wrong. */
function parse(csrDer: Uint8Array): ParsedCsr {
  try {
    return parseCsr(csrDer);
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    throw new CaError(error.code === "too_large" ? "too_large" : "bad_request", error.message, { cause: error });
  }
}

/** Reads all that the decision rests on. Without a CSR (explain) the key is not looked at. */
export async function look(
  deps: LineDeps,
  asked: {
    readonly caller: Caller;
    readonly request: Pick<IssueRequest, "profile" | "id" | "ttlSeconds">;
    readonly now: Date;
    readonly csr: ParsedCsr | undefined;
  },
): Promise<Facts> {
  const { caller, request, now, csr } = asked;
  const view = deps.state.view();
  try {
    const device = request.profile === "device" ? await deviceOf(deps.store, request.id) : undefined;
    const profile = device === undefined ? deps.profiles[request.profile] : deviceProfile(device.deviceClass);
    const entry =
      profile.name === "workload" && caller.kind === "agent"
        ? await findEntry(deps.store, caller.id, request.id)
        : undefined;
    return {
      now,
      trustDomain: view.trustDomain,
      caller,
      profile,
      id: request.id,
      entry,
      entryOfOther:
        profile.name === "workload" && entry === undefined ? await anyEntry(deps.store, request.id) : undefined,
      node: caller.kind === "agent" ? await findNode(deps.store, caller.id) : undefined,
      device,
      issuer: currentIssuer(view, profile.serves),
      ttlSeconds: request.ttlSeconds,
      serverNames: deps.serverNames,
      ownDnsNames: profile.name === "server" ? deps.ownDnsNames : [],
      ownIpAddresses: profile.name === "server" ? deps.ownIpAddresses : [],
      keyRevoked: csr !== undefined && (await deps.keyWasRevoked(csr.spkiSha256)),
    };
  } catch (error) {
    throw storeFailure(error);
  }
}

async function deviceOf(store: Store, id: string): Promise<Facts["device"]> {
  const record = await findDevice(store, id);
  if (record === undefined) return undefined;
  return { record, deviceClass: await getDeviceClass(store, record.value.deviceClass) };
}

async function anyEntry(store: Store, spiffeId: string): Promise<EntryRecord | undefined> {
  for await (const { value } of store.scan(entries, "id", { prefix: [idKey(spiffeId)] }, { limit: 10 })) {
    if (value.deletedAt === undefined) return value;
  }
  return undefined;
}

/** Templates by authority, profile and key type, made on first use; those of authorities that are gone are dropped. */
type Templates = (issuer: Authority, profile: Profile, csr: ParsedCsr) => LeafTemplate;

const maxTemplates = 64;

function createTemplates(): Templates {
  const made = new Map<string, LeafTemplate>();
  return (issuer, profile, csr) => {
    const key = `${issuer.record.keyId} ${profile.name} ${profile.extendedKeyUsage} ${csr.publicKey.type}`;
    let template = made.get(key);
    if (template === undefined) {
      if (made.size >= maxTemplates) made.clear();
      template = leafTemplate({
        issuer: issuer.certificate,
        extendedKeyUsage: profile.extendedKeyUsage,
        publicKeyType: csr.publicKey.type,
      });
      refuseFindings(template, { issuer, profile, csr });
      made.set(key, template);
    }
    return template;
  };
}

/** Lints the first shape of a template, with a signature that nobody looks at. Throws CaError "internal". */
function refuseFindings(
  template: LeafTemplate,
  { issuer, profile, csr }: { readonly issuer: Authority; readonly profile: Profile; readonly csr: ParsedCsr },
): void {
  const tbs = fillLeaf(template, {
    serial: serialFromRandom(new Uint8Array(16).fill(0x55)),
    notBefore: issuer.certificate.notBefore,
    notAfter: issuer.certificate.notAfter,
    spkiDer: csr.publicKey.der,
    uri: `spiffe://lint.example/${profile.name}`,
    dnsNames: ["lint.example"],
    ipAddresses: ["192.0.2.1"],
  });
  const leaf = parseCertificate(assemble(tbs, template.signatureAlgorithmDer, new Uint8Array(64)));
  const findings = lintLeaf(leaf, { issuer: issuer.certificate, extendedKeyUsage: profile.extendedKeyUsage });
  if (findings.length > 0)
    throw new CaError(
      "internal",
      `the profile ${profile.name} makes no good certificate: ${findings.map(({ name }) => name).join(", ")}`,
    );
}

function build(allowed: Allowed, templates: Templates, random: Random): Unsigned {
  const { csr, issuer, profile } = allowed;
  const serial = serialFromRandom(random.bytes(16));
  const template = templates(issuer, profile, csr);
  const tbs = fillLeaf(template, {
    serial,
    notBefore: allowed.notBefore,
    notAfter: allowed.notAfter,
    spkiDer: csr.publicKey.der,
    uri: allowed.id,
    dnsNames: allowed.dnsNames,
    ipAddresses: allowed.ipAddresses,
  });
  const fields: UnsignedFields = {
    ...allowed,
    serialHex: serialHex(serial),
    tbs,
    algorithmDer: template.signatureAlgorithmDer,
  };
  return fields as Unsigned;
}

async function sign(unsigned: Unsigned, keys: KeyManager): Promise<Signed> {
  const key = await keys.open(unsigned.issuer.record.name);
  const signature = await key.sign(unsigned.tbs);
  const fields: SignedFields = { ...unsigned, der: assemble(unsigned.tbs, unsigned.algorithmDer, signature) };
  return fields as Signed;
}
