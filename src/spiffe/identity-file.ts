import { parseSpiffeId, SpiffeError, type SpiffeId } from "./id.ts";
import { integerOf, isObject, JsonError, type JsonObject, readJson } from "./strict-json.ts";

/** `identity.json` of an identity directory: what the files beside it are. */
export interface IdentityFile {
  readonly spiffeId: SpiffeId;
  /** Serial of the leaf, lower-case hex. */
  readonly serialHex: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The lifetime that was granted, counted from obtainedAt. */
  readonly ttlSeconds: number;
  readonly obtainedAt: Date;
  readonly renewAt: Date;
  /** Name of the authority that signed, such as `int-2`. */
  readonly authority: string;
  readonly bundleSequence: bigint;
  readonly deniedSequence: bigint;
}

/** Writes `identity.json`: times as RFC 3339, 64-bit numbers as text. */
export function identityJson(identity: IdentityFile): string {
  const text = {
    spiffeId: identity.spiffeId,
    serialHex: identity.serialHex,
    notBefore: rfc3339(identity.notBefore),
    notAfter: rfc3339(identity.notAfter),
    ttlSeconds: identity.ttlSeconds,
    obtainedAt: rfc3339(identity.obtainedAt),
    renewAt: rfc3339(identity.renewAt),
    authority: identity.authority,
    bundleSequence: String(identity.bundleSequence),
    deniedSequence: String(identity.deniedSequence),
  };
  return `${JSON.stringify(text, undefined, 2)}\n`;
}

/** Reads `identity.json`; members that it does not know do not matter. Throws SpiffeError "bad_identity_file". */
export function parseIdentityFile(json: string): IdentityFile {
  const top = parse(json);
  const ttlSeconds = integerOf(top.get("ttlSeconds"));
  if (ttlSeconds === undefined || ttlSeconds < 1n || ttlSeconds > 0xffffffffn) {
    throw bad("ttlSeconds is not a number of seconds");
  }
  const serialHex = text(top, "serialHex");
  if (!/^(?:[0-9a-f]{2}){1,20}$/.test(serialHex)) throw bad("serialHex is not lower-case hex");
  return {
    spiffeId: idOf(text(top, "spiffeId")),
    serialHex,
    notBefore: time(top, "notBefore"),
    notAfter: time(top, "notAfter"),
    ttlSeconds: Number(ttlSeconds),
    obtainedAt: time(top, "obtainedAt"),
    renewAt: time(top, "renewAt"),
    authority: text(top, "authority"),
    bundleSequence: sequence(top, "bundleSequence"),
    deniedSequence: sequence(top, "deniedSequence"),
  };
}

function rfc3339(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}

function text(top: JsonObject, name: string): string {
  const value = top.get(name);
  if (typeof value !== "string") throw bad(`${name} is missing or not text`);
  return value;
}

function time(top: JsonObject, name: string): Date {
  const value = text(top, name);
  const date = new Date(
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(value) ? value : Number.NaN,
  );
  if (Number.isNaN(date.getTime())) throw bad(`${name} is not a time as RFC 3339 writes it`);
  return date;
}

function sequence(top: JsonObject, name: string): bigint {
  const value = text(top, name);
  if (!/^\d{1,20}$/.test(value) || BigInt(value) >= 2n ** 64n) throw bad(`${name} is not a number of 64 bits`);
  return BigInt(value);
}

function idOf(value: string): SpiffeId {
  try {
    return parseSpiffeId(value);
  } catch (cause) {
    throw bad("spiffeId is not a SPIFFE ID", cause);
  }
}

function parse(json: string): JsonObject {
  try {
    const top = readJson(json);
    if (isObject(top)) return top;
  } catch (cause) {
    if (cause instanceof JsonError) throw bad(`the file is not JSON: ${cause.message}`);
    throw cause;
  }
  throw bad("the file is not a JSON object");
}

function bad(message: string, cause?: unknown): SpiffeError {
  return new SpiffeError("bad_identity_file", message, cause === undefined ? undefined : { cause });
}
