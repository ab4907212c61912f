import { describe, expect, it } from "vitest";
import { bundleFromWire, denyListFromWire, WireError } from "../../../src/sdk/from-wire.ts";
import { bundleJson, parseBundle } from "../../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import { buildCa } from "../../fakes/build-ca.ts";

const ca = buildCa();
const trustDomain = parseTrustDomain("prod.example");
const bundle = (roots: readonly Uint8Array[], fields: object = {}): ReturnType<typeof bundleFromWire> =>
  bundleFromWire(
    {
      trustDomain: "prod.example",
      sequence: 2n ** 64n - 1n,
      refreshHintSeconds: 300,
      rootsDer: roots.map((der) => Buffer.from(der)),
      ...fields,
    },
    trustDomain,
  );

describe("bundleFromWire()", () => {
  it("takes what the next start can read", () => {
    const taken = bundle([ca.root.raw, ca.root.raw], { refreshHintSeconds: 0 });
    expect(taken).toMatchObject({ trustDomain, sequence: 2n ** 64n - 1n, refreshHintSeconds: 1 });
    expect(taken.roots.map(({ serialHex }) => serialHex)).toEqual([ca.root.serialHex]);
    expect(parseBundle(bundleJson(taken), trustDomain)).toEqual(taken);
  });

  it.each([
    ["a root that is a leaf", [ca.root.raw, ca.issue().leaf.raw], /not the certificate of a CA/],
    ["a root that cannot be read", [new Uint8Array([0x30, 0])], /a root of the server's bundle/],
    ["a root with something behind it", [new Uint8Array([...ca.root.raw, 0])], /a root of the server's bundle/],
  ])("refuses %s", (_, roots, message) => {
    expect(() => bundle(roots)).toThrow(WireError);
    expect(() => bundle(roots)).toThrow(message);
  });
});

describe("denyListFromWire()", () => {
  const list = (authorityKeyId: string, serialHex: string): ReturnType<typeof denyListFromWire> =>
    denyListFromWire({ sequence: 4n, denied: [{ authorityKeyId, serialHex }], crlsDer: [] });

  it("takes lower-case hex and *", () => {
    expect(list("ab", "40aa").denyList).toEqual({
      sequence: 4n,
      denied: [{ authorityKeyId: "ab", serialHex: "40aa" }],
    });
    expect(list("ab", "*").denyList.denied).toEqual([{ authorityKeyId: "ab", serialHex: "*" }]);
  });

  it.each([
    ["abc", "40aa"],
    ["ab", "40a"],
    ["AB", "40aa"],
    ["*", "40aa"],
    ["", "*"],
    ["ab", ""],
    ["ab", "4\n"],
  ])("refuses %j with %j, which the next start could not read", (authorityKeyId, serialHex) => {
    expect(() => list(authorityKeyId, serialHex)).toThrow(WireError);
  });
});
