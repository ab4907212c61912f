import { DerReader, readDer, readInteger } from "../x509/der.ts";
import type { SubjectPublicKey } from "../x509/spki.ts";

/** The public members of a JWK for a key (RFC 7518 6, RFC 8037 2). */
export function publicJwk(key: SubjectPublicKey): Readonly<Record<string, string>> {
  switch (key.type) {
    case "ec-p256":
      return ecJwk("P-256", key.keyBits);
    case "ec-p384":
      return ecJwk("P-384", key.keyBits);
    case "ed25519":
      return { kty: "OKP", crv: "Ed25519", x: base64url(key.keyBits) };
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return rsaJwk(key.keyBits);
  }
}

function ecJwk(crv: string, point: Uint8Array): Readonly<Record<string, string>> {
  const half = (point.length - 1) / 2;
  return { kty: "EC", crv, x: base64url(point.subarray(1, 1 + half)), y: base64url(point.subarray(1 + half)) };
}

function rsaJwk(rsaPublicKey: Uint8Array): Readonly<Record<string, string>> {
  const numbers = new DerReader(readDer(rsaPublicKey, "RSAPublicKey"));
  const modulus = readInteger(numbers.next(0x02, "modulus"));
  const exponent = readInteger(numbers.next(0x02, "exponent"));
  return { kty: "RSA", n: base64url(unsigned(modulus)), e: base64url(unsigned(exponent)) };
}

function unsigned(octets: Uint8Array): Uint8Array {
  return octets[0] === 0 && octets.length > 1 ? octets.subarray(1) : octets;
}

function base64url(octets: Uint8Array): string {
  return Buffer.from(octets).toString("base64url");
}
