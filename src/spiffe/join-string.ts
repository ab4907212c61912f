// The join string: all that a node, a device or an admin needs for the first contact, in one word.
//
//   sgj1_ + base64url( version 1, total length 2, kind 1, then each as length and octets: trust domain (1), path of the
//   subject (2), addresses (count 1, each 1), secret (1: 0 or 32), root pins (count 1, 32 each), end in seconds since
//   1970 (6), checksum 4 )
//
// The total length counts every octet from the version to the checksum, so a string that was cut while it was copied
// can say how much is missing. The checksum is the beginning of the SHA-256 of all before it: it finds damage, it proves
// nothing.
import { createHash } from "node:crypto";

import {
  maxSpiffeIdBytes,
  parseTrustDomain,
  pathOf,
  SpiffeError,
  type SpiffeId,
  spiffeId,
  type TrustDomain,
  trustDomainOf,
} from "./id.ts";
import { kindOf } from "./kind.ts";

export type JoinKind = "agent" | "device" | "admin";

export interface JoinString {
  readonly kind: JoinKind;
  readonly trustDomain: TrustDomain;
  /** The ID that the string is for; of the same kind and trust domain. */
  readonly subject: SpiffeId;
  /** Where the server is, each as `host:port`, in the order to try. */
  readonly addresses: readonly string[];
  /** 32 octets, or none where another proof is brought (x509pop). */
  readonly secret: Uint8Array;
  /** SHA-256 of the DER of every root that was in the bundle. At least one. */
  readonly rootPins: readonly Uint8Array[];
  /** Whole seconds. */
  readonly expiresAt: Date;
}

const prefix = "sgj1_";
const version = 1;
const headBytes = 3;
const checksumBytes = 4;
const pinBytes = 32;
const secretBytes = 32;
const maxAddresses = 16;
const maxPins = 32;
const maxBytes = 8192;
const kinds: readonly JoinKind[] = ["agent", "device", "admin"];

/** Writes a join string. Throws SpiffeError "bad_join_string" when the fields do not belong together. */
export function encodeJoinString(fields: JoinString): string {
  checkFields(fields);
  const text = new TextEncoder();
  const payload: number[] = [kinds.indexOf(fields.kind) + 1];
  const counted = (lengthBytes: number, octets: Uint8Array): void => {
    payload.push(...bigEndian(octets.length, lengthBytes), ...octets);
  };
  counted(1, text.encode(fields.trustDomain));
  counted(2, text.encode(pathOf(fields.subject)));
  payload.push(fields.addresses.length);
  for (const address of fields.addresses) counted(1, text.encode(address));
  counted(1, fields.secret);
  payload.push(fields.rootPins.length);
  for (const pin of fields.rootPins) payload.push(...pin);
  payload.push(...bigEndian(Math.floor(fields.expiresAt.getTime() / 1000), 6));
  const total = headBytes + payload.length + checksumBytes;
  if (total > maxBytes) throw bad(`the join string would have ${total} octets, at most ${maxBytes} are taken`);
  const body = Uint8Array.from([version, ...bigEndian(total, 2), ...payload]);
  return prefix + Buffer.concat([body, checksum(body)]).toString("base64url");
}

/**
 * Reads a join string; white space and line breaks around it do not matter. Throws SpiffeError "bad_join_string" with a
 * message for people, such as `the join string is incomplete: 61 of 151 characters`.
 */
export function parseJoinString(text: string): JoinString {
  const longest = prefix.length + charactersFor(maxBytes);
  if (text.length > 4 * longest) throw bad(`a join string has at most ${longest} characters, got ${text.length}`);
  const word = text.trim();
  const octets = octetsOf(word);
  const body = octets.subarray(0, octets.length - checksumBytes);
  if (!Buffer.from(checksum(body)).equals(octets.subarray(body.length))) {
    throw bad("the join string is damaged: its checksum does not fit");
  }
  const fields = readFields(body.subarray(headBytes));
  checkFields(fields);
  return fields;
}

/** Base64 without its dress: prefix, alphabet, version and total length are right when this returns. */
function octetsOf(word: string): Uint8Array {
  if (word === "") throw bad("the join string is empty");
  if (!word.startsWith(prefix)) {
    if (prefix.startsWith(word)) throw bad(`the join string is incomplete: only ${word.length} characters`);
    if (/^sgj\d+_/.test(word)) throw bad("the join string is of a version that this program does not know");
    throw bad(`this is not a join string: it does not begin with ${prefix}`);
  }
  const encoded = word.slice(prefix.length);
  const foreign = encoded.search(/[^A-Za-z0-9_-]/);
  if (foreign >= 0) {
    throw bad(`the join string is damaged: character ${prefix.length + foreign + 1} does not belong to it`);
  }
  if (encoded.length < charactersFor(headBytes)) {
    throw bad(`the join string is incomplete: only ${word.length} characters`);
  }
  const octets = Buffer.from(encoded, "base64url");
  if (octets[0] !== version) throw bad("the join string is damaged: it does not begin as one");
  const total = octets.readUInt16BE(1);
  if (total < headBytes + checksumBytes || total > maxBytes)
    throw bad("the join string is damaged: its length is wrong");
  const wanted = prefix.length + charactersFor(total);
  if (word.length < wanted) throw bad(`the join string is incomplete: ${word.length} of ${wanted} characters`);
  if (word.length > wanted) throw bad(`the join string is too long: ${word.length} of ${wanted} characters`);
  // Bits behind the last octet would make two texts of one string.
  if (octets.toString("base64url") !== encoded) throw bad("the join string is damaged: its last character is wrong");
  return new Uint8Array(octets);
}

function readFields(payload: Uint8Array): JoinString {
  let at = 0;
  const take = (length: number): Uint8Array => {
    if (at + length > payload.length) throw bad("the join string is damaged: a field is longer than the string");
    at += length;
    return payload.slice(at - length, at);
  };
  const number = (bytes: number): number => take(bytes).reduce((sum, octet) => sum * 256 + octet, 0);
  const text = (lengthBytes: number): string => Buffer.from(take(number(lengthBytes))).toString("latin1");

  const kind = kinds[number(1) - 1];
  if (kind === undefined) throw bad("the join string is of a kind that this program does not know");
  const domain = text(1);
  const path = text(2);
  const addresses = Array.from({ length: number(1) }, () => text(1));
  const secret = take(number(1));
  const rootPins = Array.from({ length: number(1) }, () => take(pinBytes));
  const expiresAt = new Date(number(6) * 1000);
  if (at !== payload.length) throw bad("the join string is damaged: octets are left over");
  try {
    const trustDomain = parseTrustDomain(domain);
    return { kind, trustDomain, subject: spiffeId(trustDomain, path), addresses, secret, rootPins, expiresAt };
  } catch (cause) {
    throw bad("the join string names no valid SPIFFE ID", cause);
  }
}

function checkFields(fields: JoinString): void {
  if (trustDomainOf(fields.subject) !== fields.trustDomain) {
    throw bad("the subject of the join string is of another trust domain");
  }
  if (fields.subject.length > maxSpiffeIdBytes || kindOf(fields.subject) !== fields.kind) {
    throw bad(`the subject of the join string is no ${fields.kind}`);
  }
  if (fields.addresses.length > maxAddresses) {
    throw bad(`a join string has at most ${maxAddresses} addresses, got ${fields.addresses.length}`);
  }
  for (const address of fields.addresses) {
    if (!isAddress(address)) throw bad("an address of the join string is not host:port");
  }
  if (fields.secret.length !== 0 && fields.secret.length !== secretBytes) {
    throw bad(`the secret of a join string has ${secretBytes} octets, got ${fields.secret.length}`);
  }
  if (fields.rootPins.length < 1 || fields.rootPins.length > maxPins) {
    throw bad(`a join string pins 1 to ${maxPins} roots, got ${fields.rootPins.length}`);
  }
  if (fields.rootPins.some((pin) => pin.length !== pinBytes)) throw bad(`a root pin has ${pinBytes} octets`);
  const end = fields.expiresAt.getTime();
  if (!Number.isFinite(end) || end < 0) throw bad("the join string has no valid end");
}

/** `host:port`, `10.0.0.1:7443` or `[::1]:7443`; at most 255 characters. What the host is, its user finds out. */
function isAddress(text: string): boolean {
  const match = /^(?:\[[0-9A-Fa-f:.]{2,64}(?:%[A-Za-z0-9._-]{1,32})?\]|[A-Za-z0-9._-]{1,249}):([1-9]\d{0,4})$/.exec(
    text,
  );
  return match !== null && Number(match[1]) <= 65535;
}

function bigEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** (bytes - 1 - i)) % 256);
}

function charactersFor(octets: number): number {
  return Math.ceil((octets * 4) / 3);
}

function checksum(body: Uint8Array): Uint8Array {
  return createHash("sha256").update(body).digest().subarray(0, checksumBytes);
}

function bad(message: string, cause?: unknown): SpiffeError {
  return new SpiffeError("bad_join_string", message, cause === undefined ? undefined : { cause });
}
