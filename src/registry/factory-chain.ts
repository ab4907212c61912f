// Factory certificates (IDevIDs, IEEE 802.1AR): the chain that a device or node shows, judged by our own path validation
// against the CAs that an admin named. What counts, and why:
//
// - Time: RFC 5280 as it stands. An IDevID that never ends (99991231235959Z, 802.1AR 8.9) is fine; one that has ended, or
//   whose CA has, proves nothing any more.
// - Extended key usage: IDevIDs have none, mostly; one that has any must be good for a TLS client, so that a factory's web
//   server or firmware signer under the same CA is no device. The same for the CAs above it.
// - Key usage, where there is one: signatures. Path length, name constraints and critical extensions: RFC 5280.
// - Names in it are looked up in the registry and go into no certificate of ours.
import { createPublicKey, verify } from "node:crypto";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { X509Error } from "../x509/errors.ts";
import { validatePath } from "../x509/path.ts";
import { importPublicKey } from "../x509/spki.ts";
import { subjectSerialNumber } from "../x509/subject-serial-number.ts";
import { CaError } from "./ca-error.ts";
import { sha256Hex } from "./tokens.ts";

/** A factory certificate with what came along; nothing of it is proven. */
export interface FactoryChain {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  /** SHA-256 of the leaf's DER, hex. */
  readonly fingerprint: string;
  /** What the factory calls the device by; empty when the certificate does not say. */
  readonly serialNumbers: readonly string[];
}

/** Certificates that a device may send, and their octets together. */
const maxChain = 10;
const maxChainOctets = 64 * 1024;

/** Reads a chain, leaf first. Intermediates with a kind of key that is not taken are left out. Throws "bad_request". */
export function readFactoryChain(chainDer: readonly Uint8Array[]): FactoryChain {
  const [leafDer, ...restDer] = chainDer;
  if (leafDer === undefined) throw new CaError("bad_request", "there is no factory certificate");
  const octets = chainDer.reduce((sum, der) => sum + der.length, 0);
  if (chainDer.length > maxChain || octets > maxChainOctets) {
    throw new CaError(
      "too_large",
      `a factory chain has at most ${maxChain} certificates and ${maxChainOctets} octets, got ${chainDer.length} and ${octets}`,
    );
  }
  try {
    const leaf = parseCertificate(leafDer);
    importPublicKey(leaf.publicKey); // nothing else looks whether its point is on the curve
    return {
      leaf,
      intermediates: restDer.flatMap(intermediateOf),
      fingerprint: sha256Hex(leafDer),
      serialNumbers: serialNumbersOf(subjectSerialNumber(leaf)),
    };
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    throw new CaError("bad_request", `the factory certificate cannot be read: ${error.message}`, { cause: error });
  }
}

function intermediateOf(der: Uint8Array): readonly Certificate[] {
  try {
    return [parseCertificate(der)];
  } catch (error) {
    if (error instanceof X509Error && error.code === "bad_key") return [];
    throw error;
  }
}

/**
 * What a registered serial number may be equal to: the whole attribute, or what stands behind `SN:` where the factory
 * writes `PID:MODEL SN:SERIAL` into it, as some do.
 */
function serialNumbersOf(attribute: string | undefined): readonly string[] {
  if (attribute === undefined) return [];
  const behind = /^PID:\S{1,64} SN:(\S{1,64})$/.exec(attribute)?.[1];
  return behind === undefined ? [attribute] : [attribute, behind];
}

/** Where a factory chain leads. */
export interface FactoryVerdict {
  /** Those of the CAs to which a valid path leads. */
  readonly reached: readonly Certificate[];
  /** Why it leads to none, when it is of a CA that is among them and yet not good. */
  readonly fault: string | undefined;
}

/**
 * To which of these CAs the chain leads; they stand as trust anchors whether they are roots or not. One search for all of
 * them, with the bounds of one: how many classes there are costs a stranger's attempt nothing.
 */
export function judgeFactory(
  { leaf, intermediates }: FactoryChain,
  { cas, at }: { readonly cas: readonly Certificate[]; readonly at: Date },
): FactoryVerdict {
  if (leaf.basicConstraints?.ca === true) {
    return { reached: [], fault: "it is the certificate of a CA, not of a device" };
  }
  const reached: Certificate[] = [];
  const verdict = validatePath(leaf, {
    intermediates,
    roots: cas,
    at,
    purpose: "client",
    rule: (path) => {
      const ca = path.at(-1);
      if (ca !== undefined) reached.push(ca);
      return "the search goes on"; // for the CAs of other classes
    },
  });
  const isStranger = !verdict.ok && (verdict.reason === "unknown_issuer" || verdict.reason === "bad_signature");
  return { reached, fault: verdict.ok || isStranger || reached.length > 0 ? undefined : verdict.detail };
}

/** What is wrong with a factory certificate that is known by its fingerprint, whoever signed it; undefined: nothing. */
export function pinnedFault({ leaf }: FactoryChain, at: Date): string | undefined {
  if (leaf.basicConstraints?.ca === true) return "the certificate is that of a CA, not of a node";
  if (leaf.keyUsage?.has("digitalSignature") === false) return "its key usage does not allow signatures";
  if (at < leaf.notBefore) return `it is valid only from ${leaf.notBefore.toISOString()} on`;
  if (at > leaf.notAfter) return `it ended at ${leaf.notAfter.toISOString()}`;
  return undefined;
}

/** Whether a signature is by the key of a certificate; how is told by the key. */
export function signedBy(certificate: Certificate, octets: Uint8Array, signature: Uint8Array): boolean {
  const { publicKey } = certificate;
  const key = createPublicKey({ key: Buffer.from(publicKey.der), format: "der", type: "spki" });
  return verify(publicKey.type === "ed25519" ? null : "sha256", octets, key, signature);
}
