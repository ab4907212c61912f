import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { bitString, concat, integer, nullValue, oid, sequence } from "../../../src/x509/der-writer.ts";
import { OID } from "../../../src/x509/oid.ts";
import { importPublicKey, keyIdentifier, type PublicKeyType, parseSpki } from "../../../src/x509/spki.ts";
import { bytes, codeOf } from "./expectations.ts";
import { testKey } from "./signers.ts";

const ec = (curve: string, point: Uint8Array): Uint8Array =>
  sequence(sequence(oid(OID.ecPublicKey), oid(curve)), bitString(point));
const ed = (key: Uint8Array): Uint8Array => sequence(sequence(oid(OID.ed25519)), bitString(key));
const rsaAlgorithm = sequence(oid(OID.rsaEncryption), nullValue());
const rsa = (modulus: Uint8Array, exponent: number | bigint): Uint8Array =>
  sequence(rsaAlgorithm, bitString(sequence(integer(modulus), integer(exponent))));
const modulusOf = (bits: number): Uint8Array => {
  const modulus = new Uint8Array(bits / 8).fill(0x5a);
  modulus[0] = 0x80;
  modulus[bits / 8 - 1] = 0x01;
  return modulus;
};

describe("parseSpki()", () => {
  it.each<PublicKeyType>(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"])("reads a key of %s", (type) => {
    const key = testKey(type);
    const parsed = parseSpki(key.spkiDer);
    expect(parsed.type).toBe(type);
    expect(parsed.der).toEqual(key.spkiDer);
    expect(importPublicKey(parsed).export({ format: "der", type: "spki" }).equals(key.spkiDer)).toBe(true);
    expect(importPublicKey(parsed)).toBe(importPublicKey(parsed));
  });

  it("tells RSA keys by the bits of the modulus", () => {
    expect(parseSpki(rsa(modulusOf(4096), 65537)).type).toBe("rsa-4096");
  });

  it.each([
    ["RSA of 1024 bits", rsa(modulusOf(1024), 65537)],
    ["RSA of 2040 bits", rsa(modulusOf(2040), 65537)],
    ["RSA of 2056 bits", rsa(modulusOf(2056), 65537)],
    ["RSA of 2047 bits in 256 octets", rsa(concat(bytes("7f"), modulusOf(2048).subarray(1)), 65537)],
    ["RSA of 16384 bits", rsa(modulusOf(16384), 65537)],
    ["RSA with e = 1", rsa(modulusOf(2048), 1)],
    ["RSA with e = 3", rsa(modulusOf(2048), 3)],
    ["RSA with e = 2^32 + 1", rsa(modulusOf(2048), 4294967297n)],
    ["RSA with an even modulus", rsa(new Uint8Array(256).fill(0x80), 65537)],
    [
      "RSA without NULL",
      sequence(sequence(oid(OID.rsaEncryption)), bitString(sequence(integer(modulusOf(2048)), integer(65537)))),
    ],
    [
      "RSA with a third number",
      sequence(rsaAlgorithm, bitString(sequence(integer(modulusOf(2048)), integer(65537), integer(1)))),
    ],
    [
      "RSA with an octet behind",
      sequence(rsaAlgorithm, bitString(concat(sequence(integer(modulusOf(2048)), integer(65537)), bytes("00")))),
    ],
    ["RSA that is a number", sequence(rsaAlgorithm, bitString(integer(65537)))],
    ["P-256 at infinity", ec(OID.prime256v1, bytes("00"))],
    ["P-384 at infinity", ec(OID.secp384r1, bytes("00"))],
    ["P-256 compressed", ec(OID.prime256v1, concat(bytes("02"), new Uint8Array(32).fill(7)))],
    ["P-256 in hybrid form", ec(OID.prime256v1, concat(bytes("06"), new Uint8Array(64).fill(7)))],
    ["P-256 without a point", ec(OID.prime256v1, new Uint8Array(0))],
    ["P-256 of 66 octets", ec(OID.prime256v1, concat(bytes("04"), new Uint8Array(65).fill(7)))],
    ["P-384 with a P-256 point", ec(OID.secp384r1, concat(bytes("04"), new Uint8Array(64).fill(7)))],
    [
      "P-521",
      new Uint8Array(
        generateKeyPairSync("ec", { namedCurve: "P-521" }).publicKey.export({ format: "der", type: "spki" }),
      ),
    ],
    ["Ed448", new Uint8Array(generateKeyPairSync("ed448").publicKey.export({ format: "der", type: "spki" }))],
    [
      "RSA-PSS",
      new Uint8Array(
        generateKeyPairSync("rsa-pss", { modulusLength: 2048 }).publicKey.export({ format: "der", type: "spki" }),
      ),
    ],
    ["X25519", new Uint8Array(generateKeyPairSync("x25519").publicKey.export({ format: "der", type: "spki" }))],
    ["EC without parameters", sequence(sequence(oid(OID.ecPublicKey)), bitString(new Uint8Array(65).fill(4)))],
    ["Ed25519 with NULL", sequence(sequence(oid(OID.ed25519), nullValue()), bitString(new Uint8Array(32).fill(7)))],
    ["Ed25519 of 33 octets", ed(new Uint8Array(33).fill(7))],
    ["an algorithm without a name", sequence(sequence(), bitString(new Uint8Array(32)))],
    ["a third element", sequence(sequence(oid(OID.ed25519)), bitString(new Uint8Array(32).fill(7)), nullValue())],
    ["key bits with unused bits", sequence(sequence(oid(OID.ed25519)), bitString(new Uint8Array(32).fill(0x80), 1))],
    ["a number", integer(1)],
    ["nothing", new Uint8Array(0)],
    ["malformed DER", bytes("3080")],
  ])("refuses %s", (_what, der) => {
    expect(codeOf(() => parseSpki(der))).toBe("bad_key");
  });

  it.each([
    ["0", "00".repeat(32)],
    ["1", `01${"00".repeat(31)}`],
    ["1, with a sign bit", `01${"00".repeat(30)}80`],
    ["p-1", `ec${"ff".repeat(30)}7f`],
    ["p", `ed${"ff".repeat(30)}7f`],
    ["p+1, with a sign bit", `ee${"ff".repeat(31)}`],
    ["2^255-1", `${"ff".repeat(31)}7f`],
    ["a point of order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"],
    ["its negative", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"],
    ["the other of order 8", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"],
  ])("refuses Ed25519 keys of small order or not reduced: y = %s", (_what, hex) => {
    expect(codeOf(() => parseSpki(ed(bytes(hex))))).toBe("bad_key");
  });

  it("says which size was found and which are taken", () => {
    expect(() => parseSpki(rsa(modulusOf(1024), 65537))).toThrow("key is RSA 1024, taken are 2048, 3072 and 4096 bits");
  });
});

describe("importPublicKey()", () => {
  it.each([
    ["off the curve", concat(bytes("04"), new Uint8Array(64).fill(7))],
    [
      "with x = p",
      concat(bytes("04ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"), new Uint8Array(32).fill(7)),
    ],
    ["of zeros", concat(bytes("04"), new Uint8Array(64))],
  ])("refuses a P-256 point %s", (_what, point) => {
    const key = parseSpki(ec(OID.prime256v1, point));
    expect(codeOf(() => importPublicKey(key))).toBe("bad_key");
  });

  it("applies the key rules again to an object that parseSpki() did not make", () => {
    const der = rsa(modulusOf(1024), 65537);
    expect(codeOf(() => importPublicKey({ type: "rsa-2048", der, keyBits: der }))).toBe("bad_key");
  });
});

describe("keyIdentifier()", () => {
  it("is the leftmost 160 bits of SHA-256 over the key bits (RFC 7093 2)", () => {
    const key = testKey("ec-p256");
    const jwk = createPublicKey({ key: Buffer.from(key.spkiDer), format: "der", type: "spki" }).export({
      format: "jwk",
    });
    const point = Buffer.concat([
      bytes("04"),
      Buffer.from(jwk.x ?? "", "base64url"),
      Buffer.from(jwk.y ?? "", "base64url"),
    ]);
    const hash = createHash("sha256").update(point).digest("hex");
    expect(Buffer.from(keyIdentifier(parseSpki(key.spkiDer))).toString("hex")).toBe(hash.slice(0, 40));
  });
});
