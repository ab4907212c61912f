import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { foreign, maxForeignCharacters, printable } from "../../../src/platform/foreign-text.ts";
import { nearest } from "../../../src/platform/nearest.ts";

const steering = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/u;
const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
);

describe("foreign()", () => {
  it("foreign() leaves no control, bidi or hidden character and at most 64 characters", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const shown = foreign(text);
        expect(shown).not.toMatch(steering);
        expect(Array.from(shown).length).toBeLessThanOrEqual(maxForeignCharacters);
      }),
    );
  });

  it.each([
    ["plain text", "plain text"],
    ["a\u001b[31mred", "a\\u{1b}[31mred"],
    ["one\ntwo", "one\\u{a}two"],
    ["\u202egnp.exe", "\\u{202e}gnp.exe"],
    ["zero\u200bwidth", "zero\\u{200b}width"],
    ["half \ud800", "half \\u{d800}"],
    ["", ""],
    ["x".repeat(64), "x".repeat(64)],
    ["x".repeat(65), `${"x".repeat(63)}…`],
    ["größe 日本", "größe 日本"],
  ])("foreign(%j) is %j", (text, shown) => {
    expect(foreign(text)).toBe(shown);
  });

  it("foreign() cuts before an escape rather than through it", () => {
    expect(foreign(`${"x".repeat(60)}\u202e`)).toBe(`${"x".repeat(60)}…`);
    expect(foreign(`${"x".repeat(56)}\u202e`)).toBe(`${"x".repeat(56)}\\u{202e}`);
  });
});

describe("printable()", () => {
  it("printable() keeps the whole text and escapes what foreign() escapes", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(printable(text)).not.toMatch(steering);
      }),
    );
    expect(printable(`${"x".repeat(100)}\u0007`)).toBe(`${"x".repeat(100)}\\u{7}`);
  });
});

describe("nearest()", () => {
  const names = ["trust_domain", "data_dir", "listen", "log", "agent_grace"];
  it.each([
    ["trust_domian", "trust_domain"],
    ["trustDomain", "trust_domain"],
    ["data-dir", "data_dir"],
    ["lsiten", "listen"],
    ["lgo", "log"],
    ["agent_gracee", "agent_grace"],
    ["data", "data_dir"],
    ["listening", "listen"],
  ])("nearest(%j) is %j", (typed, meant) => {
    expect(nearest(typed, names)).toBe(meant);
  });

  it.each(["colour", "", "zzz", "x".repeat(1000)])("nearest(%j) is nothing", (typed) => {
    expect(nearest(typed, names)).toBeUndefined();
  });

  it("nearest() answers one of the names or nothing, for any text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect([undefined, ...names]).toContain(nearest(text, names));
      }),
    );
  });
});
