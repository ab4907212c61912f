// DER (X.690), the one strict reader. It checks a whole tree once, without recursion, and then hands out views; nothing is
// copied. The writer is der-writer.ts.

import { X509Error } from "./errors.ts";

/** Nesting below one outermost value. */
const MAX_DER_DEPTH = 16;
/** Octets of an INTEGER: a 4,096-bit number and its sign octet. */
const MAX_INTEGER_OCTETS = 513;
/** Octets of an OBJECT IDENTIFIER. Arcs are compared as octets, so nothing longer is needed. */
const MAX_OID_OCTETS = 64;

/** First octet of each type that is read or written here. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** First octet of `[n]` around a primitive value (IMPLICIT). */
export function primitiveTag(n: number): number {
  return 0x80 | n;
}

/** First octet of `[n]` around a constructed value (EXPLICIT, or IMPLICIT of a SEQUENCE or SET). */
export function constructedTag(n: number): number {
  return 0xa0 | n;
}

/** One value of a tree that was checked by `readDer`. `raw` and `content` are views into `source`. */
export interface DerValue {
  readonly tag: number;
  readonly raw: Uint8Array;
  readonly content: Uint8Array;
  /** The octets that the value lies in, and where: for comparing without making views. */
  readonly source: Uint8Array;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
}

class View implements DerValue {
  readonly tag: number;
  readonly source: Uint8Array;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
  constructor(source: Uint8Array, start: number, contentStart: number, end: number) {
    this.tag = octetAt(source, start);
    this.source = source;
    this.start = start;
    this.contentStart = contentStart;
    this.end = end;
  }
  get raw(): Uint8Array {
    return this.source.subarray(this.start, this.end);
  }
  get content(): Uint8Array {
    return this.source.subarray(this.contentStart, this.end);
  }
}

function octetAt(source: Uint8Array, at: number): number {
  const octet = source[at];
  if (octet === undefined) throw new X509Error("bad_der", "the encoding ends too early");
  return octet;
}

function hexOctet(octet: number): string {
  return `0x${octet.toString(16).padStart(2, "0")}`;
}

function counted(octets: number): string {
  return octets === 1 ? "1 octet" : `${octets} octets`;
}

// ---- reading ----

/**
 * Reads exactly one DER value that fills `bytes` to the last octet. The whole tree below constructed tags is checked
 * here: minimal definite lengths, nothing left over, at most 16 levels, and the content rules of BOOLEAN, INTEGER,
 * BIT STRING, NULL and OBJECT IDENTIFIER. OCTET and BIT STRINGs are not looked into. Throws "bad_der". X.690 10, 11.
 */
export function readDer(bytes: Uint8Array, what = "value"): DerValue {
  const source =
    bytes.constructor === Uint8Array ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (source.length === 0) throw new X509Error("bad_der", `${what} is empty`);
  const contentStart = checkTree(source, what);
  return new View(source, 0, contentStart, source.length);
}

/** Checks every header of the tree; returns where the content of the outermost value starts. */
function checkTree(source: Uint8Array, what: string): number {
  const size = source.length;
  const ends: number[] = [];
  let limit = size;
  let at = 0;
  let outermost = -1;
  for (;;) {
    while (at === limit) {
      const parent = ends.pop();
      if (parent === undefined) return outermost;
      limit = parent;
    }
    if (outermost >= 0 && ends.length === 0) throw new X509Error("bad_der", `${counted(size - at)} after ${what}`);
    const tag = octetAt(source, at);
    if (at + 2 > limit) throw new X509Error("bad_der", `a header at ${at} of ${what} is cut off`);
    let contentStart = at + 2;
    let length = octetAt(source, at + 1);
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0) throw new X509Error("bad_der", `indefinite length at ${at} of ${what}`);
      if (count > 4) throw new X509Error("bad_der", `length in ${count} octets at ${at} of ${what}, at most 4`);
      if (contentStart + count > limit) throw new X509Error("bad_der", `a header at ${at} of ${what} is cut off`);
      length = 0;
      for (let i = 0; i < count; i++) length = length * 256 + octetAt(source, contentStart + i);
      if (length < 0x80 || length < 256 ** (count - 1)) {
        throw new X509Error("bad_der", `length at ${at} of ${what} is not minimal`);
      }
      contentStart += count;
    }
    const end = contentStart + length;
    if (end > limit) {
      throw new X509Error("bad_der", `length at ${at} of ${what} runs ${end - limit} octets past its parent`);
    }
    if (outermost < 0) outermost = contentStart;
    if ((tag & 0x1f) === 0x1f) throw new X509Error("bad_der", `tag number above 30 at ${at} of ${what}`);
    if ((tag & 0x20) !== 0) {
      if (tag < 0x40 && tag !== TAG.sequence && tag !== TAG.set) {
        throw new X509Error("bad_der", `constructed encoding of universal tag ${tag & 0x1f} at ${at} of ${what}`);
      }
      if (ends.length >= MAX_DER_DEPTH) {
        throw new X509Error("bad_der", `${what} is nested more than ${MAX_DER_DEPTH} levels deep`);
      }
      ends.push(limit);
      limit = end;
      at = contentStart;
    } else {
      if (tag < 0x40) checkPrimitive(source, tag, contentStart, end);
      at = end;
    }
  }
}

function checkPrimitive(source: Uint8Array, tag: number, start: number, end: number): void {
  switch (tag) {
    case TAG.boolean:
      return checkBoolean(source, start, end);
    case TAG.integer:
    case TAG.enumerated:
      return checkInteger(source, start, end);
    case TAG.bitString:
      return checkBitString(source, start, end);
    case TAG.null:
      if (end !== start) throw new X509Error("bad_der", `NULL has ${end - start} octets`);
      return;
    case TAG.oid:
      return checkOid(source, start, end);
    case 0x00:
      throw new X509Error("bad_der", "end-of-contents octets have no place in DER");
    case 0x10:
    case 0x11:
      throw new X509Error("bad_der", "SEQUENCE or SET is not constructed");
  }
}

function checkBoolean(source: Uint8Array, start: number, end: number): void {
  if (end - start !== 1) throw new X509Error("bad_der", `BOOLEAN has ${end - start} octets, must be 1`);
  const octet = octetAt(source, start);
  if (octet !== 0x00 && octet !== 0xff) throw new X509Error("bad_der", `BOOLEAN is ${hexOctet(octet)}, not 00 or ff`);
}

function checkInteger(source: Uint8Array, start: number, end: number): void {
  const size = end - start;
  if (size === 0) throw new X509Error("bad_der", "INTEGER has no octets");
  if (size > MAX_INTEGER_OCTETS) {
    throw new X509Error("bad_der", `INTEGER has ${size} octets, at most ${MAX_INTEGER_OCTETS}`);
  }
  if (size === 1) return;
  const first = octetAt(source, start);
  const sign = octetAt(source, start + 1) & 0x80;
  if ((first === 0x00 && sign === 0) || (first === 0xff && sign !== 0)) {
    throw new X509Error("bad_der", "INTEGER has a superfluous leading octet");
  }
}

function checkBitString(source: Uint8Array, start: number, end: number): void {
  if (end === start) throw new X509Error("bad_der", "BIT STRING has no octets");
  const unused = octetAt(source, start);
  if (unused > 7) throw new X509Error("bad_der", `BIT STRING has ${unused} unused bits, at most 7`);
  if (unused === 0) return;
  if (end - start === 1) throw new X509Error("bad_der", "empty BIT STRING with unused bits");
  if ((octetAt(source, end - 1) & ((1 << unused) - 1)) !== 0) {
    throw new X509Error("bad_der", "unused bits of a BIT STRING are not zero");
  }
}

function checkOid(source: Uint8Array, start: number, end: number): void {
  const size = end - start;
  if (size === 0) throw new X509Error("bad_der", "OBJECT IDENTIFIER has no octets");
  if (size > MAX_OID_OCTETS) {
    throw new X509Error("bad_der", `OBJECT IDENTIFIER has ${size} octets, at most ${MAX_OID_OCTETS}`);
  }
  let first = true;
  for (let at = start; at < end; at++) {
    const octet = octetAt(source, at);
    if (first && octet === 0x80) throw new X509Error("bad_der", "arc of an OBJECT IDENTIFIER is not minimal");
    first = octet < 0x80;
  }
  if (!first) throw new X509Error("bad_der", "OBJECT IDENTIFIER ends inside an arc");
}

/** The values directly inside a constructed value, in order. */
export function children(value: DerValue): readonly DerValue[] {
  const reader = new DerReader(value);
  const found: DerValue[] = [];
  while (!reader.atEnd) found.push(reader.any("value"));
  return found;
}

/** Walks the values directly inside a constructed value, by position. All its errors are "bad_der". */
export class DerReader {
  readonly #source: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(value: DerValue) {
    if ((value.tag & 0x20) === 0) throw new X509Error("bad_der", `tag ${hexOctet(value.tag)} is not constructed`);
    this.#source = value.source;
    this.#at = value.contentStart;
    this.#end = value.end;
  }

  get atEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** Tag of what comes next; undefined at the end. */
  get peekTag(): number | undefined {
    return this.#at >= this.#end ? undefined : this.#source[this.#at];
  }

  /** The next value, whatever its tag. */
  any(what: string): DerValue {
    if (this.#at >= this.#end) throw new X509Error("bad_der", `missing: ${what}`);
    // readDer checked this header: minimal, definite and inside its parent.
    const start = this.#at;
    let contentStart = start + 2;
    let length = octetAt(this.#source, start + 1);
    if (length >= 0x80) {
      const lengthEnd = contentStart + (length & 0x7f);
      length = 0;
      while (contentStart < lengthEnd) length = length * 256 + octetAt(this.#source, contentStart++);
    }
    this.#at = contentStart + length;
    return new View(this.#source, start, contentStart, this.#at);
  }

  /** The next value, which must have this tag. `what` names it in the error. */
  next(tag: number, what: string): DerValue {
    const found = this.peekTag;
    if (found === undefined) throw new X509Error("bad_der", `missing: ${what}`);
    if (found !== tag) throw new X509Error("bad_der", `${what} has tag ${hexOctet(found)}, must be ${hexOctet(tag)}`);
    return this.any(what);
  }

  /** The next value when it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.peekTag === tag ? this.any("value") : undefined;
  }

  /** Refuses anything that is left. */
  end(what: string): void {
    if (this.#at < this.#end) throw new X509Error("bad_der", `${counted(this.#end - this.#at)} left over in ${what}`);
  }
}

/** True when the whole encoding of the value (with its header) is these octets. */
export function sameDer(value: DerValue, der: Uint8Array): boolean {
  const { source, start } = value;
  if (value.end - start !== der.length) return false;
  for (let i = 0; i < der.length; i++) if (source[start + i] !== der[i]) return false;
  return true;
}

/** True when both hold the same octets. Not constant in time: for public values. */
export function sameOctets(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Content of an INTEGER: big-endian two's complement, minimal, 1 to 513 octets. Throws "bad_der". */
export function readInteger(value: DerValue): Uint8Array {
  checkInteger(value.source, value.contentStart, value.end);
  return value.content;
}

/** An INTEGER from 0 to 2^48-1. Throws "bad_der" for others. */
export function readSmallInteger(value: DerValue): number {
  const octets = readInteger(value);
  if (octetAt(octets, 0) >= 0x80) throw new X509Error("bad_der", "INTEGER is negative");
  if (octets.length > 7 || (octets.length === 7 && octets[0] !== 0)) {
    throw new X509Error("bad_der", `INTEGER has ${octets.length} octets, at most 6 here`);
  }
  let number = 0;
  for (const octet of octets) number = number * 256 + octet;
  return number;
}

/** A non-negative INTEGER of any size up to 513 octets. Throws "bad_der" when it is negative. */
export function readUnsignedInteger(value: DerValue): bigint {
  const octets = readInteger(value);
  if (octetAt(octets, 0) >= 0x80) throw new X509Error("bad_der", "INTEGER is negative");
  let text = "0x";
  for (const octet of octets) text += octet.toString(16).padStart(2, "0");
  return BigInt(text);
}

/** An OBJECT IDENTIFIER as `1.2.840`; one with an arc of 2^53 or more as `oid:` and its octets in hex. Throws "bad_der". */
export function readOid(value: DerValue): string {
  const { source, contentStart, end } = value;
  checkOid(source, contentStart, end);
  let text = "";
  let arc = 0;
  for (let at = contentStart; at < end; at++) {
    const octet = octetAt(source, at);
    arc = arc * 128 + (octet & 0x7f);
    if (arc > Number.MAX_SAFE_INTEGER) return oidInHex(value.content);
    if (octet >= 0x80) continue;
    if (text !== "") text += `.${arc}`;
    else if (arc < 80) text = arc < 40 ? `0.${arc}` : `1.${arc - 40}`;
    else text = `2.${arc - 80}`;
    arc = 0;
  }
  return text;
}

function oidInHex(content: Uint8Array): string {
  let text = "oid:";
  for (const octet of content) text += octet.toString(16).padStart(2, "0");
  return text;
}

/** A BOOLEAN. Throws "bad_der". */
export function readBoolean(value: DerValue): boolean {
  checkBoolean(value.source, value.contentStart, value.end);
  return value.source[value.contentStart] === 0xff;
}

/** A BIT STRING: its octets and how many low bits of the last one are unused (and zero). Throws "bad_der". */
export function readBitString(value: DerValue): { readonly unused: number; readonly bytes: Uint8Array } {
  checkBitString(value.source, value.contentStart, value.end);
  const { source, contentStart, end } = value;
  return { unused: octetAt(source, contentStart), bytes: source.subarray(contentStart + 1, end) };
}

/** The octets of an OCTET STRING. */
export function readOctetString(value: DerValue): Uint8Array {
  return value.content;
}

/** Text of 7-bit characters (IA5String, PrintableString, VisibleString). Throws "bad_der" at an octet above 7f. */
export function readIa5(value: DerValue): string {
  const { source, contentStart, end } = value;
  let text = "";
  for (let at = contentStart; at < end; at++) {
    const octet = octetAt(source, at);
    if (octet > 0x7f) throw new X509Error("bad_der", `octet ${hexOctet(octet)} in a string of 7-bit characters`);
    text += String.fromCharCode(octet);
  }
  return text;
}

/**
 * A Time: UTCTime for 1950 to 2049, GeneralizedTime for later years; whole seconds and Z, a real date. Throws
 * "bad_der". RFC 5280 4.1.2.5.
 */
export function readTime(value: DerValue): Date {
  if (value.tag === TAG.utcTime) {
    const digits = timeDigits(value, 12, "UTCTime");
    const short = Number(digits.slice(0, 2));
    return dateOf(short < 50 ? 2000 + short : 1900 + short, digits.slice(2));
  }
  const date = readGeneralizedTime(value);
  if (date.getUTCFullYear() < 2050) throw new X509Error("bad_der", "a time before 2050 must be a UTCTime");
  return date;
}

/** A GeneralizedTime of any year, whole seconds and Z, as OCSP has it. Throws "bad_der". RFC 5280 4.1.2.5.2. */
export function readGeneralizedTime(value: DerValue): Date {
  if (value.tag !== TAG.generalizedTime) throw new X509Error("bad_der", `tag ${hexOctet(value.tag)} is not a time`);
  const digits = timeDigits(value, 14, "GeneralizedTime");
  return dateOf(Number(digits.slice(0, 4)), digits.slice(4));
}

function timeDigits(value: DerValue, count: number, what: string): string {
  const { source, contentStart, end } = value;
  const wrong = (): X509Error => new X509Error("bad_der", `${what} is not ${count} digits and Z`);
  if (end - contentStart !== count + 1 || source[end - 1] !== 0x5a) throw wrong();
  let digits = "";
  for (let at = contentStart; at < end - 1; at++) {
    const octet = octetAt(source, at);
    if (octet < 0x30 || octet > 0x39) throw wrong();
    digits += String.fromCharCode(octet);
  }
  return digits;
}

function dateOf(year: number, rest: string): Date {
  const part = (at: number): number => Number(rest.slice(at, at + 2));
  const [month, day, hour, minute, second] = [part(0), part(2), part(4), part(6), part(8)];
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  const real =
    date.getUTCFullYear() === year &&
    date.getUTCMonth() === month - 1 &&
    date.getUTCDate() === day &&
    date.getUTCHours() === hour &&
    date.getUTCMinutes() === minute &&
    date.getUTCSeconds() === second;
  if (!real) throw new X509Error("bad_der", "time is not a real date");
  return date;
}
