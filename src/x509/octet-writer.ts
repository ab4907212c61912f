// Writers into one buffer of known size: what the issuing line uses instead of putting values together from copies.
import { TAG } from "./der.ts";
import { X509Error } from "./errors.ts";

/** A length with tag and length octets before it. */
export function whole(length: number): number {
  return length + (length < 0x80 ? 2 : length < 0x100 ? 3 : length < 0x10000 ? 4 : 5);
}

/** Puts octets at a place; answers where they end, as all writers here do. */
export function write(into: Uint8Array, at: number, octets: Uint8Array): number {
  into.set(octets, at);
  return at + octets.length;
}

/** Tag and length. */
export function writeHeader(into: Uint8Array, at: number, tag: number, length: number): number {
  into[at] = tag;
  const bytes = whole(length) - length - 2;
  into[at + 1] = bytes === 0 ? length : 0x80 | bytes;
  for (let i = 0; i < bytes; i++) into[at + 2 + i] = (length >>> (8 * (bytes - 1 - i))) & 0xff;
  return at + 2 + bytes;
}

/** Visible ASCII under a tag. Throws X509Error "bad_certificate" when it is empty or holds anything else. */
export function writeText(into: Uint8Array, start: number, tag: number, text: string): number {
  if (text.length === 0) throw bad("a name of the certificate is empty");
  const at = writeHeader(into, start, tag, text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit <= 0x20 || unit >= 0x7f) throw bad("a name of the certificate has a character that it cannot have");
    into[at + i] = unit;
  }
  return at + text.length;
}

/** Octets of a Time with its header. */
export function timeBytes(date: Date): number {
  return date.getUTCFullYear() < 2050 ? 15 : 17;
}

/** UTCTime until 2049, GeneralizedTime from 2050 on. Throws X509Error "bad_certificate". RFC 5280 4.1.2.5. */
export function writeTime(into: Uint8Array, start: number, date: Date): number {
  const year = date.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw bad("a time of the certificate is outside of 1950 to 9999");
  let at = writeHeader(into, start, year < 2050 ? TAG.utcTime : TAG.generalizedTime, timeBytes(date) - 2);
  if (year >= 2050) at = writeTwoDigits(into, at, Math.floor(year / 100));
  at = writeTwoDigits(into, at, year % 100);
  at = writeTwoDigits(into, at, date.getUTCMonth() + 1);
  at = writeTwoDigits(into, at, date.getUTCDate());
  at = writeTwoDigits(into, at, date.getUTCHours());
  at = writeTwoDigits(into, at, date.getUTCMinutes());
  at = writeTwoDigits(into, at, date.getUTCSeconds());
  into[at] = 0x5a;
  return at + 1;
}

function writeTwoDigits(into: Uint8Array, at: number, value: number): number {
  into[at] = 0x30 + Math.floor(value / 10);
  into[at + 1] = 0x30 + (value % 10);
  return at + 2;
}

function bad(what: string): X509Error {
  return new X509Error("bad_certificate", what);
}
