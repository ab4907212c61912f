import { describe, expect, it } from "vitest";

import { parseSpiffeId } from "../../../src/spiffe/id.ts";
import { type IdentityFile, identityJson, parseIdentityFile } from "../../../src/spiffe/identity-file.ts";

const identity: IdentityFile = {
  spiffeId: parseSpiffeId("spiffe://prod.example/svc/a"),
  serialHex: "40ffeeddccbbaa998877665544332211",
  notBefore: new Date("2026-11-24T11:59:00Z"),
  notAfter: new Date("2026-11-24T13:00:00Z"),
  ttlSeconds: 3600,
  obtainedAt: new Date("2026-11-24T12:00:00.123Z"),
  renewAt: new Date("2026-11-24T12:31:00Z"),
  authority: "int-2",
  bundleSequence: 9007199254740993n,
  deniedSequence: 0n,
};

describe("identityJson() and parseIdentityFile()", () => {
  it("go round", () => {
    expect(parseIdentityFile(identityJson(identity))).toEqual(identity);
  });

  it("write RFC 3339 times, text for 64-bit numbers and the names of the interface", () => {
    expect(JSON.parse(identityJson(identity))).toEqual({
      spiffeId: "spiffe://prod.example/svc/a",
      serialHex: "40ffeeddccbbaa998877665544332211",
      notBefore: "2026-11-24T11:59:00Z",
      notAfter: "2026-11-24T13:00:00Z",
      ttlSeconds: 3600,
      obtainedAt: "2026-11-24T12:00:00.123Z",
      renewAt: "2026-11-24T12:31:00Z",
      authority: "int-2",
      bundleSequence: "9007199254740993",
      deniedSequence: "0",
    });
  });

  it.each([
    ["spiffeId", "https://prod.example"],
    ["serialHex", "4G"],
    ["notBefore", "yesterday"],
    ["notAfter", 1],
    ["ttlSeconds", "3600"],
    ["ttlSeconds", 1.5],
    ["obtainedAt", null],
    ["renewAt", "2026-13-01T00:00:00Z"],
    ["authority", undefined],
    ["bundleSequence", 3],
    ["deniedSequence", "18446744073709551616"],
  ])("parseIdentityFile() refuses %s %j and names it", (name, value) => {
    const json = JSON.stringify({ ...JSON.parse(identityJson(identity)), [name]: value });
    expect(() => parseIdentityFile(json)).toThrow(
      expect.objectContaining({ code: "bad_identity_file", message: expect.stringContaining(name) }),
    );
  });

  it.each(["", "[]", "{", "null"])("parseIdentityFile() refuses %j", (json) => {
    expect(() => parseIdentityFile(json)).toThrow(expect.objectContaining({ code: "bad_identity_file" }));
  });
});
