// Who a peer is: the chain that it sent, judged as an X509-SVID by the bundle of its own trust domain.
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { X509Error } from "../x509/errors.ts";
import { type PathFailure, validatePath } from "../x509/path.ts";
import { importPublicKey } from "../x509/spki.ts";
import type { TrustBundle } from "./bundle.ts";
import { type DenyList, isDenied } from "./deny.ts";
import { parseSpiffeId, pathOf, SpiffeError, type SpiffeId, trustDomainOf } from "./id.ts";

/** Why a peer is refused: a closed list, counted under these names. */
export type Refusal =
  | "no_certificate"
  | "malformed"
  | "issuer_unknown"
  | "not_yet_valid"
  | "expired"
  | "revoked"
  | "bad_chain"
  | "not_an_svid"
  | "id_not_allowed";

export interface SvidJudgement {
  /** The bundle of the own trust domain; or a function that answers the bundle of any, for federation. */
  readonly bundle: TrustBundle | ((trustDomain: string) => TrustBundle | undefined);
  readonly at: Date;
  /** Which end of TLS the peer is; `any` for a chain that was not sent over TLS. */
  readonly purpose: "server" | "client" | "any";
  readonly denied?: DenyList | undefined;
  /** Whom the caller lets in; `id_not_allowed` for others. */
  readonly allow?: ((id: SpiffeId) => boolean) | undefined;
}

export type SvidVerdict =
  /** `path` is leaf to root, both included. */
  | { readonly ok: true; readonly id: SpiffeId; readonly leaf: Certificate; readonly path: readonly Certificate[] }
  /** `detail` is one lower-case sentence for people; of what the peer wrote it holds numbers at most. */
  | { readonly ok: false; readonly reason: Refusal; readonly detail: string };

/** Certificates of one chain that are looked at. */
const maxChainLength = 32;

/**
 * Judges a chain, leaf first, as the peer sent it. Never throws for what is in the chain. X509-SVID 2 to 5, RFC 5280 6.
 * A certificate of the chain on the deny list refuses every path through it.
 */
export function judgeSvid(chainDer: readonly Uint8Array[], judgement: SvidJudgement): SvidVerdict {
  const [leafDer, ...restDer] = chainDer;
  if (leafDer === undefined) return refuse("no_certificate", "the peer sent no certificate");
  if (chainDer.length > maxChainLength) {
    return refuse("bad_chain", `the peer sent ${chainDer.length} certificates, at most ${maxChainLength} are taken`);
  }
  const parsed = parseChain(leafDer, restDer);
  if (!parsed.ok) return parsed;
  const { leaf, intermediates } = parsed;

  const name = svidName(leaf);
  if (!name.ok) return name;
  const { id } = name;
  const bundle = typeof judgement.bundle === "function" ? judgement.bundle(trustDomainOf(id)) : judgement.bundle;
  if (bundle === undefined || bundle.trustDomain !== trustDomainOf(id)) {
    return refuse("issuer_unknown", "no bundle is held for the trust domain of the peer");
  }

  const { denied: list } = judgement;
  let denied = false;
  const verdict = validatePath(leaf, {
    intermediates,
    roots: bundle.roots,
    at: judgement.at,
    purpose: judgement.purpose,
    rule: (path) => {
      const fault = path
        .slice(1)
        .map(signingFault)
        .find((found) => found !== undefined);
      if (fault !== undefined) return fault;
      const which = list === undefined ? -1 : path.findIndex((each) => isDenied(list, each));
      if (which < 0) return undefined;
      denied = true;
      return which === 0 ? "the certificate is revoked" : "its authority is revoked";
    },
  });
  if (!verdict.ok) {
    return refuse(verdict.reason === "rule" && denied ? "revoked" : refusalOf[verdict.reason], verdict.detail);
  }
  const usage = leafUsageFault(leaf);
  if (usage !== undefined) return refuse("not_an_svid", usage);
  if (judgement.allow !== undefined && !judgement.allow(id)) {
    return refuse("id_not_allowed", "the identity of the peer is not one that is let in");
  }
  return { ok: true, id, leaf, path: verdict.path };
}

/**
 * The SPIFFE ID of a leaf: the one URI among its names. Other names (DNS, IP) do not matter, the subject never does.
 * X509-SVID 2, 5.2.
 */
function svidName(leaf: Certificate): { ok: true; id: SpiffeId } | Extract<SvidVerdict, { ok: false }> {
  const uris = leaf.names.filter((name) => name.kind === "uri");
  const [uri] = uris;
  if (uri === undefined || uris.length > 1) {
    return refuse(
      "not_an_svid",
      `a SPIFFE certificate has exactly one URI among its names, this one has ${uris.length}`,
    );
  }
  try {
    const id = parseSpiffeId(uri.value);
    if (pathOf(id) === "") return refuse("not_an_svid", "the SPIFFE ID of the certificate has no path");
    return { ok: true, id };
  } catch (error) {
    if (error instanceof SpiffeError) return refuse("not_an_svid", `the URI of the certificate: ${error.message}`);
    throw error;
  }
}

const refusalOf: Readonly<Record<PathFailure, Refusal>> = {
  unknown_issuer: "issuer_unknown",
  // The names in a certificate are what its maker wrote; without our key's signature the issuer is somebody else.
  bad_signature: "issuer_unknown",
  not_yet_valid: "not_yet_valid",
  expired: "expired",
  not_a_ca: "bad_chain",
  wrong_purpose: "bad_chain",
  unknown_extension: "bad_chain",
  name_not_permitted: "bad_chain",
  too_complex: "bad_chain",
  rule: "bad_chain",
};

type Parsed =
  | { readonly ok: true; readonly leaf: Certificate; readonly intermediates: readonly Certificate[] }
  | Extract<SvidVerdict, { ok: false }>;

/**
 * An intermediate with a kind of key that is not taken is left out, as a stranger that some other client may need;
 * whatever else cannot be read refuses the chain.
 */
function parseChain(leafDer: Uint8Array, restDer: readonly Uint8Array[]): Parsed {
  let which = "the certificate of the peer";
  try {
    const leaf = parseCertificate(leafDer);
    importPublicKey(leaf.publicKey); // nothing else looks whether its point is on the curve
    which = "an intermediate of the peer";
    const intermediates: Certificate[] = [];
    for (const der of restDer) {
      const certificate = parseIntermediate(der);
      if (certificate !== undefined) intermediates.push(certificate);
    }
    return { ok: true, leaf, intermediates };
  } catch (error) {
    if (error instanceof X509Error) return refuse("malformed", `${which} cannot be read: ${error.message}`);
    throw error;
  }
}

function parseIntermediate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof X509Error && error.code === "bad_key") return undefined;
    throw error;
  }
}

/** X509-SVID 4.1, 4.3: a leaf signs, and is no authority. */
function leafUsageFault(leaf: Certificate): string | undefined {
  if (leaf.basicConstraints?.ca === true) return "the certificate is that of a CA";
  if (leaf.keyUsage === undefined) return "the certificate has no key usage";
  if (!leaf.keyUsage.has("digitalSignature")) return "the key usage of the certificate lacks digitalSignature";
  if (leaf.keyUsage.has("keyCertSign") || leaf.keyUsage.has("cRLSign")) {
    return "the key usage of the certificate is that of an authority";
  }
  // RFC 5280 4.1.2.6: without a subject the names are all there is, and must be understood.
  if (leaf.subjectName.length === 0 && !leaf.sanCritical) return "the subject is empty and the names are not critical";
  return undefined;
}

/** X509-SVID 3.2, 4.3: what a signing certificate must have beyond RFC 5280. */
function signingFault(certificate: Certificate): string | undefined {
  if (certificate.keyUsage?.has("keyCertSign") !== true) return "a signing certificate lacks the key usage keyCertSign";
  for (const name of certificate.names) {
    if (name.kind === "uri" && name.value.startsWith("spiffe://") && name.value.slice(9).includes("/")) {
      return "a signing certificate has a SPIFFE ID with a path";
    }
  }
  return undefined;
}

function refuse(reason: Refusal, detail: string): Extract<SvidVerdict, { ok: false }> {
  return { ok: false, reason, detail };
}
