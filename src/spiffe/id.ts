// SPIFFE IDs and trust domain names, parsed once, by characters (SPIFFE-ID 2). The class URL is never used: it folds
// case, decodes escapes and resolves dots, so two texts would become one identity.

export type SpiffeErrorCode =
  | "bad_id"
  | "bad_trust_domain"
  | "bad_join_string"
  | "bad_bundle"
  | "bad_deny_list"
  | "bad_identity_file";

/** What the parsers of this room throw, and nothing else. The message never holds the text that was refused. */
export class SpiffeError extends Error {
  override readonly name = "SpiffeError";
  readonly code: SpiffeErrorCode;
  constructor(code: SpiffeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

declare const trustDomainBrand: unique symbol;
declare const spiffeIdBrand: unique symbol;

/** A trust domain name, such as `prod.example`. Only parseTrustDomain() and trustDomainOf() make one. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

/** A SPIFFE ID in its one form, so `===` compares identities. Only parseSpiffeId() and spiffeId() make one. */
export type SpiffeId = string & { readonly [spiffeIdBrand]: true };

/** The longest SPIFFE ID that is taken, in octets (SPIFFE-ID 2.3). */
export const maxSpiffeIdBytes = 2048;
const maxTrustDomainBytes = 255;

const scheme = "spiffe://";
const slash = 0x2f;

/** Reads a trust domain name: `[a-z0-9._-]`, 1 to 255. Throws SpiffeError "bad_trust_domain". SPIFFE-ID 2.1. */
export function parseTrustDomain(text: string): TrustDomain {
  const fault = trustDomainFault(text);
  if (fault !== undefined) throw new SpiffeError("bad_trust_domain", fault);
  return text as TrustDomain;
}

/**
 * Reads a SPIFFE ID, with or without a path; without one it names the trust domain and is no leaf's. Throws SpiffeError
 * "bad_id". SPIFFE-ID 2.
 */
export function parseSpiffeId(text: string): SpiffeId {
  if (text.length > maxSpiffeIdBytes) {
    throw new SpiffeError("bad_id", `a SPIFFE ID has at most ${maxSpiffeIdBytes} octets, got ${text.length}`);
  }
  if (!text.startsWith(scheme)) throw new SpiffeError("bad_id", "a SPIFFE ID begins with spiffe://");
  const pathAt = text.indexOf("/", scheme.length);
  const domain = pathAt < 0 ? text.slice(scheme.length) : text.slice(scheme.length, pathAt);
  const fault = trustDomainFault(domain) ?? (pathAt < 0 ? undefined : pathFault(text, pathAt));
  if (fault !== undefined) throw new SpiffeError("bad_id", fault);
  return text as SpiffeId;
}

/** Joins a trust domain and a path (`/svc/a`, or empty for the ID of the trust domain). Throws SpiffeError "bad_id". */
export function spiffeId(trustDomain: TrustDomain, path: string): SpiffeId {
  if (path !== "" && !path.startsWith("/")) throw new SpiffeError("bad_id", "the path of a SPIFFE ID begins with /");
  return parseSpiffeId(`${scheme}${trustDomain}${path}`);
}

/** The trust domain of an ID. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  const pathAt = id.indexOf("/", scheme.length);
  return (pathAt < 0 ? id.slice(scheme.length) : id.slice(scheme.length, pathAt)) as TrustDomain;
}

/** The path of an ID with its leading slash (`/svc/a`); empty when the ID names the trust domain itself. */
export function pathOf(id: SpiffeId): string {
  const pathAt = id.indexOf("/", scheme.length);
  return pathAt < 0 ? "" : id.slice(pathAt);
}

function trustDomainFault(text: string): string | undefined {
  if (text.length === 0) return "the trust domain is empty";
  if (text.length > maxTrustDomainBytes) {
    return `a trust domain has at most ${maxTrustDomainBytes} octets, got ${text.length}`;
  }
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (!isLower(c) && !isNameSign(c)) return "a trust domain holds a-z, 0-9, dot, dash and underscore only";
  }
  return undefined;
}

function pathFault(text: string, pathAt: number): string | undefined {
  let start = pathAt + 1;
  for (let i = start; i <= text.length; i++) {
    const c = i === text.length ? slash : text.charCodeAt(i);
    if (c === slash) {
      if (i === start) return "the path of a SPIFFE ID has no empty segment and no slash at its end";
      if (isDots(text, start, i)) return "the path of a SPIFFE ID has no segments . and ..";
      start = i + 1;
    } else if (!isLower(c) && !isUpper(c) && !isNameSign(c)) {
      return "the path of a SPIFFE ID holds letters, digits, dot, dash, underscore and slash only";
    }
  }
  return undefined;
}

function isDots(text: string, start: number, end: number): boolean {
  if (end - start > 2 || text.charAt(start) !== ".") return false;
  return end - start === 1 || text.charAt(start + 1) === ".";
}

function isLower(c: number): boolean {
  return c >= 0x61 && c <= 0x7a;
}

function isUpper(c: number): boolean {
  return c >= 0x41 && c <= 0x5a;
}

/** Digits, `.`, `-`, `_`. */
function isNameSign(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || c === 0x2e || c === 0x2d || c === 0x5f;
}
