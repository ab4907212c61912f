import { describe, expect, it } from "vitest";

import { integerOf, isObject, JsonError, readJson } from "../../../src/spiffe/strict-json.ts";

describe("readJson()", () => {
  it("reads every kind of value", () => {
    const value = readJson(' { "a" : [ null , true,false, "x\\u0041\\n", -1.5e+3 ], "" : {} } ');
    expect(isObject(value) && value.get("a")).toEqual([null, true, false, "xA\n", { literal: "-1.5e+3" }]);
  });

  it.each([
    "",
    " ",
    "{",
    "[1",
    "[1,]",
    '{"a":1,}',
    '{"a" 1}',
    "{a:1}",
    "'a'",
    '"a',
    '"\\x"',
    '"\n"',
    "01",
    "+1",
    "1.",
    ".5",
    "-",
    "nul",
    "NaN",
    "1 2",
    "\ufeff1",
    "/**/1",
  ])("refuses %j (RFC 8259)", (text) => {
    expect(() => readJson(text)).toThrow(JsonError);
  });

  it("refuses a member twice, also when it is escaped once", () => {
    expect(() => readJson('{"a":1,"\\u0061":2}')).toThrow("a member twice in one object");
  });

  it("refuses more than 32 levels and does not overflow", () => {
    expect(() => readJson("[".repeat(100_000))).toThrow("more than 32 levels");
    expect(() => readJson(`${"[".repeat(32)}1${"]".repeat(32)}`)).not.toThrow();
    expect(() => readJson(`${"[".repeat(33)}1${"]".repeat(33)}`)).toThrow(JsonError);
  });

  it("keeps __proto__ as a name like any other", () => {
    const value = readJson('{"__proto__": {"polluted": true}}');
    expect(isObject(value) && [...value.keys()]).toEqual(["__proto__"]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe("integerOf()", () => {
  it("keeps all digits", () => {
    expect(integerOf(readJson("9007199254740993"))).toBe(9007199254740993n);
    expect(integerOf(readJson("-1"))).toBe(-1n);
  });

  it.each(["1.0", "1e3", '"1"', "null", "[1]", "{}", "9".repeat(41)])("answers undefined for %s", (text) => {
    expect(integerOf(readJson(text))).toBeUndefined();
  });
});
