import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Authorizer } from "../spiffe/authorizer.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { judgeSvid, type Refusal } from "../spiffe/svid.ts";
import type { Certificate } from "../x509/certificate.ts";
import type { Source } from "./source.ts";

/** Why a peer was refused: what is wrong with its certificate, or `not_ready`: our own identity has ended. */
export type PeerRefusal = Refusal | "not_ready";

const refusals: Readonly<Record<PeerRefusal, true>> = {
  no_certificate: true,
  malformed: true,
  issuer_unknown: true,
  not_yet_valid: true,
  expired: true,
  revoked: true,
  bad_chain: true,
  not_an_svid: true,
  id_not_allowed: true,
  not_ready: true,
};

/** All of them: the closed list of the label `reason` of `signet_sdk_refused_total`. */
export const peerRefusals: readonly PeerRefusal[] = Object.keys(refusals) as PeerRefusal[];

/** A peer whose certificate we have judged and accepted. */
export interface Peer {
  readonly spiffeId: SpiffeId;
  readonly leaf: Certificate;
  /** Serial of the leaf, lower-case hex. */
  readonly serialHex: string;
  /** Key identifier of the authority that signed the leaf, lower-case hex. */
  readonly authorityKeyId: string;
  /** Leaf first, root last. */
  readonly path: readonly Certificate[];
  /** The end of the leaf, or of a certificate above it that ends earlier. */
  readonly notAfter: Date;
  /** The protocol of the handshake, as `TLSv1.3`. */
  readonly tlsVersion: string;
}

/** A peer that was refused. `spiffeId` is only set when the certificate held and the ID was the reason. */
export interface RefusedPeer {
  readonly reason: PeerRefusal;
  /** For people: one lower-case sentence. */
  readonly detail: string;
  readonly spiffeId?: SpiffeId;
}

export type PeerVerdict = ({ readonly ok: true } & Peer) | ({ readonly ok: false } & RefusedPeer);

/** The same of a chain alone, without the connection on which it came. */
export type ChainVerdict = ({ readonly ok: true } & Omit<Peer, "tlsVersion">) | ({ readonly ok: false } & RefusedPeer);

export interface JudgeOptions {
  readonly source: Source;
  readonly authorize: Authorizer;
  /** What the peer is: the server that we called, or a client that called us. */
  readonly peerIs: "server" | "client";
  readonly at: Date;
}

/**
 * Judges the peer at the other end of a finished handshake: our own path validation, deny list and authorizer, and
 * OpenSSL's verdict as well (`authorized`), which is necessary and never sufficient. Never throws.
 */
export function judgeSocket(socket: TLSSocket, options: JudgeOptions): PeerVerdict {
  // A resumed session is the verdict of another day: its certificate may have ended since.
  if (socket.isSessionReused()) return refused("bad_chain", "the TLS session was resumed, not made anew");
  const verdict = judgeChain(presentedChain(socket), options);
  if (verdict.ok && !socket.authorized) {
    return refused("bad_chain", `OpenSSL does not accept the chain: ${String(socket.authorizationError)}`);
  }
  return verdict.ok ? { ...verdict, tlsVersion: socket.getProtocol() ?? "unknown" } : verdict;
}

/** Judges a chain, leaf first; the rest in any order. Never throws. */
export function judgeChain(chainDer: readonly Uint8Array[], options: JudgeOptions): ChainVerdict {
  const { source, authorize, at, peerIs } = options;
  try {
    if (source.identity().notAfter <= at) return refused("not_ready", "our own identity has ended");
    const verdict = judgeSvid(chainDer, { bundle: source.bundle(), denied: source.denied(), at, purpose: peerIs });
    if (!verdict.ok) return refused(verdict.reason, verdict.detail);
    const { id, leaf, path } = verdict;
    if (!allows(authorize, id)) {
      return {
        ok: false,
        reason: "id_not_allowed",
        detail: "the SPIFFE ID of the peer is not one that is let in",
        spiffeId: id,
      };
    }
    return {
      ok: true,
      spiffeId: id,
      leaf,
      serialHex: leaf.serialHex,
      authorityKeyId: leaf.authorityKeyId ?? "",
      path,
      notAfter: new Date(Math.min(...path.map(({ notAfter }) => notAfter.getTime()))),
    };
  } catch (error) {
    // Whatever went wrong, nobody comes in by it.
    return refused("malformed", `the peer could not be judged: ${error instanceof Error ? error.message : "unknown"}`);
  }
}

/** What the peer sent, leaf first. Empty when it sent no certificate. */
export function presentedChain(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length <= maxChainLength) {
    chain.push(new Uint8Array(certificate.raw));
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

// One more than this is read, so that judgeSvid sees a chain that is too long for what it is.
const maxChainLength = 16;

function allows(authorize: Authorizer, id: SpiffeId): boolean {
  try {
    return authorize(id) === true;
  } catch {
    return false;
  }
}

function refused(reason: PeerRefusal, detail: string): { readonly ok: false } & RefusedPeer {
  return { ok: false, reason, detail };
}
