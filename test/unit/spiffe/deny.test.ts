import { describe, expect, it } from "vitest";

import {
  type DenyList,
  denyIndex,
  denyListJson,
  isDenied,
  newerDenyList,
  parseDenyList,
} from "../../../src/spiffe/deny.ts";
import { SpiffeError } from "../../../src/spiffe/id.ts";

const list: DenyList = {
  sequence: 9007199254740993n,
  denied: [
    { authorityKeyId: "aa", serialHex: "4001" },
    { authorityKeyId: "bb", serialHex: "*" },
  ],
};

describe.each([
  ["isDenied()", (certificate: Parameters<typeof isDenied>[1]) => isDenied(list, certificate)],
  ["denyIndex()", denyIndex(list)],
])("%s", (_, judge) => {
  it.each([
    ["a listed serial of its authority", { authorityKeyId: "aa", serialHex: "4001" }, true],
    ["the same serial of another authority", { authorityKeyId: "cc", serialHex: "4001" }, false],
    ["another serial", { authorityKeyId: "aa", serialHex: "4002" }, false],
    ["anything under an authority that is denied whole", { authorityKeyId: "bb", serialHex: "4003" }, true],
    ["that authority itself", { authorityKeyId: "aa", subjectKeyId: "bb", serialHex: "4004" }, true],
    [
      "an authority of which one serial is denied",
      { authorityKeyId: "cc", subjectKeyId: "aa", serialHex: "4001" },
      false,
    ],
    ["a certificate without key identifiers", { serialHex: "4001" }, false],
  ])("judges %s", (_name, certificate, expected) => {
    expect(judge(certificate)).toBe(expected);
  });
});

describe("denyListJson() and parseDenyList()", () => {
  it("go round and keep every digit of the sequence", () => {
    expect(denyListJson(list)).toContain('"sequence": "9007199254740993"');
    expect(parseDenyList(denyListJson(list))).toEqual(list);
    expect(parseDenyList(denyListJson({ sequence: 0n, denied: [] }))).toEqual({ sequence: 0n, denied: [] });
  });

  it.each([
    "",
    "[]",
    "{}",
    '{"sequence":"-1","denied":[]}',
    '{"sequence":"18446744073709551616","denied":[]}',
    '{"sequence":1.5,"denied":[]}',
    '{"sequence":"1"}',
    '{"sequence":"1","denied":{}}',
    '{"sequence":"1","denied":[1]}',
    '{"sequence":"1","denied":[{"authorityKeyId":"AA","serialHex":"40"}]}',
    '{"sequence":"1","denied":[{"authorityKeyId":"aa","serialHex":"4"}]}',
    '{"sequence":"1","denied":[{"authorityKeyId":"aa"}]}',
    '{"sequence":"1","sequence":"2","denied":[]}',
    '{"sequence":"1","denied":[]} x',
  ])("parseDenyList() refuses %j", (json) => {
    expect(() => parseDenyList(json)).toThrow(expect.objectContaining({ name: "SpiffeError", code: "bad_deny_list" }));
    expect(() => parseDenyList(json)).toThrow(SpiffeError);
  });
});

it("newerDenyList() never goes back", () => {
  const older: DenyList = { sequence: 1n, denied: [] };
  expect(newerDenyList(list, older)).toBe(list);
  expect(newerDenyList(older, list)).toBe(list);
  expect(newerDenyList(undefined, older)).toBe(older);
});
