import { constants } from "node:crypto";
import {
  type ConnectionOptions,
  createSecureContext,
  type DetailedPeerCertificate,
  type PeerCertificate,
  type SecureContext,
  type SecureContextOptions,
  type TlsOptions,
} from "node:tls";
import { type Clock, systemClock } from "../platform/clock.ts";
import type { Authorizer } from "../spiffe/authorizer.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";
import { encodePem } from "../x509/pem.ts";
import { judgeChain } from "./peer.ts";
import { SdkError } from "./sdk-error.ts";
import type { Identity, Source } from "./source.ts";

/** What both ends agree to: TLS 1.3 only, and no tickets, since a resumed session skips every check of a certificate. */
const floor = {
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  secureOptions: constants.SSL_OP_NO_TICKET,
} as const satisfies SecureContextOptions;

/** What we show and whom we trust, for TLS. Every swap repeats the minimum version, else TLS 1.2 comes back. */
export function contextOptions(
  identity: Pick<Identity, "chainPem" | "privateKey">,
  bundle: Pick<TrustBundle, "roots">,
): SecureContextOptions {
  return {
    ...floor,
    key: identity.privateKey.export({ type: "pkcs8", format: "pem" }),
    cert: identity.chainPem,
    ca: bundle.roots.map(({ raw }) => encodePem("CERTIFICATE", raw)),
  };
}

function optionsOf(source: Source): SecureContextOptions {
  return contextOptions(source.identity(), source.bundle());
}

/** A secure context that is made anew only when identity or bundle changed. */
export function followContext(source: Source): () => SecureContext {
  let made: { readonly from: readonly unknown[]; readonly context: SecureContext } | undefined;
  return () => {
    const from = [source.identity(), source.bundle()];
    if (made === undefined || from.some((part, index) => part !== made?.from[index])) {
      made = { from, context: createSecureContext(optionsOf(source)) };
    }
    return made.context;
  };
}

/**
 * Options for `tls.createServer`, `https.createServer` and `http2.createSecureServer`: TLS 1.3, no tickets, a client
 * certificate demanded. They hold the identity of this moment and know no SPIFFE IDs: pass the server to guardServer(),
 * which judges peers and keeps the identity new.
 *
 * @example
 * const server = http2.createSecureServer(serverOptions(source), onRequest);
 * guardServer(server, source, { authorize: exactly(parseSpiffeId("spiffe://prod.example/svc/b")) });
 */
export function serverOptions(source: Source): TlsOptions {
  return { ...optionsOf(source), requestCert: true, rejectUnauthorized: true, handshakeTimeout: 10_000 };
}

/**
 * Options for one `tls.connect`, `https.request` (with `agent: false`) or `http2.connect`: the identity of this moment,
 * TLS 1.3, no resumption, and the server judged by the authorizer before the connection counts as made; no host name is
 * looked at. A refusal is the error of the connection, an SdkError "peer_refused" unless OpenSSL refused first. The
 * connection does not end by itself when an identity does: for connections that live use connectTls(), httpsAgent() or
 * openHttp2Client().
 *
 * @example
 * const socket = tls.connect({ ...clientOptions(source, exactly(id)), host: "10.0.0.7", port: 8443 });
 */
export function clientOptions(
  source: Source,
  authorize: Authorizer,
  options: { readonly clock?: Clock } = {},
): ConnectionOptions {
  const clock = options.clock ?? systemClock;
  return {
    ...optionsOf(source),
    rejectUnauthorized: true,
    checkServerIdentity: (_host, certificate) => {
      const verdict = judgeChain(chainOf(certificate), { source, authorize, peerIs: "server", at: clock.now() });
      if (verdict.ok) return undefined;
      return new SdkError("peer_refused", `the peer was refused: ${verdict.detail}`, { reason: verdict.reason });
    },
  };
}

function chainOf(certificate: PeerCertificate): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<object>();
  // The chain of the older interface ends in a root that is its own issuer.
  let next: Partial<DetailedPeerCertificate> | undefined = certificate;
  while (next?.raw !== undefined && !seen.has(next) && chain.length <= 16) {
    seen.add(next);
    chain.push(new Uint8Array(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}
