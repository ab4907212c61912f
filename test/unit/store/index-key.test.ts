import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  compareText,
  decodePosition,
  encodePosition,
  entryBounds,
  indexEntry,
  keyOfEntry,
} from "../../../src/store/index-key.ts";
import type { IndexValue } from "../../../src/store/store.ts";

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 4 }).map((value) => value.replaceAll("\0", "").toWellFormed()),
  fc.constantFrom("", "a", "\x01", "\x02", "\x03", "\x04", "\uffff", "\u{10000}"),
);
const number = fc.oneof(fc.double({ noNaN: true }), fc.integer(), fc.constantFrom(0, -0, 1, -1, 2 ** 53, 5e-324));
const tuple = fc.array(fc.oneof(text, number), { maxLength: 3 });
const octets = (value: string): Buffer => Buffer.from(value, "utf8");

describe("index entries", () => {
  test("compareText() is the order of the UTF-8 octets", () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Buffer.compare(octets(a), octets(b)));
      }),
    );
  });

  test("indexEntry() orders like its tuples, then by key, in UTF-8 octets", () => {
    fc.assert(
      fc.property(tuple, text, tuple, text, (a, keyA, b, keyB) => {
        const inOctets = Buffer.compare(octets(indexEntry(a, keyA)), octets(indexEntry(b, keyB)));
        expect(inOctets).toBe(orderOf(a, b) || Buffer.compare(octets(keyA), octets(keyB)));
      }),
      { numRuns: 2000 },
    );
  });

  test("keyOfEntry() finds the key whatever the tuple holds", () => {
    fc.assert(
      fc.property(tuple, text, (values, key) => {
        expect(keyOfEntry(indexEntry(values, key))).toBe(key);
      }),
    );
  });

  test("keyOfEntry() is undefined for what is no entry", () => {
    for (const damaged of ["", "x", "\x02123", "\x03abc", "\x03abc\0", "\x04\x01k"])
      expect(keyOfEntry(damaged)).toBeUndefined();
  });

  test("entryBounds() hold exactly the tuples that begin with the prefix", () => {
    fc.assert(
      fc.property(tuple, tuple, text, (prefix, values, key) => {
        const { gte, lt } = entryBounds("some", { prefix });
        const entry = indexEntry(values, key);
        const inside = compareText(entry, gte) >= 0 && (lt === undefined || compareText(entry, lt) < 0);
        expect(inside).toBe(prefix.every((part, i) => part === values[i]));
      }),
      { numRuns: 2000 },
    );
  });

  test("a position round-trips, and text that is none is refused", () => {
    fc.assert(
      fc.property(tuple, text, (values, key) => {
        const entry = indexEntry(values, key);
        expect(decodePosition(encodePosition(entry))).toBe(entry);
      }),
    );
    for (const bad of ["", "=", "a", "YQ==", "YQ\n", "_w", "é"])
      expect(() => decodePosition(bad), bad).toThrow("position");
  });
});

function orderOf(a: readonly IndexValue[], b: readonly IndexValue[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0];
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
    const order = typeof x === "string" ? Buffer.compare(octets(x), octets(String(y))) : Math.sign(x - Number(y)) || 0;
    if (x !== y && order !== 0) return order;
  }
  return Math.sign(a.length - b.length);
}
