// Joining and coming back: what is committed together with the agent's certificate.
//
// | killed                                   | what a restart finds                                             |
// | before the commit                        | the join string is open, no node, no certificate: try again      |
// | after the commit, before the reply       | string bound to the key, node and certificate recorded: the same |
// |                                          | key gets the same certificate until the string ends; who comes   |
// |                                          | back asks again over the same new key and gets another           |
import { createPublicKey, verify } from "node:crypto";
import type { SpiffeId } from "../spiffe/id.ts";
import { recoverTranscript } from "../spiffe/recover-proof.ts";
import { type CertificateRecord, certificateKey, certificates } from "../store/collections/certificates.ts";
import { type NodeRecord, nodes } from "../store/collections/nodes.ts";
import { type RevocationRecord, revocationKey, revocations } from "../store/collections/revocations.ts";
import { type TokenRecord, tokens } from "../store/collections/tokens.ts";
import { type Op, putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import { parseCertificate } from "../x509/certificate.ts";
import type { RevocationReason } from "../x509/crl.ts";
import { CaError } from "./ca-error.ts";
import { findNode, isLive, isRevokedOf, withRevoked } from "./nodes.ts";
import { sha256Hex, type TokenDeps, tokenForUse } from "./tokens.ts";

/** What of a new certificate the records of its holder keep. */
export type IssuedFacts = Pick<
  CertificateRecord,
  "serialHex" | "authority" | "authorityKeyId" | "notAfter" | "spkiSha256"
>;

export interface JoinUse {
  readonly id: SpiffeId;
  readonly secret: Uint8Array;
  readonly spkiSha256: string;
  /** host:port of the peer. */
  readonly from: string;
  /** How the node proved who it is; by default by the secret of the string. */
  readonly by?: NodeRecord["attestation"];
  readonly now: Date;
}

type MemberUse = Pick<JoinUse, "id" | "from" | "by" | "now">;

/**
 * What a join string stands for now. `again` when the same key used it before: that certificate is the answer. Throws
 * the codes of tokenForUse, "agent_alive", "denied" for a banned node.
 */
export async function prepareJoin(
  deps: TokenDeps,
  use: JoinUse,
): Promise<
  | { readonly again: CertificateRecord }
  | {
      readonly token: Stored<TokenRecord>;
      readonly node: Stored<NodeRecord> | undefined;
      /** The string was made to take the place of a node that is a member: what that one holds must be revoked. */
      readonly replaces: boolean;
    }
> {
  const token = await tokenForUse(deps, {
    secret: use.secret,
    subject: use.id,
    spkiSha256: use.spkiSha256,
    now: use.now,
  });
  const node = await findNode(deps.store, use.id);
  refuseBanned(node?.value);
  const { used } = token.value;
  if (used !== undefined) {
    const again = await deps.store.get(certificates, certificateKey(used.serialHex, used.authority));
    if (again === undefined) throw new CaError("internal", "the certificate of a used join string is not recorded");
    if (await revocationOf(deps.store, again.value)) {
      throw new CaError("token_used", "this join string was used, and the certificate that it gave was revoked", {
        rule: "certificate_revoked",
        cure: `signet token create --agent ${use.id.replace(/^.*\/agent\//, "")}`,
      });
    }
    return { again: again.value };
  }
  const replaces = token.value.replace === true && node?.value.state === "member";
  if (node !== undefined && !replaces && isLive({ node: node.value }, use.now)) {
    throw new CaError(
      "agent_alive",
      `${use.id} has joined already and lives until ${new Date(node.value.notAfter).toISOString()}`,
      {
        rule: "agent_alive",
        cure: `signet token create --agent ${use.id.replace(/^.*\/agent\//, "")} --replace`,
      },
    );
  }
  return { token, node, replaces };
}

/**
 * The ops that bind the string to the key and make the node, for the commit of its certificate. `replaced` are
 * certificates of the former node that the same commit revokes.
 */
export function joinOps(
  use: JoinUse,
  prepared: {
    readonly token: Stored<TokenRecord>;
    readonly node: Stored<NodeRecord> | undefined;
    readonly replaced?: readonly CertificateRecord[];
  },
  issued: IssuedFacts,
): readonly Op[] {
  const { token, node, replaced = [] } = prepared;
  const spent: TokenRecord = {
    ...token.value,
    used: {
      at: use.now.getTime(),
      from: use.from,
      spkiSha256: issued.spkiSha256,
      serialHex: issued.serialHex,
      authority: issued.authority,
    },
  };
  const record = withRevoked(nodeRecord(use, issued, use.by ?? "join_string", node?.value), replaced, use.now);
  return [update(tokens, spent, token.revision), nodeOp(node, record)];
}

/** The op that makes a node a member, in the place of what it was. */
export function memberOp(use: MemberUse, node: Stored<NodeRecord> | undefined, issued: IssuedFacts): Op {
  return nodeOp(node, nodeRecord(use, issued, use.by ?? "join_string", node?.value));
}

/**
 * The same for an agent that renews by the certificate of this serial, read anew. Throws "denied" for one that is no
 * member, or not any more, or whose certificate was revoked meanwhile.
 */
export async function renewOps(
  store: Pick<Store, "get">,
  { id, serialHex }: { readonly id: SpiffeId; readonly serialHex: string },
  issued: IssuedFacts,
): Promise<readonly Op[]> {
  const node = await findNode(store, id);
  if (node === undefined || node.value.state === "evicted") {
    throw new CaError("denied", `${id} has not joined`, { rule: "node_unknown" });
  }
  refuseBanned(node.value);
  if (isRevokedOf(node.value, serialHex)) {
    throw new CaError("denied", "the certificate that asks was revoked", { rule: "certificate_revoked" });
  }
  return [renewedOp(node, issued)];
}

/** The op that notes an agent's newer certificate in its node record. */
export function renewedOp(node: Stored<NodeRecord>, issued: IssuedFacts): Op {
  return update(nodes, { ...node.value, ...newest(issued) }, node.revision);
}

export interface RecoverUse {
  readonly id: SpiffeId;
  readonly serialHex: string;
  readonly clientNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
  readonly csrDer: Uint8Array;
  readonly signature: Uint8Array;
  /** SHA-256 of the new key. */
  readonly spkiSha256: string;
  readonly now: Date;
}

/**
 * Judges an agent that comes back by the record of its last certificate, not by its chain. First the proof: until that
 * holds, whatever is wrong has one answer, which tells a stranger nothing of the node. Then: neither banned nor evicted,
 * newest of its line, within the grace, not revoked, and a new key. One that is followed by a certificate over this very
 * key counts as the newest: the reply that carried that certificate was lost. Throws "unauthenticated" `key_not_ours`,
 * then "denied" and "bad_request". A certificate that was revoked for a reason that is nothing against its key is
 * replaced once, by a new key.
 */
export async function prepareRecover(
  deps: Pick<TokenDeps, "store" | "trustDomain"> & { readonly graceSeconds: number },
  use: RecoverUse,
): Promise<Stored<NodeRecord>> {
  const last = await provenCertificate(deps, use);
  const node = await findNode(deps.store, use.id);
  const joinAgain = `signet token create --agent ${use.id.replace(/^.*\/agent\//, "")}`;
  if (node === undefined || node.value.state === "evicted") {
    throw new CaError("denied", `no node ${use.id} has joined here`, { rule: "node_unknown", cure: joinAgain });
  }
  refuseBanned(node.value);
  if (node.value.serialHex !== use.serialHex && node.value.spkiSha256 !== use.spkiSha256) {
    throw new CaError("denied", "a newer certificate of this node was issued", {
      rule: "certificate_replaced",
      cure: joinAgain,
    });
  }
  const graceMs = deps.graceSeconds * 1000;
  if (use.now.getTime() > node.value.notAfter + graceMs) {
    throw new CaError(
      "denied",
      `the certificate ended at ${new Date(node.value.notAfter).toISOString()}, too long ago`,
      {
        rule: "grace_over",
        limit: `${deps.graceSeconds} s`,
        cure: joinAgain,
      },
    );
  }
  const revoked = await revocationOf(deps.store, last);
  if (revoked !== undefined && !(revoked.serialHex !== "*" && replacedByKey.has(revoked.reason))) {
    throw new CaError("denied", "that certificate was revoked", {
      rule: "key_revoked",
      value: revoked.reason,
      cure: joinAgain,
    });
  }
  if (use.spkiSha256 === last.spkiSha256) {
    throw new CaError("bad_request", "coming back needs a new key, this is that of the last certificate");
  }
  return node;
}

/** The certificate by whose key the proof is made. Throws "unauthenticated" `key_not_ours`, whatever is wrong. */
export async function provenCertificate(
  deps: Pick<TokenDeps, "store" | "trustDomain">,
  use: RecoverUse,
): Promise<CertificateRecord> {
  const last = await certificateOf(deps.store, use.serialHex);
  if (last === undefined || last.spiffeId !== use.id || !isProven(deps, use, last)) throw notProven();
  return last;
}

/**
 * Reasons that say nothing against the key or its holder: who had such a certificate gets one more by that key, for a new
 * one. After any other reason, a compromised key above all, only a new join string helps.
 */
const replacedByKey: ReadonlySet<RevocationReason> = new Set(["unspecified", "affiliationChanged", "superseded"]);

/** The revocation of a certificate, or that of all under its authority. */
async function revocationOf(
  store: Pick<Store, "get">,
  { authorityKeyId, serialHex }: CertificateRecord,
): Promise<RevocationRecord | undefined> {
  for (const each of ["*", serialHex]) {
    const held = await store.get(revocations, revocationKey(authorityKeyId, each));
    if (held !== undefined) return held.value;
  }
  return undefined;
}

/** Whether the proof is by the key of this certificate, for this ID, these nonces and this CSR. */
function isProven(deps: Pick<TokenDeps, "trustDomain">, use: RecoverUse, last: CertificateRecord): boolean {
  const transcript = recoverTranscript({
    trustDomain: deps.trustDomain,
    id: use.id,
    serialHex: use.serialHex,
    clientNonce: use.clientNonce,
    serverNonce: use.serverNonce,
    csrSha256: Buffer.from(sha256Hex(use.csrDer), "hex"),
  });
  return signedBy(last.der, transcript, use.signature);
}

function notProven(): CaError {
  return new CaError("unauthenticated", "the proof is not by the key of a certificate that this server gave that ID", {
    rule: "key_not_ours",
    cure: "signet token create --agent NAME",
  });
}

/** The certificate of a serial, whatever authority signed it. */
async function certificateOf(store: Pick<Store, "scan">, serialHex: string): Promise<CertificateRecord | undefined> {
  if (!/^[0-9a-f]{2,40}$/.test(serialHex)) return undefined;
  const range = { from: [`${serialHex}/`], to: [`${serialHex}0`] };
  for await (const { value } of store.scan(certificates, "key", range, { limit: 1 })) return value;
  return undefined;
}

export function refuseBanned(node: NodeRecord | undefined): void {
  if (node?.state === "banned") {
    throw new CaError("denied", `${node.agentId} is banned`, { rule: "node_banned", retry: "never" });
  }
}

function signedBy(certificateDer: Uint8Array, octets: Uint8Array, signature: Uint8Array): boolean {
  const { publicKey } = parseCertificate(certificateDer);
  const key = createPublicKey({ key: Buffer.from(publicKey.der), format: "der", type: "spki" });
  return verify(publicKey.type === "ed25519" ? null : "sha256", octets, key, signature);
}

function nodeOp(held: Stored<NodeRecord> | undefined, record: NodeRecord): Op {
  return held === undefined ? putIfAbsent(nodes, record) : update(nodes, record, held.revision);
}

function nodeRecord(
  use: MemberUse,
  issued: IssuedFacts,
  attestation: NodeRecord["attestation"],
  former: NodeRecord | undefined,
): NodeRecord {
  const fresh: NodeRecord = {
    agentId: use.id,
    state: "member",
    attestation,
    joinedAt: former?.state === "member" ? former.joinedAt : use.now.getTime(),
    joinedFrom: use.from,
    ...newest(issued),
  };
  // What was revoked of its predecessor stays so, also for what that one has asked for and not got yet.
  return former?.revoked === undefined ? fresh : { ...fresh, revoked: former.revoked };
}

function newest(issued: IssuedFacts): Omit<IssuedFacts, "authorityKeyId"> {
  const { serialHex, authority, notAfter, spkiSha256 } = issued;
  return { serialHex, authority, notAfter, spkiSha256 };
}

/** Reads a certificate record by serial and authority; undefined when it is not recorded. */
export async function recordedCertificate(
  store: Pick<Store, "get">,
  serialHex: string,
  authority: string,
): Promise<Stored<CertificateRecord> | undefined> {
  return store.get(certificates, certificateKey(serialHex, authority));
}
