// DER (X.690), the one writer: values as octets, each with the shortest length.
import { constructedTag, TAG } from "./der.ts";

/** The parts behind each other. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One value: this first octet, the length of the parts, the parts. */
export function encode(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (const part of parts) size += part.length;
  let lengthOctets = 0;
  if (size >= 0x80) for (let rest = size; rest > 0; rest = Math.floor(rest / 256)) lengthOctets++;
  const whole = new Uint8Array(2 + lengthOctets + size);
  whole[0] = tag;
  whole[1] = lengthOctets === 0 ? size : 0x80 | lengthOctets;
  for (let i = lengthOctets, rest = size; i > 0; i--, rest = Math.floor(rest / 256)) whole[1 + i] = rest % 256;
  let at = 2 + lengthOctets;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** SEQUENCE of values that are encoded already. */
export function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return encode(TAG.sequence, ...parts);
}

/** SET OF values that are encoded already; sorts them as DER demands. X.690 11.6. */
export function set(...parts: readonly Uint8Array[]): Uint8Array {
  return encode(TAG.set, ...[...parts].sort(compareOctets));
}

/** Order of encodings in a SET OF: as if the shorter were padded with zeros. X.690 11.6. */
export function compareOctets(a: Uint8Array, b: Uint8Array): number {
  const size = Math.max(a.length, b.length);
  for (let i = 0; i < size; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** INTEGER of zero or more: a number, a bigint, or big-endian octets without a sign. TypeError when it is negative. */
export function integer(value: Uint8Array | number | bigint): Uint8Array {
  const octets = typeof value === "object" ? value : unsignedOctets(value);
  let first = 0;
  while (first < octets.length - 1 && octets[first] === 0) first++;
  const minimal = octets.subarray(first);
  if (minimal.length === 0) return encode(TAG.integer, Uint8Array.of(0));
  return (minimal[0] ?? 0) >= 0x80 ? encode(TAG.integer, Uint8Array.of(0), minimal) : encode(TAG.integer, minimal);
}

function unsignedOctets(value: number | bigint): Uint8Array {
  if (value < 0 || (typeof value === "number" && !Number.isSafeInteger(value))) {
    throw new TypeError(`not a whole number of zero or more: ${value}`);
  }
  const hex = value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  const octets = new Uint8Array(even.length / 2);
  for (let i = 0; i < octets.length; i++) octets[i] = Number.parseInt(even.slice(2 * i, 2 * i + 2), 16);
  return octets;
}

/** OBJECT IDENTIFIER from its dotted form. TypeError when it is none. */
export function oid(dotted: string): Uint8Array {
  const arcs = dotted.split(".").map((arc) => (/^(0|[1-9][0-9]*)$/.test(arc) ? Number(arc) : Number.NaN));
  const [first = Number.NaN, second = Number.NaN, ...rest] = arcs;
  const valid = first <= 2 && (first === 2 || second < 40) && arcs.every(Number.isSafeInteger);
  if (!valid) throw new TypeError(`not an object identifier: ${dotted}`);
  const octets: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const base128 = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      base128.unshift(0x80 | (left % 128));
    octets.push(...base128);
  }
  return encode(TAG.oid, Uint8Array.from(octets));
}

export function octetString(octets: Uint8Array): Uint8Array {
  return encode(TAG.octetString, octets);
}

/** BIT STRING; the `unused` low bits of the last octet must be zero. */
export function bitString(octets: Uint8Array, unused = 0): Uint8Array {
  return encode(TAG.bitString, Uint8Array.of(unused), octets);
}

export function boolean(value: boolean): Uint8Array {
  return encode(TAG.boolean, Uint8Array.of(value ? 0xff : 0x00));
}

export function nullValue(): Uint8Array {
  return encode(TAG.null);
}

export function utf8String(text: string): Uint8Array {
  return encode(TAG.utf8String, new TextEncoder().encode(text));
}

/** TypeError for a character that a PrintableString cannot hold. X.680 41.4. */
export function printableString(text: string): Uint8Array {
  if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)) throw new TypeError("a character does not fit a PrintableString");
  return encode(TAG.printableString, new TextEncoder().encode(text));
}

/** TypeError for a character above 7f. */
export function ia5String(text: string): Uint8Array {
  return encode(TAG.ia5String, ascii(text));
}

/** Octets of 7-bit text. TypeError for a character above 7f. */
export function ascii(text: string): Uint8Array {
  const octets = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) throw new TypeError("text has a character above 7f");
    octets[i] = unit;
  }
  return octets;
}

/** Time of a certificate or CRL, cut to the second. RangeError outside 1950 to 9999. RFC 5280 4.1.2.5. */
export function time(date: Date): Uint8Array {
  const year = date.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new RangeError("time is outside 1950 to 9999");
  if (year >= 2050) return generalizedTime(date);
  return encode(TAG.utcTime, ascii(`${timeText(date).slice(2)}Z`));
}

/** GeneralizedTime, cut to the second. */
export function generalizedTime(date: Date): Uint8Array {
  return encode(TAG.generalizedTime, ascii(`${timeText(date)}Z`));
}

function timeText(date: Date): string {
  return date.toISOString().slice(0, 19).replace(/[-:T]/g, "");
}

/** `[n] EXPLICIT` around values that are encoded already. */
export function explicit(n: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return encode(constructedTag(n), ...parts);
}

/** `[n] IMPLICIT`: the encoded value with its tag replaced, primitive or constructed as it was. */
export function implicit(n: number, value: Uint8Array): Uint8Array {
  const retagged = Uint8Array.from(value);
  retagged[0] = 0x80 | ((value[0] ?? 0) & 0x20) | n;
  return retagged;
}
