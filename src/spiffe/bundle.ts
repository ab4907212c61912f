// The trust bundle of one trust domain: its roots under a sequence that only grows, and its SPIFFE document (a JWK set,
// SPIFFE Trust Domain and Bundle 4, X509-SVID 6).
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { sameOctets } from "../x509/der.ts";
import { X509Error } from "../x509/errors.ts";
import { publicJwk } from "./authority-jwk.ts";
import { SpiffeError, type TrustDomain } from "./id.ts";
import { integerOf, isArray, isObject, JsonError, type JsonObject, type JsonValue, readJson } from "./strict-json.ts";

export interface TrustBundle {
  readonly trustDomain: TrustDomain;
  /** 0 when the document has none. */
  readonly sequence: bigint;
  /** How often to look for a newer one; within 1 s and 7 d, 300 when the document has none. */
  readonly refreshHintSeconds: number;
  /** Empty: nothing of this trust domain is trusted. */
  readonly roots: readonly Certificate[];
}

/** A document as it was read: the bundle, and how many JWT authorities stood beside it (they are not kept). */
export interface BundleDocument {
  readonly bundle: TrustBundle;
  readonly jwtAuthorities: number;
}

const defaultRefreshHintSeconds = 300;
const minRefreshHintSeconds = 1;
const maxRefreshHintSeconds = 7 * 24 * 3600;
const maxDocumentCharacters = 1024 * 1024;
const maxKeys = 100;
const maxSequence = 2n ** 64n - 1n;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Reads the SPIFFE document of a trust domain. Throws SpiffeError "bad_bundle", and nothing of it is used then. */
export function parseBundle(json: string, trustDomain: TrustDomain): TrustBundle {
  return parseBundleDocument(json, trustDomain).bundle;
}

/** The same as parseBundle(), with what is not kept counted. */
export function parseBundleDocument(json: string, trustDomain: TrustDomain): BundleDocument {
  if (json.length > maxDocumentCharacters) {
    throw bad(`it has ${json.length} characters, at most ${maxDocumentCharacters} are taken`);
  }
  const top = parse(json);
  const keys = top.get("keys");
  if (!isArray(keys)) throw bad("it has no list named keys");
  if (keys.length > maxKeys) throw bad(`it has ${keys.length} keys, at most ${maxKeys} are taken`);
  const roots: Certificate[] = [];
  let jwtAuthorities = 0;
  for (const key of keys) {
    if (!isObject(key)) throw bad("an element of keys is not an object");
    refusePrivate(key);
    // What has no use, one that is not known, or a kind of key that is not known, is for others (Bundle 4.2).
    if (key.get("use") === "jwt-svid") jwtAuthorities += countJwtAuthority(key);
    const root = key.get("use") === "x509-svid" ? rootOf(key) : undefined;
    if (root !== undefined && !roots.some((known) => sameOctets(known.raw, root.raw))) roots.push(root);
  }
  const sequence = sequenceOf(top.get("spiffe_sequence"));
  const refreshHintSeconds = refreshHintOf(top.get("spiffe_refresh_hint"));
  return { bundle: { trustDomain, sequence, refreshHintSeconds, roots }, jwtAuthorities };
}

/** Writes the SPIFFE document: one JWK with its certificate for each root. The sequence keeps all its digits. */
export function bundleJson(bundle: TrustBundle): string {
  const keys = bundle.roots.map((root) => {
    const jwk = { ...publicJwk(root.publicKey), use: "x509-svid", x5c: [Buffer.from(root.raw).toString("base64")] };
    return JSON.stringify(jwk, undefined, 2).replace(/\n/g, "\n    ");
  });
  const list = keys.length === 0 ? "[]" : `[\n    ${keys.join(",\n    ")}\n  ]`;
  // A bigint cannot go through JSON.stringify, a number would lose digits.
  const numbers = `"spiffe_sequence": ${bundle.sequence},\n  "spiffe_refresh_hint": ${bundle.refreshHintSeconds}`;
  return `{\n  "keys": ${list},\n  ${numbers}\n}\n`;
}

/**
 * What to hold after another bundle was offered: the newer of both, the held one when both have one sequence. Throws
 * SpiffeError "bad_bundle" when the offer has a lower sequence or is of another trust domain.
 */
export function newerBundle(held: TrustBundle | undefined, offered: TrustBundle): TrustBundle {
  if (held === undefined) return offered;
  if (held.trustDomain !== offered.trustDomain) throw bad("it is of another trust domain than the one that is held");
  if (offered.sequence < held.sequence) {
    throw bad(`its sequence is ${offered.sequence}, the one that is held has ${held.sequence}`);
  }
  return offered.sequence === held.sequence ? held : offered;
}

function rootOf(key: JsonObject): Certificate | undefined {
  const kty = key.get("kty");
  if (kty !== "EC" && kty !== "RSA" && kty !== "OKP") return undefined;
  const x5c = key.get("x5c");
  if (x5c === undefined || (isArray(x5c) && x5c.length === 0)) return undefined;
  // Only the first certificate is the authority (X509-SVID 6.2).
  const [first] = isArray(x5c) ? x5c : [];
  if (typeof first !== "string" || !base64.test(first)) throw bad("x5c of an authority is not a list of base64 text");
  const root = certificateOf(Buffer.from(first, "base64"));
  if (root === undefined) return undefined;
  if (root.basicConstraints?.ca !== true || root.keyUsage?.has("keyCertSign") === false) {
    throw bad("an authority is not the certificate of a CA");
  }
  const jwk = publicJwk(root.publicKey);
  const differs = Object.entries(jwk).some(([name, value]) => key.get(name) !== value);
  if (differs) throw bad("the members of an authority are not the key of its certificate");
  return root;
}

/** Undefined for a kind of key that is not taken here, which is like a kty that is not known. */
function certificateOf(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (cause) {
    if (cause instanceof X509Error && cause.code === "bad_key") return undefined;
    if (cause instanceof X509Error)
      throw bad(`the certificate of an authority cannot be used: ${cause.message}`, cause);
    throw cause;
  }
}

function countJwtAuthority(key: JsonObject): number {
  if (key.get("kty") === "oct") throw bad("a JWT authority is a symmetric key");
  if (key.get("kty") !== "EC" && key.get("kty") !== "RSA") return 0;
  if (typeof key.get("kid") !== "string" || key.get("kid") === "") throw bad("a JWT authority has no kid");
  return 1;
}

/** RFC 7518 6.2.2, 6.3.2, 6.4: the members that only a private or symmetric key has. */
function refusePrivate(key: JsonObject): void {
  for (const member of ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]) {
    if (key.has(member)) throw bad("a key holds private members; whoever made this document must replace that key");
  }
}

function sequenceOf(value: JsonValue | undefined): bigint {
  if (value === undefined) return 0n;
  const sequence = integerOf(value);
  if (sequence === undefined || sequence < 0n || sequence > maxSequence) {
    throw bad("spiffe_sequence is not a whole number of 64 bits");
  }
  return sequence;
}

function refreshHintOf(value: JsonValue | undefined): number {
  if (value === undefined) return defaultRefreshHintSeconds;
  const hint = integerOf(value);
  if (hint === undefined || hint < 0n) throw bad("spiffe_refresh_hint is not a whole number of seconds");
  if (hint > BigInt(maxRefreshHintSeconds)) return maxRefreshHintSeconds;
  return Math.max(Number(hint), minRefreshHintSeconds);
}

function parse(json: string): JsonObject {
  let top: JsonValue;
  try {
    top = readJson(json);
  } catch (cause) {
    if (cause instanceof JsonError) throw bad(`it is not JSON: ${cause.message}`, cause);
    throw cause;
  }
  if (!isObject(top)) throw bad("it is not an object");
  return top;
}

function bad(what: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    "bad_bundle",
    `the trust bundle is refused: ${what}`,
    cause === undefined ? undefined : { cause },
  );
}
