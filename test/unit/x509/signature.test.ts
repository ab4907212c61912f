import { constants, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { concat, integer, nullValue, oid, sequence } from "../../../src/x509/der-writer.ts";
import { OID } from "../../../src/x509/oid.ts";
import { checkSignatureAlgorithm, signatureAlgorithmDer, verifySignature } from "../../../src/x509/signature.ts";
import { type PublicKeyType, parseSpki } from "../../../src/x509/spki.ts";
import { bytes, codeOf } from "./expectations.ts";
import { type TestKey, testKey } from "./signers.ts";

const octets = bytes("68656c6c6f");
const types: readonly PublicKeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];
const keys: ReadonlyMap<PublicKeyType, TestKey> = new Map(types.map((type) => [type, testKey(type)]));

function keyOf(type: PublicKeyType): TestKey {
  const key = keys.get(type);
  if (key === undefined) throw new Error(`no key of ${type}`);
  return key;
}

function signed(type: PublicKeyType): Uint8Array {
  return new Uint8Array(keyOf(type).sign(octets) as Uint8Array);
}

function verifies(type: PublicKeyType, signature: Uint8Array, algorithm = signatureAlgorithmDer(type)): boolean {
  return verifySignature(parseSpki(keyOf(type).spkiDer), algorithm, octets, signature);
}

describe("verifySignature()", () => {
  it.each(types)("is true for what a key of %s signed, and only for it", (type) => {
    const signature = signed(type);
    expect(verifies(type, signature)).toBe(true);
    expect(verifySignature(parseSpki(keyOf(type).spkiDer), signatureAlgorithmDer(type), bytes("00"), signature)).toBe(
      false,
    );
    expect(verifySignature(parseSpki(testKey(type).spkiDer), signatureAlgorithmDer(type), octets, signature)).toBe(
      false,
    );
    for (let at = 0; at < signature.length; at += 7) {
      const flipped = Uint8Array.from(signature);
      flipped[at] = (flipped[at] ?? 0) ^ 0x01;
      expect(verifies(type, flipped)).toBe(false);
    }
  });

  it.each(types)("is false for a %s signature that is cut, padded or empty", (type) => {
    const signature = signed(type);
    for (const wrong of [
      signature.subarray(1),
      signature.subarray(0, -1),
      concat(signature, bytes("00")),
      new Uint8Array(0),
    ]) {
      expect(verifies(type, wrong)).toBe(false);
    }
  });

  it.each([
    ["zero", integer(0), integer(1)],
    ["negative", bytes("0201ff"), integer(1)],
    ["padded", bytes("02020001"), integer(1)],
    ["of more octets than the curve", integer(new Uint8Array(33).fill(1)), integer(1)],
  ])("is false for ECDSA numbers that are %s", (_what, r, s) => {
    expect(verifies("ec-p256", sequence(r, s))).toBe(false);
    expect(verifies("ec-p256", sequence(s, r))).toBe(false);
  });

  it("is false for an ECDSA signature with a third number or of the raw form", () => {
    expect(verifies("ec-p256", sequence(integer(1), integer(1), integer(1)))).toBe(false);
    const raw = sign("sha256", octets, { key: keyOf("ec-p256").privateKey, dsaEncoding: "ieee-p1363" });
    expect(verifies("ec-p256", new Uint8Array(raw))).toBe(false);
  });

  it("is false for Ed25519 with S + L in place of S (RFC 8032 5.1.7)", () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const signature = signed("ed25519");
    let s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order;
    for (let at = 32; at < 64; at++, s >>= 8n) signature[at] = Number(s & 0xffn);
    expect(verifies("ed25519", signature)).toBe(false);
  });

  it("takes SHA-384 and SHA-512 too, by the algorithm that is named", () => {
    const cases = [
      ["ec-p256", "sha384", OID.ecdsaWithSha384],
      ["ec-p384", "sha256", OID.ecdsaWithSha256],
      ["ec-p384", "sha512", OID.ecdsaWithSha512],
    ] as const;
    for (const [type, hash, name] of cases) {
      const signature = new Uint8Array(sign(hash, octets, keyOf(type).privateKey));
      expect(verifies(type, signature, sequence(oid(name)))).toBe(true);
    }
    const signature = new Uint8Array(sign("sha512", octets, keyOf("rsa-2048").privateKey));
    expect(verifies("rsa-2048", signature, sequence(oid(OID.sha512WithRsa), nullValue()))).toBe(true);
    expect(verifies("rsa-2048", signature, sequence(oid(OID.sha512WithRsa)))).toBe(true);
    expect(verifies("rsa-2048", signature)).toBe(false);
  });

  it("is false for an RSA-PSS signature under a PKCS#1 v1.5 name", () => {
    const key = { key: keyOf("rsa-2048").privateKey, padding: constants.RSA_PKCS1_PSS_PADDING };
    expect(verifies("rsa-2048", new Uint8Array(sign("sha256", octets, key)))).toBe(false);
  });
});

describe("checkSignatureAlgorithm()", () => {
  const key = parseSpki(keyOf("ec-p256").spkiDer);

  it.each([
    ["SHA-1", sequence(oid("1.2.840.10045.4.1"))],
    ["SHA-224", sequence(oid("1.2.840.10045.4.3.1"))],
    ["NULL parameters on ECDSA", sequence(oid(OID.ecdsaWithSha256), nullValue())],
    ["RSA", signatureAlgorithmDer("rsa-2048")],
    ["Ed25519", signatureAlgorithmDer("ed25519")],
    ["the key's own algorithm", sequence(oid(OID.ecPublicKey), oid(OID.prime256v1))],
    ["nothing", new Uint8Array(0)],
  ])("refuses %s for an EC key", (_what, algorithm) => {
    expect(codeOf(() => checkSignatureAlgorithm(key, algorithm))).toBe("bad_signature");
  });

  it("gives the hash", () => {
    expect(checkSignatureAlgorithm(key, signatureAlgorithmDer("ec-p256"))).toBe("sha256");
    expect(checkSignatureAlgorithm(parseSpki(keyOf("ed25519").spkiDer), signatureAlgorithmDer("ed25519"))).toBe("none");
  });
});
