import { describe, expect, it } from "vitest";

import { parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";
import { encodeJoinString, type JoinString, parseJoinString } from "../../../src/spiffe/join-string.ts";
import { adminId, agentId, deviceId } from "../../../src/spiffe/kind.ts";

const trustDomain = parseTrustDomain("demo.signet");

function joinString(fields: Partial<JoinString> = {}): JoinString {
  return {
    kind: "agent",
    trustDomain,
    subject: agentId(trustDomain, "one"),
    addresses: ["127.0.0.1:7443"],
    secret: new Uint8Array(32).fill(7),
    rootPins: [new Uint8Array(32).fill(3)],
    expiresAt: new Date("2026-11-24T12:00:00Z"),
    ...fields,
  };
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof SpiffeError && error.code === "bad_join_string") return error.message;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("parseJoinString()", () => {
  it.each<[string, Partial<JoinString>]>([
    ["an agent", {}],
    ["an admin", { kind: "admin", subject: adminId(trustDomain, "jo") }],
    ["a device", { kind: "device", subject: deviceId(trustDomain, "meter", "42"), addresses: [] }],
    ["a node with a factory certificate", { secret: new Uint8Array() }],
    [
      "several roots and addresses",
      {
        rootPins: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
        addresses: ["[::1]:7443", "ca.prod.example:1", "[fe80::1%eth0]:65535"],
      },
    ],
  ])("reads back what encodeJoinString() wrote for %s", (_, fields) => {
    const text = encodeJoinString(joinString(fields));
    expect(text).toMatch(/^sgj1_[A-Za-z0-9_-]+$/);
    expect(parseJoinString(text)).toEqual(joinString(fields));
  });

  it("does not mind white space and line breaks around", () => {
    expect(parseJoinString(`\r\n  ${encodeJoinString(joinString())}\n\n`)).toEqual(joinString());
  });

  it("says how much is missing at every cut", () => {
    const text = encodeJoinString(joinString());
    for (let length = 9; length < text.length; length++) {
      expect(messageOf(() => parseJoinString(text.slice(0, length)))).toBe(
        `the join string is incomplete: ${length} of ${text.length} characters`,
      );
    }
    for (let length = 1; length < 9; length++) {
      expect(messageOf(() => parseJoinString(text.slice(0, length)))).toBe(
        `the join string is incomplete: only ${length} characters`,
      );
    }
  });

  it("refuses every single wrong character", () => {
    const text = encodeJoinString(joinString());
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === "A" ? "B" : "A";
      const message = messageOf(() => parseJoinString(text.slice(0, at) + other + text.slice(at + 1)));
      expect(message).toMatch(/join string/);
    }
  });

  it.each([
    ["", "the join string is empty"],
    ["   \n", "the join string is empty"],
    ["token", "this is not a join string: it does not begin with sgj1_"],
    ["sgj2_AAAA", "the join string is of a version that this program does not know"],
    ["sgj1_AQB4 AQtk", "the join string is damaged: character 10 does not belong to it"],
    ["sgj1_AAAAAAAA", "the join string is damaged: it does not begin as one"],
    ["sgj1_AQAAAAAA", "the join string is damaged: its length is wrong"],
    ["x".repeat(1_000_000), "a join string has at most 10928 characters, got 1000000"],
  ])("refuses %.20j with a message for people", (text, message) => {
    expect(messageOf(() => parseJoinString(text))).toBe(message);
  });

  it("refuses one that goes on behind its end", () => {
    const text = encodeJoinString(joinString());
    expect(messageOf(() => parseJoinString(`${text}AA`))).toBe(
      `the join string is too long: ${text.length + 2} of ${text.length} characters`,
    );
  });

  it("never repeats the secret in a message", () => {
    const text = encodeJoinString(joinString());
    const secret = Buffer.alloc(32, 7).toString("base64url").slice(4, 36);
    for (let length = 0; length < text.length; length++) {
      expect(messageOf(() => parseJoinString(text.slice(0, length)))).not.toContain(secret.slice(0, 8));
    }
  });
});

describe("encodeJoinString()", () => {
  it.each<[string, Partial<JoinString>]>([
    ["a subject of another kind", { kind: "admin" }],
    ["a subject of another trust domain", { trustDomain: parseTrustDomain("other.example") }],
    ["a short secret", { secret: new Uint8Array(31) }],
    ["no root", { rootPins: [] }],
    ["a pin of the wrong length", { rootPins: [new Uint8Array(20)] }],
    ["an address without port", { addresses: ["127.0.0.1"] }],
    ["an address with port 0", { addresses: ["127.0.0.1:0"] }],
    ["an address with a blank", { addresses: ["a b:1"] }],
    ["too many addresses", { addresses: Array.from({ length: 17 }, () => "a:1") }],
    ["an end that is no time", { expiresAt: new Date(Number.NaN) }],
  ])("refuses %s", (_, fields) => {
    expect(messageOf(() => encodeJoinString(joinString(fields)))).not.toBe("");
  });
});
