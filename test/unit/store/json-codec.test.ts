import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { headerAndBytes, jsonCodec } from "../../../src/store/json-codec.ts";

const codec = jsonCodec<unknown>();
const roundTrip = (value: unknown): unknown => codec.decode(codec.encode(value), 1);

describe("jsonCodec()", () => {
  test.each([
    ["bigint", { a: 2n ** 80n, b: -1n, c: 0n }],
    ["octets", { a: new Uint8Array([0, 255, 1]), b: new Uint8Array() }],
    ["dates", { a: new Date(0), b: new Date("2026-11-25T01:02:03.004Z") }],
    ["nested", [[{ a: [1n, { b: new Date(5) }] }], null, true, "x"]],
    [
      "members that look like its own",
      { $date: "x", $bigint: "7", $$: 1, $: 2, a: { $bytes: "AAAA" }, $$bytes: ["y"] },
    ],
    ["one member that looks like its own", { $bigint: "7" }],
    ["text that looks like its own", ['"$bigint"', '{"$date": 1}']],
    ["a member named __proto__", JSON.parse('{"__proto__": {"a": 1}, "b": {"$": 1}}')],
    ["surrogates", { a: "\ud800", b: "\u{1f600}\0" }],
    ["a value that is no object", 12n],
  ])("%s come back as they were", (_, value) => {
    expect(roundTrip(value)).toEqual(value);
    expect(Object.getPrototypeOf(roundTrip({ v: value }))).toBe(Object.prototype);
  });

  test("whatever it takes comes back as it was", () => {
    const leaf = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom("$bigint", "$$date", "$"),
      fc.boolean(),
      fc.constant(null),
      fc.bigInt(),
      fc.date({ noInvalidDate: true }),
      fc.uint8Array(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n)),
    );
    const name = fc.oneof(fc.string(), fc.constantFrom("$bigint", "$date", "$bytes", "$$", "__proto__", "toJSON"));
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        leaf,
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.array(fc.tuple(name, tie("tree")), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
      ),
    }));
    fc.assert(
      fc.property(tree, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
    );
  });

  test.each([
    ["NaN", Number.NaN],
    ["infinity", { a: [Number.POSITIVE_INFINITY] }],
    ["undefined in a list", [undefined]],
    ["a hole in a list", Array(1)],
    ["undefined itself", undefined],
    ["a function", { toJSON: () => 1 }],
    ["a symbol", [Symbol("s")]],
    ["a Map", { a: new Map() }],
    ["an object of a class", new (class Point {})()],
    ["other octets", new Uint16Array(1)],
    ["an invalid date", new Date(Number.NaN)],
  ])("encode() refuses %s, which would not come back", (_, value) => {
    expect(() => codec.encode(value)).toThrow(/cannot be stored|Invalid time/);
  });

  test("members that are undefined are left out", () => {
    expect(roundTrip({ a: undefined, b: 1 })).toEqual({ b: 1 });
  });

  test("decode() refuses versions that it does not know, and upgrades older ones", () => {
    const octets = jsonCodec<{ a: number }>().encode({ a: 1 });
    expect(() => codec.decode(octets, 2)).toThrow("version 2 is not known, versions up to 1 are");
    expect(() => codec.decode(octets, 0)).toThrow(TypeError);
    const second = jsonCodec<{ b: number }>({
      version: 2,
      upgrade: (old, from) => ({ b: (old as { a: number }).a + from }),
    });
    expect(second.decode(octets, 1)).toEqual({ b: 2 });
    expect(second.decode(second.encode({ b: 9 }), 2)).toEqual({ b: 9 });
    expect(() => second.decode(octets, 3)).toThrow(TypeError);
  });
});

describe("headerAndBytes()", () => {
  interface Held {
    readonly name: string;
    readonly number: bigint;
    readonly der: Uint8Array;
    readonly note?: string;
  }
  const held = headerAndBytes<Held, "der">("der");

  test("gives back header and octets, also when the encoding lies inside a longer buffer", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        fc.bigInt(),
        fc.uint8Array({ maxLength: 300 }),
        (name, number, der) => {
          const octets = held.encode({ name, number, der });
          const inside = new Uint8Array(octets.length + 10);
          inside.set(octets, 7);
          const decoded = held.decode(inside.subarray(7, 7 + octets.length), 1);
          expect(decoded).toStrictEqual({ name, number, der: Uint8Array.from(der) });
        },
      ),
    );
  });

  test("stores the octets as they are, once", () => {
    const der = new Uint8Array(500).fill(0xab);
    expect(held.encode({ name: "n", number: 1n, der }).length).toBeLessThan(570);
  });

  test("the octets read are a copy", () => {
    const octets = held.encode({ name: "n", number: 1n, der: new Uint8Array([1, 2]) });
    const { der } = held.decode(octets, 1);
    octets.fill(9);
    expect(der).toEqual(new Uint8Array([1, 2]));
  });

  test("refuses what is cut short, and a value without octets", () => {
    const octets = held.encode({ name: "name", number: 1n, der: new Uint8Array() });
    for (let length = 0; length < octets.length; length++) {
      expect(() => held.decode(octets.subarray(0, length), 1)).toThrow();
    }
    expect(() => held.encode({ name: "n", number: 1n, der: "text" as unknown as Uint8Array })).toThrow(
      "der must be octets",
    );
    expect(() => held.decode(octets, 2)).toThrow(TypeError);
  });
});
