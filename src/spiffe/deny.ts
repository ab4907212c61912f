import { SpiffeError } from "./id.ts";
import { integerOf, isArray, isObject, JsonError, type JsonValue, readJson } from "./strict-json.ts";

export interface DeniedCertificate {
  /** Subject key identifier of the authority that issued it, lower-case hex. */
  readonly authorityKeyId: string;
  /** Lower-case hex; `*`: all that this authority issued, and the authority itself. */
  readonly serialHex: string;
}

/** What was revoked and has not ended. A lower sequence never replaces a higher one. */
export interface DenyList {
  readonly sequence: bigint;
  readonly denied: readonly DeniedCertificate[];
}

/** What isDenied() looks at; every Certificate has it. */
export interface Deniable {
  readonly serialHex: string;
  readonly authorityKeyId?: string | undefined;
  readonly subjectKeyId?: string | undefined;
}

const maxSequence = 2n ** 64n - 1n;

/** Whether one certificate is on the list. A chain is judged certificate by certificate; the time does not matter. */
export function isDenied(list: DenyList, certificate: Deniable): boolean {
  return list.denied.some(
    ({ authorityKeyId, serialHex }) =>
      (authorityKeyId === certificate.authorityKeyId && (serialHex === "*" || serialHex === certificate.serialHex)) ||
      (serialHex === "*" && authorityKeyId === certificate.subjectKeyId),
  );
}

/** The same as isDenied(), prepared for many questions to one list. */
export function denyIndex(list: DenyList): (certificate: Deniable) => boolean {
  const denied = new Set(list.denied.map(({ authorityKeyId, serialHex }) => `${authorityKeyId}:${serialHex}`));
  return ({ authorityKeyId, serialHex, subjectKeyId }) =>
    denied.size > 0 &&
    (denied.has(`${authorityKeyId}:${serialHex}`) ||
      denied.has(`${authorityKeyId}:*`) ||
      denied.has(`${subjectKeyId}:*`));
}

/** The newer of two lists; the one that is held when both have one sequence. */
export function newerDenyList(held: DenyList | undefined, offered: DenyList): DenyList {
  return held !== undefined && held.sequence >= offered.sequence ? held : offered;
}

/** `denied.json` of the identity directory. */
export function denyListJson(list: DenyList): string {
  const denied = list.denied.map(({ authorityKeyId, serialHex }) => ({ authorityKeyId, serialHex }));
  return `${JSON.stringify({ sequence: String(list.sequence), denied }, undefined, 2)}\n`;
}

/** Reads `denied.json`; members that it does not know do not matter. Throws SpiffeError "bad_deny_list". */
export function parseDenyList(json: string): DenyList {
  const top = parse(json);
  if (!isObject(top)) throw bad("the deny list is not an object");
  const written = top.get("sequence");
  const sequence = typeof written === "string" && /^\d{1,20}$/.test(written) ? BigInt(written) : integerOf(written);
  if (sequence === undefined || sequence < 0n || sequence > maxSequence) {
    throw bad("the sequence of the deny list is not a number of 64 bits");
  }
  const denied = top.get("denied");
  if (!isArray(denied)) throw bad("the deny list has no list named denied");
  return { sequence, denied: denied.map(deniedOf) };
}

function deniedOf(item: JsonValue): DeniedCertificate {
  const authorityKeyId = isObject(item) ? item.get("authorityKeyId") : undefined;
  const serialHex = isObject(item) ? item.get("serialHex") : undefined;
  if (typeof authorityKeyId !== "string" || !isHex(authorityKeyId)) {
    throw bad("authorityKeyId in the deny list is not lower-case hex");
  }
  if (typeof serialHex !== "string" || (serialHex !== "*" && !isHex(serialHex))) {
    throw bad("serialHex in the deny list is neither lower-case hex nor *");
  }
  return { authorityKeyId, serialHex };
}

/** Whole octets in lower-case hex, as the certificates of this product write serials and key identifiers. */
function isHex(text: string): boolean {
  return text.length > 0 && text.length <= 128 && text.length % 2 === 0 && /^[0-9a-f]+$/.test(text);
}

function parse(json: string): JsonValue {
  try {
    return readJson(json);
  } catch (cause) {
    if (cause instanceof JsonError) throw bad(`the deny list is not JSON: ${cause.message}`);
    throw cause;
  }
}

function bad(message: string): SpiffeError {
  return new SpiffeError("bad_deny_list", message);
}
