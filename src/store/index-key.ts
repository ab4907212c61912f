// Index tuples as text whose order is the order of the tuples: numbers by size, strings by UTF-8 octets, a shorter tuple
// before those that begin with it. An entry is a tuple, an end mark and the record's key, so entries of equal tuples are
// ordered by key. Compare entries by UTF-8 octets (`compareText`), which is not the order of JavaScript's `<`.
//
// element = "\x02" 10 characters (a number) | "\x03" text "\x00" · entry = element* "\x01" key
// The index "key" has the bare key as its entry.

import { type IndexValue, type ScanRange, StoreError } from "./store.ts";

/** The index that every collection has: its key. */
export const KEY_INDEX = "key";

const END = "\x01";
const NUMBER = "\x02";
const TEXT = "\x03";
const BEYOND_ANY_ELEMENT = "\x04";
const NUMBER_CHARACTERS = 10;
const MAX_KEY_CHARACTERS = 512;

const float = new DataView(new ArrayBuffer(8));

/** Throws "wrong_use" unless `key` may be a record's key: 1 to 512 characters, no NUL, no half of a surrogate pair. */
export function checkKey(collection: string, key: string): void {
  if (key.length < 1 || key.length > MAX_KEY_CHARACTERS) {
    throw new StoreError("wrong_use", `a key of ${collection} must be 1 to 512 characters, got ${key.length}`);
  }
  if (key.includes("\0") || !key.isWellFormed()) {
    throw new StoreError("wrong_use", `a key of ${collection} holds a NUL or half of a surrogate pair`);
  }
}

/** The entry under which an index finds a record. */
export function indexEntry(tuple: readonly IndexValue[], key: string): string {
  return encodeTuple(tuple) + END + key;
}

/** The record key of an entry of `indexEntry`; undefined when the text is no entry. */
export function keyOfEntry(entry: string): string | undefined {
  let at = 0;
  for (;;) {
    const tag = entry[at];
    if (tag === END) return entry.slice(at + 1);
    if (tag === NUMBER) at += 1 + NUMBER_CHARACTERS;
    else if (tag === TEXT) {
      const end = entry.indexOf("\0", at);
      if (end < 0) return undefined;
      at = end + 1;
    } else return undefined;
  }
}

/** Entries from `gte` to below `lt`; undefined means no bound. */
export interface EntryBounds {
  readonly gte: string;
  readonly lt: string | undefined;
}

/** The entries of a range. Throws "wrong_use" for a value that no index holds. */
export function entryBounds(index: string, range: ScanRange): EntryBounds {
  if (index === KEY_INDEX) return keyBounds(range);
  const prefix = encodeTuple(range.prefix ?? []);
  const end = prefix === "" ? undefined : prefix + BEYOND_ANY_ELEMENT;
  return {
    gte: prefix + encodeTuple(range.from ?? []),
    lt: range.to === undefined ? end : prefix + encodeTuple(range.to),
  };
}

function keyBounds(range: ScanRange): EntryBounds {
  const { prefix = [], from = [], to } = range;
  const [key] = prefix;
  if (prefix.length > 1 || from.length > 1 || (to?.length ?? 0) > 1 || (key !== undefined && from.length > 0)) {
    throw new StoreError("wrong_use", "the index key has one value");
  }
  if (key !== undefined) {
    if (to !== undefined) throw new StoreError("wrong_use", "the index key has one value");
    return { gte: keyText(key), lt: `${keyText(key)}\0` };
  }
  const gte = from[0] === undefined ? "" : keyText(from[0]);
  if (to === undefined) return { gte, lt: undefined };
  return { gte, lt: to[0] === undefined ? "" : keyText(to[0]) };
}

function keyText(value: IndexValue): string {
  if (typeof value !== "string") throw new StoreError("wrong_use", "the index key holds text");
  checkText(value);
  return value;
}

/** Narrows bounds to what follows an entry (or comes before it, in reverse). */
export function boundsAfter(bounds: EntryBounds, entry: string, reverse: boolean): EntryBounds {
  if (reverse) {
    return bounds.lt === undefined || compareText(entry, bounds.lt) < 0 ? { gte: bounds.gte, lt: entry } : bounds;
  }
  const next = `${entry}\0`;
  return compareText(next, bounds.gte) > 0 ? { gte: next, lt: bounds.lt } : bounds;
}

/** Whether no entry can be between the bounds. */
export function isEmpty(bounds: EntryBounds): boolean {
  return bounds.lt !== undefined && compareText(bounds.gte, bounds.lt) >= 0;
}

/** The opaque text that continues a scan after an entry. */
export function encodePosition(entry: string): string {
  return Buffer.from(entry, "utf8").toString("base64url");
}

/** The entry of a position. Throws "wrong_use" for text that no scan gave out. */
export function decodePosition(position: string): string {
  const entry = Buffer.from(position, "base64url").toString("utf8");
  if (entry === "" || encodePosition(entry) !== position) {
    throw new StoreError("wrong_use", "the position was not given out by a scan");
  }
  return entry;
}

/** Order by UTF-8 octets. */
export function compareText(a: string, b: string): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return afterSurrogates(x) - afterSurrogates(y);
  }
  return a.length - b.length;
}

// Code units of surrogate pairs stand below U+E000..U+FFFF in UTF-16 and above them in UTF-8.
function afterSurrogates(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

function encodeTuple(tuple: readonly IndexValue[]): string {
  let text = "";
  for (const value of tuple) {
    if (typeof value === "number") text += NUMBER + encodeNumber(value);
    else {
      checkText(value);
      text += `${TEXT}${value}\0`;
    }
  }
  return text;
}

function checkText(value: unknown): asserts value is string {
  if (typeof value !== "string") throw new StoreError("wrong_use", "an index value must be text or a number");
  if (value.includes("\0") || !value.isWellFormed()) {
    throw new StoreError("wrong_use", "an index value holds a NUL or half of a surrogate pair");
  }
}

// IEEE 754 doubles compare like integers once the sign bit is turned round, and all bits of negative ones. The 64 bits
// go into 10 characters of 7 bits, which are one octet each in UTF-8.
function encodeNumber(value: number): string {
  if (Number.isNaN(value)) throw new StoreError("wrong_use", "an index value must not be NaN");
  float.setFloat64(0, value === 0 ? 0 : value);
  const flip = float.getInt32(0) < 0 ? 0xffffffff : 0;
  const high = float.getUint32(0) ^ (flip === 0 ? 0x80000000 : flip);
  const low = float.getUint32(4) ^ flip;
  return String.fromCharCode(
    high >>> 31,
    (high >>> 24) & 0x7f,
    (high >>> 17) & 0x7f,
    (high >>> 10) & 0x7f,
    (high >>> 3) & 0x7f,
    ((high & 0x7) << 4) | (low >>> 28),
    (low >>> 21) & 0x7f,
    (low >>> 14) & 0x7f,
    (low >>> 7) & 0x7f,
    low & 0x7f,
  );
}
