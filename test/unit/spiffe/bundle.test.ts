import { createPublicKey } from "node:crypto";
import { describe, expect, it } from "vitest";

import { publicJwk } from "../../../src/spiffe/authority-jwk.ts";
import {
  bundleJson,
  newerBundle,
  parseBundle,
  parseBundleDocument,
  type TrustBundle,
} from "../../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import type { PublicKeyType } from "../../../src/x509/spki.ts";
import { buildCa } from "../../fakes/build-ca.ts";

const trustDomain = parseTrustDomain("prod.example");
const types: readonly PublicKeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];
const cas = types.map((keyType) => buildCa({ keyType }));
const bundle: TrustBundle = {
  trustDomain,
  sequence: 9007199254740993n,
  refreshHintSeconds: 2,
  roots: cas.map(({ root }) => root),
};
const document = JSON.parse(bundleJson(bundle)) as { keys: Record<string, unknown>[] };

describe("bundleJson() and parseBundle()", () => {
  it("go round with roots of every kind of key and all digits of the sequence", () => {
    expect(bundleJson(bundle)).toContain('"spiffe_sequence": 9007199254740993,');
    expect(parseBundle(bundleJson(bundle), trustDomain)).toEqual(bundle);
  });

  it("write an empty bundle that trusts nothing", () => {
    const empty = { ...bundle, roots: [] };
    expect(JSON.parse(bundleJson(empty))).toMatchObject({ keys: [] });
    expect(parseBundle(bundleJson(empty), trustDomain)).toEqual(empty);
  });

  it("write the members of the specification and no kid (X509-SVID 6)", () => {
    expect(Object.keys(document)).toEqual(["keys", "spiffe_sequence", "spiffe_refresh_hint"]);
    expect(document.keys.map((key) => Object.keys(key).join())).toEqual([
      "kty,crv,x,y,use,x5c",
      "kty,crv,x,y,use,x5c",
      "kty,n,e,use,x5c",
      "kty,n,e,use,x5c",
      "kty,crv,x,use,x5c",
    ]);
  });
});

describe("publicJwk()", () => {
  it.each(types)("agrees with node:crypto for %s", (type) => {
    const key = cas[types.indexOf(type)]?.root.publicKey;
    if (key === undefined) throw new Error("there is one of each type");
    const theirs = createPublicKey({ key: Buffer.from(key.der), format: "der", type: "spki" }).export({
      format: "jwk",
    });
    expect(publicJwk(key)).toEqual(theirs);
  });
});

describe("parseBundle()", () => {
  const [first, second] = document.keys;
  const read = (keys: unknown, more: object = {}) => parseBundle(JSON.stringify({ keys, ...more }), trustDomain);
  const refusal = (keys: unknown, more: object = {}) => {
    try {
      read(keys, more);
    } catch (error) {
      expect(error).toMatchObject({ name: "SpiffeError", code: "bad_bundle" });
      return (error as Error).message.replace("the trust bundle is refused: ", "");
    }
    throw new Error("nothing was refused");
  };

  it("takes 0 and 300 where sequence and refresh hint are missing", () => {
    expect(read([first])).toMatchObject({ sequence: 0n, refreshHintSeconds: 300 });
  });

  it.each([
    [0, 1],
    [1, 1],
    [604_800, 604_800],
    [604_801, 604_800],
    [2 ** 53, 604_800],
  ])("brings the refresh hint %i within bounds", (hint, seconds) => {
    expect(read([], { spiffe_refresh_hint: hint }).refreshHintSeconds).toBe(seconds);
  });

  it("skips elements that are for others", () => {
    const { use: _, ...noUse } = first ?? {};
    const skipped = [
      noUse,
      { ...first, use: "X509-SVID" },
      { ...first, kty: "PQ" },
      { ...first, x5c: undefined },
      { ...first, x5c: [] },
    ];
    expect(read([...skipped, second]).roots).toHaveLength(1);
  });

  it("skips an authority with a kind of key that is not taken here", () => {
    expect(read([{ ...first, x5c: [p521Root] }, second]).roots).toHaveLength(1);
  });

  it("takes the first certificate of x5c only, and each authority once", () => {
    const x5c = [document.keys[0]?.["x5c"], document.keys[1]?.["x5c"]].flat();
    expect(read([{ ...first, x5c }, first]).roots.map(({ raw }) => raw)).toEqual([bundle.roots[0]?.raw]);
  });

  it("counts JWT authorities and keeps none", () => {
    const jwt = { kty: "EC", crv: "P-256", x: "AA", y: "AA", use: "jwt-svid", kid: "a" };
    const { bundle: own, jwtAuthorities } = parseBundleDocument(JSON.stringify({ keys: [jwt, first] }), trustDomain);
    expect(jwtAuthorities).toBe(1);
    expect(own.roots).toHaveLength(1);
  });

  it.each<[string, unknown, object, string]>([
    ["no keys", undefined, {}, "it has no list named keys"],
    ["101 keys", new Array(101).fill({}), {}, "it has 101 keys, at most 100 are taken"],
    ["an element that is text", ["a"], {}, "an element of keys is not an object"],
    [
      "a private key",
      [{ ...first, d: "AA" }],
      {},
      "a key holds private members; whoever made this document must replace that key",
    ],
    [
      "another key than the certificate's",
      [{ ...first, x5c: second?.["x5c"] }],
      {},
      "the members of an authority are not the key of its certificate",
    ],
    ["x5c that is text", [{ ...first, x5c: "AA==" }], {}, "x5c of an authority is not a list of base64 text"],
    ["a sequence as text", [], { spiffe_sequence: "1" }, "spiffe_sequence is not a whole number of 64 bits"],
    ["a sequence below 0", [], { spiffe_sequence: -1 }, "spiffe_sequence is not a whole number of 64 bits"],
    [
      "a refresh hint of half a second",
      [],
      { spiffe_refresh_hint: 0.5 },
      "spiffe_refresh_hint is not a whole number of seconds",
    ],
  ])("refuses %s", (_, keys, more, message) => {
    expect(refusal(keys, more)).toBe(message);
  });

  it("refuses a leaf as authority", () => {
    const { leaf } = buildCa().issue();
    const x5c = [Buffer.from(leaf.raw).toString("base64")];
    expect(refusal([{ ...publicJwk(leaf.publicKey), use: "x509-svid", x5c }])).toBe(
      "an authority is not the certificate of a CA",
    );
  });

  it("refuses a document of more than 1 MiB", () => {
    expect(refusal([], { pad: "a".repeat(1024 * 1024) })).toMatch(/^it has \d+ characters/);
  });
});

describe("newerBundle()", () => {
  const at = (sequence: bigint, name = "prod.example"): TrustBundle => ({
    ...bundle,
    trustDomain: parseTrustDomain(name),
    sequence,
  });

  it("takes the higher sequence and keeps what it has at the same", () => {
    const [one, two] = [at(1n), at(2n)];
    expect(newerBundle(undefined, one)).toBe(one);
    expect(newerBundle(one, two)).toBe(two);
    expect(newerBundle(two, at(2n))).toBe(two);
  });

  it("refuses a lower sequence and another trust domain", () => {
    expect(() => newerBundle(at(2n), at(1n))).toThrow(
      "the trust bundle is refused: its sequence is 1, the one that is held has 2",
    );
    expect(() => newerBundle(at(1n), at(2n, "other.example"))).toThrow(expect.objectContaining({ code: "bad_bundle" }));
  });
});

/** A self-signed CA on P-521, made with openssl. */
const p521Root = [
  "MIICDTCCAW6gAwIBAgIUNn/CsswFKioL+yjf1JZmfCIhe0QwCgYIKoZIzj0EAwQwDzENMAsGA1UEAwwEcDUyMTAgFw0yNjExMjUw",
  "MTUxMzlaGA8yMTI2MTEwMTAxNTEzOVowDzENMAsGA1UEAwwEcDUyMTCBmzAQBgcqhkjOPQIBBgUrgQQAIwOBhgAEAUS3mvqugCOU",
  "LS35DojMsu3X6o3bzVI1CSJy0SeLNSHi0Sl0NuPb5r5b2rfPnLbYOgjgEV2hbaHM4vhNFBhhuOAeAAQNn05QLiob1IAmpmULDAQS",
  "ygegnn8icxL/hi7mlquF5O2tCRoHH6Wh79gtxMNX8dC6YrwZyXSno8aJSm+KW9qyo2MwYTAdBgNVHQ4EFgQU0eLeOXpIUhAJa/w8",
  "5pVIqlCOznMwHwYDVR0jBBgwFoAU0eLeOXpIUhAJa/w85pVIqlCOznMwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYw",
  "CgYIKoZIzj0EAwQDgYwAMIGIAkIBBmoEZPOnWdMJOkOxjqWc9VIfyyEgPBealHz0mXVaBxHgOY2JQUghP6YvS0gLcPj9YVCZwjTY",
  "89Z3emROjJZVw4QCQgE9xCKoi4jzKTFasE8nfvhP9qaStFt22z7D0SCSA2kIACs5kzDDDiQ/i2JS3Jdl+B4uUK41u17tsMHwJnR/",
  "Skz6EA==",
].join("");
