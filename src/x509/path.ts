// Path building (RFC 4158) and validation (RFC 5280 6.1): all ways from a leaf up to a trusted root are tried, within
// bounds on depth, on paths and on signature checks, until one is valid.
import type { Certificate } from "./certificate.ts";
import { sameOctets } from "./der.ts";
import { equalNames } from "./distinguished-name.ts";
import { X509Error } from "./errors.ts";
import { nameFault } from "./name-constraints.ts";
import { OID } from "./oid.ts";
import { verifySignature } from "./signature.ts";
import { placeInTime } from "./validity.ts";

/** Which end of TLS the leaf's owner is; `any` looks at no key usage and no extended key usage of the leaf. */
export type Purpose = "server" | "client" | "any";

export type PathFailure =
  /** No way leads to a root that is trusted. */
  | "unknown_issuer"
  /** A name leads to a trusted root, but a signature on the way is wrong. */
  | "bad_signature"
  | "not_yet_valid"
  | "expired"
  /** A certificate that issued may not: no CA, no certificate signing, or too many CAs below it. */
  | "not_a_ca"
  | "wrong_purpose"
  | "unknown_extension"
  | "name_not_permitted"
  /** A bound on signature checks, on tries or on depth was reached before a valid path was found. */
  | "too_complex"
  /** The caller's own rule refused. */
  | "rule";

export interface PathOptions {
  /** Whatever came along; order, duplicates and strangers do not matter. */
  readonly intermediates: readonly Certificate[];
  /** Trust anchors. They are judged as other CAs are (time, CA bit, path length, names), but for their own signature. */
  readonly roots: readonly Certificate[];
  readonly at: Date;
  readonly purpose: Purpose;
  readonly maxSignatureChecks?: number;
  /** A further rule on a path that is valid otherwise: what is wrong with it, or undefined. */
  readonly rule?: (path: readonly Certificate[]) => string | undefined;
}

export type PathVerdict =
  /** The path from the leaf to the root, both included. */
  | { readonly ok: true; readonly path: readonly Certificate[] }
  /** `detail` is one lower-case sentence for people. */
  | { readonly ok: false; readonly reason: PathFailure; readonly detail: string };

/** CAs on one path, the root included. */
export const maxPathCas = 10;
/** Steps of the search: extensions of a path by one certificate. */
const maxSteps = 2000;
/** Paths that reached a root and are judged. */
const maxJudged = 100;

/**
 * Finds a valid path from a leaf to a root, or says why there is none: the failure of the first path that reached a
 * root, else what kept all of them from one. Never throws. RFC 5280 6.1; both ends of a validity are inside; the nested
 * extended key usage of CAs counts, as everywhere outside of the RFC.
 */
export function validatePath(leaf: Certificate, options: PathOptions): PathVerdict {
  return new PathSearch(options).run(leaf);
}

type Failure = Extract<PathVerdict, { ok: false }>;

class PathSearch {
  readonly #options: PathOptions;
  readonly #roots: readonly Certificate[];
  readonly #candidates: readonly Certificate[];
  readonly #issuers = new Map<Certificate, readonly Certificate[]>();
  readonly #checked = new Map<Certificate, Map<Certificate, boolean>>();
  #checksLeft: number;
  #stepsLeft = maxSteps;
  #judgedLeft = maxJudged;
  #judged: Failure | undefined;
  #wrongSignature = false;
  #tooDeep = false;

  constructor(options: PathOptions) {
    this.#options = options;
    this.#checksLeft = options.maxSignatureChecks ?? 100;
    this.#roots = distinct(options.roots);
    this.#candidates = distinct([...options.roots, ...options.intermediates]);
  }

  run(leaf: Certificate): PathVerdict {
    const path = this.#climb([leaf]);
    if (path !== undefined) return { ok: true, path };
    if (this.#isExhausted()) {
      return failure("too_complex", "the certificates sent along lead to more paths than are tried");
    }
    if (this.#judged !== undefined) return this.#judged;
    if (this.#tooDeep) return failure("too_complex", `no path of at most ${maxPathCas} CAs leads to a trusted root`);
    if (this.#wrongSignature) {
      return failure("bad_signature", "a certificate was not signed by the key of the issuer that it names");
    }
    return failure("unknown_issuer", "no path leads to a trusted root");
  }

  /** Depth first: the first valid path that goes on from this one. Depth is bounded by maxPathCas. */
  #climb(path: readonly Certificate[]): readonly Certificate[] | undefined {
    const child = path[path.length - 1];
    if (child === undefined) return undefined;
    for (const issuer of this.#issuersOf(child)) {
      if (path.some((seen) => isSameAuthority(seen, issuer))) continue;
      if (path.length > maxPathCas) {
        this.#tooDeep = true;
        return undefined;
      }
      if (--this.#stepsLeft < 0) return undefined;
      if (!this.#isSignedBy(child, issuer)) continue;
      const longer = [...path, issuer];
      if (this.#roots.includes(issuer)) {
        if (--this.#judgedLeft < 0) return undefined;
        const fault = pathFault(longer, this.#options);
        if (fault === undefined) return longer;
        this.#judged ??= fault;
      }
      // A root may itself be signed by another one: go on above it when the path that ends here does not hold.
      const found = this.#climb(longer);
      if (found !== undefined || this.#isExhausted()) return found;
    }
    return undefined;
  }

  #isExhausted(): boolean {
    return this.#checksLeft < 0 || this.#stepsLeft < 0 || this.#judgedLeft < 0;
  }

  /** Those with the issuer's name: roots first, then fitting key identifiers, then those in their time. */
  #issuersOf(child: Certificate): readonly Certificate[] {
    const known = this.#issuers.get(child);
    if (known !== undefined) return known;
    const rank = (issuer: Certificate): number =>
      (this.#roots.includes(issuer) ? 0 : 4) +
      (child.authorityKeyId === issuer.subjectKeyId ? 0 : 2) +
      (placeInTime(issuer, this.#options.at) === "within" ? 0 : 1);
    const issuers = this.#candidates
      .filter((issuer) => equalNames(issuer.subjectName, child.issuerName))
      .sort((a, b) => rank(a) - rank(b));
    this.#issuers.set(child, issuers);
    return issuers;
  }

  #isSignedBy(child: Certificate, issuer: Certificate): boolean {
    const known = this.#checked.get(child)?.get(issuer);
    if (known !== undefined) return known;
    if (--this.#checksLeft < 0) return false;
    const signed = isSigned(child, issuer);
    if (!signed) this.#wrongSignature = true;
    const ofChild = this.#checked.get(child) ?? new Map<Certificate, boolean>();
    this.#checked.set(child, ofChild.set(issuer, signed));
    return signed;
  }
}

function isSigned(child: Certificate, issuer: Certificate): boolean {
  try {
    return verifySignature(issuer.publicKey, child.signatureAlgorithmDer, child.tbs, child.signature);
  } catch (error) {
    // An algorithm that is not taken or does not fit the key, or a key off its curve.
    if (error instanceof X509Error) return false;
    throw error;
  }
}

/** RFC 5280 6.1.3 to 6.1.5 for one path whose names and signatures hold; leaf first, root last. */
function pathFault(path: readonly Certificate[], options: PathOptions): Failure | undefined {
  let casLeft = Number.POSITIVE_INFINITY;
  for (let i = path.length - 1; i >= 0; i--) {
    const certificate = path[i];
    if (certificate === undefined) continue;
    const who = i === 0 ? "the certificate" : i === path.length - 1 ? "the root" : "an intermediate";
    const fault =
      timeFault(certificate, options.at, who) ??
      extensionFault(certificate, who) ??
      purposeFault(certificate, options.purpose, i === 0, who) ??
      constraintFault(path, i, who);
    if (fault !== undefined) return fault;
    if (i === 0) break;
    const isRoot = i === path.length - 1;
    if (!isRoot && !isSelfIssued(certificate) && casLeft-- <= 0) {
      return failure("not_a_ca", "more CAs stand in a row than the path length of one above allows");
    }
    const authority = authorityFault(certificate, who);
    if (authority !== undefined) return authority;
    casLeft = Math.min(casLeft, certificate.basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY);
  }
  const fault = options.rule?.(path);
  return fault === undefined ? undefined : failure("rule", fault);
}

function timeFault(certificate: Certificate, at: Date, who: string): Failure | undefined {
  switch (placeInTime(certificate, at)) {
    case "before":
      return failure("not_yet_valid", `${who} is valid only from ${isoTime(certificate.notBefore)} on`);
    case "after":
      return failure("expired", `${who} ended at ${isoTime(certificate.notAfter)}`);
    case "within":
      return undefined;
  }
}

function extensionFault(certificate: Certificate, who: string): Failure | undefined {
  const [unknown] = certificate.criticalUnknown;
  if (unknown === undefined) return undefined;
  return failure("unknown_extension", `${who} has a critical extension that is not understood: ${unknown}`);
}

function purposeFault(certificate: Certificate, purpose: Purpose, isLeaf: boolean, who: string): Failure | undefined {
  if (purpose === "any") return undefined;
  const wanted: string = purpose === "server" ? OID.serverAuth : OID.clientAuth;
  const usages = certificate.extendedKeyUsage;
  if (usages !== undefined && !usages.includes(wanted) && !usages.includes(OID.anyExtendedKeyUsage)) {
    return failure("wrong_purpose", `the extended key usage of ${who} does not allow a TLS ${purpose}`);
  }
  // TLS 1.3 signs with the leaf's key (RFC 8446 4.4.2.2).
  if (isLeaf && certificate.keyUsage !== undefined && !certificate.keyUsage.has("digitalSignature")) {
    return failure("wrong_purpose", "the key usage of the certificate does not allow signatures");
  }
  return undefined;
}

/** The names of certificate i under the constraints of all CAs above it. Self-issued intermediates are exempt. */
function constraintFault(path: readonly Certificate[], i: number, who: string): Failure | undefined {
  const certificate = path[i];
  if (certificate === undefined || (i > 0 && isSelfIssued(certificate))) return undefined;
  for (const above of path.slice(i + 1)) {
    const fault = above.nameConstraints && nameFault(above.nameConstraints, certificate);
    if (fault !== undefined) return failure("name_not_permitted", `name constraints refuse ${who}: ${fault}`);
  }
  return undefined;
}

function authorityFault(certificate: Certificate, who: string): Failure | undefined {
  if (certificate.basicConstraints?.ca !== true) return failure("not_a_ca", `${who} is not the certificate of a CA`);
  if (certificate.keyUsage !== undefined && !certificate.keyUsage.has("keyCertSign")) {
    return failure("not_a_ca", `the key usage of ${who} does not allow to sign certificates`);
  }
  return undefined;
}

/** One name with one key: going through it twice cannot make a path valid. RFC 4158 2.4.2. */
function isSameAuthority(a: Certificate, b: Certificate): boolean {
  return a === b || (sameOctets(a.publicKey.der, b.publicKey.der) && equalNames(a.subjectName, b.subjectName));
}

function isSelfIssued(certificate: Certificate): boolean {
  return equalNames(certificate.subjectName, certificate.issuerName);
}

/** Each certificate once, by its octets. */
function distinct(certificates: readonly Certificate[]): readonly Certificate[] {
  const seen = new Set<string>();
  return certificates.filter((certificate) => {
    const key = Buffer.from(certificate.raw).toString("latin1");
    return !seen.has(key) && seen.add(key);
  });
}

function isoTime(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

function failure(reason: PathFailure, detail: string): Failure {
  return { ok: false, reason, detail };
}
