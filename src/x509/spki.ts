// SubjectPublicKeyInfo: the key rules of the product, on the DER, before any crypto sees the key. node:crypto imports
// and uses keys that must never be signed (RSA with e = 1, 1,024 bits, points at infinity), so it does not judge here.

import { createHash, createPublicKey, type KeyObject, type PublicKeyInput } from "node:crypto";
import {
  DerReader,
  type DerValue,
  readBitString,
  readDer,
  readInteger,
  readOid,
  sameDer,
  sameOctets,
  TAG,
} from "./der.ts";
import { nullValue, oid, sequence } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";

/** The closed list of keys that are taken. */
export type PublicKeyType = "ec-p256" | "ec-p384" | "rsa-2048" | "rsa-3072" | "rsa-4096" | "ed25519";

/** A public key that keeps the key rules. */
export interface SubjectPublicKey {
  readonly type: PublicKeyType;
  /** The whole SubjectPublicKeyInfo. */
  readonly der: Uint8Array;
  /** Content of its BIT STRING, without the octet that counts unused bits. */
  readonly keyBits: Uint8Array;
}

/** Keeps the imported key beside the octets, so that the key of an issuer is imported once. */
class CheckedKey implements SubjectPublicKey {
  readonly type: PublicKeyType;
  readonly der: Uint8Array;
  readonly keyBits: Uint8Array;
  #imported: KeyObject | undefined;
  #used = false;

  constructor(type: PublicKeyType, der: Uint8Array, keyBits: Uint8Array) {
    this.type = type;
    this.der = der;
    this.keyBits = keyBits;
  }

  import(): KeyObject {
    this.#imported ??= importKey(this.der);
    return this.#imported;
  }

  // An object of its own for a key that verifies once, as that of a CSR, costs a tenth of the verification.
  forVerification(): KeyObject | PublicKeyInput {
    if (this.#imported === undefined && !this.#used) {
      this.#used = true;
      return keyInput(this.der);
    }
    return this.import();
  }
}

const P256_ALGORITHM: Uint8Array = sequence(oid(OID.ecPublicKey), oid(OID.prime256v1));
const P384_ALGORITHM: Uint8Array = sequence(oid(OID.ecPublicKey), oid(OID.secp384r1));
const ED25519_ALGORITHM: Uint8Array = sequence(oid(OID.ed25519));
const RSA_ALGORITHM: Uint8Array = sequence(oid(OID.rsaEncryption), nullValue());

/**
 * Reads a SubjectPublicKeyInfo and applies the key rules: P-256 or P-384 as a named curve with an uncompressed point,
 * RSA of 2048, 3072 or 4096 bits with e = 65537, Ed25519 not of small order. Throws "bad_key", for malformed DER too.
 * That an EC point lies on its curve is checked by `importPublicKey`.
 */
export function parseSpki(der: Uint8Array | DerValue): SubjectPublicKey {
  try {
    return readSpki(der instanceof Uint8Array ? readDer(der, "public key") : der);
  } catch (error) {
    if (!(error instanceof X509Error) || error.code === "bad_key") throw error;
    throw new X509Error("bad_key", `public key: ${error.message}`, { cause: error });
  }
}

function readSpki(value: DerValue): SubjectPublicKey {
  if (value.tag !== TAG.sequence) throw new X509Error("bad_key", "public key is not a SEQUENCE");
  const reader = new DerReader(value);
  const algorithm = reader.next(TAG.sequence, "algorithm");
  const bits = reader.next(TAG.bitString, "key bits");
  reader.end("public key");
  const { unused, bytes } = readBitString(bits);
  if (unused !== 0) throw new X509Error("bad_key", `key bits say that ${unused} bits are unused`);
  return new CheckedKey(keyType(algorithm, bytes), value.raw, bytes);
}

function keyType(algorithm: DerValue, keyBits: Uint8Array): PublicKeyType {
  if (sameDer(algorithm, P256_ALGORITHM)) {
    checkPoint("P-256", 65, keyBits);
    return "ec-p256";
  }
  if (sameDer(algorithm, P384_ALGORITHM)) {
    checkPoint("P-384", 97, keyBits);
    return "ec-p384";
  }
  if (sameDer(algorithm, ED25519_ALGORITHM)) {
    checkEd25519(keyBits);
    return "ed25519";
  }
  if (sameDer(algorithm, RSA_ALGORITHM)) return rsaType(keyBits);
  throw new X509Error("bad_key", describeAlgorithm(algorithm));
}

function describeAlgorithm(algorithm: DerValue): string {
  const name = readOid(new DerReader(algorithm).next(TAG.oid, "algorithm name"));
  switch (name) {
    case OID.ecPublicKey:
      return "EC key is not on P-256 or P-384 as a named curve";
    case OID.rsaEncryption:
      return "parameters of an RSA key must be NULL";
    case OID.ed25519:
      return "parameters of an Ed25519 key must be absent";
    default:
      return `key algorithm ${name.slice(0, 64)}, taken are P-256, P-384, RSA and Ed25519`;
  }
}

function checkPoint(curve: string, size: number, point: Uint8Array): void {
  if (point.length === 1 && point[0] === 0) throw new X509Error("bad_key", `${curve} point is at infinity`);
  if (point.length !== size)
    throw new X509Error("bad_key", `${curve} point has ${point.length} octets, must be ${size}`);
  if (point[0] !== 0x04) throw new X509Error("bad_key", `${curve} point is not uncompressed`);
}

function rsaType(keyBits: Uint8Array): PublicKeyType {
  const value = readDer(keyBits, "RSA key");
  if (value.tag !== TAG.sequence) throw new X509Error("bad_key", "RSA key is not a SEQUENCE");
  const reader = new DerReader(value);
  const modulus = readInteger(reader.next(TAG.integer, "RSA modulus"));
  const exponent = readInteger(reader.next(TAG.integer, "RSA exponent"));
  reader.end("RSA key");
  const first = modulus[0] ?? 0;
  if (first >= 0x80) throw new X509Error("bad_key", "RSA modulus is negative");
  const octets = first === 0 ? modulus.subarray(1) : modulus;
  const bits = octets.length * 8 - (Math.clz32(octets[0] ?? 0) - 24);
  if (!sameOctets(exponent, Uint8Array.of(1, 0, 1))) throw new X509Error("bad_key", "RSA exponent must be 65537");
  if (((octets[octets.length - 1] ?? 0) & 1) === 0) throw new X509Error("bad_key", "RSA modulus is even");
  switch (bits) {
    case 2048:
      return "rsa-2048";
    case 3072:
      return "rsa-3072";
    case 4096:
      return "rsa-4096";
    default:
      throw new X509Error("bad_key", `key is RSA ${bits}, taken are 2048, 3072 and 4096 bits`);
  }
}

/** y of the points of small order, little-endian: 0, 1, p-1 and the two of order 8. RFC 7748 6.1, RFC 8032 5.1. */
const SMALL_ORDER_Y: readonly string[] = [
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
];

function checkEd25519(key: Uint8Array): void {
  if (key.length !== 32) throw new X509Error("bad_key", `Ed25519 key has ${key.length} octets, must be 32`);
  const last = (key[31] ?? 0) & 0x7f;
  if ((key[0] ?? 0) >= 0xed && last === 0x7f && key.subarray(1, 31).every((octet) => octet === 0xff)) {
    throw new X509Error("bad_key", "Ed25519 key is not reduced");
  }
  for (const y of SMALL_ORDER_Y) {
    let same = true;
    for (let i = 0; same && i < 32; i++) {
      const octet = i === 31 ? last : (key[i] ?? 0);
      same = octet === Number.parseInt(y.slice(2 * i, 2 * i + 2), 16);
    }
    if (same) throw new X509Error("bad_key", "Ed25519 key is of small order");
  }
}

/** The key for node:crypto; the same object for the same parsed key. Throws "bad_key" for a point off its curve. */
export function importPublicKey(key: SubjectPublicKey): KeyObject {
  return key instanceof CheckedKey ? key.import() : importKey(parseSpki(key.der).der);
}

/** What `verify` of node:crypto takes. It refuses a point off its curve, without saying so; `importPublicKey` does. */
export function verificationKey(key: SubjectPublicKey): KeyObject | PublicKeyInput {
  return key instanceof CheckedKey ? key.forVerification() : importPublicKey(key);
}

function keyInput(der: Uint8Array): PublicKeyInput {
  return { key: Buffer.from(der.buffer, der.byteOffset, der.byteLength), format: "der", type: "spki" };
}

function importKey(der: Uint8Array): KeyObject {
  try {
    return createPublicKey(keyInput(der));
  } catch (error) {
    throw new X509Error("bad_key", "public key is not a point of its curve", { cause: error });
  }
}

/** Key identifier of 20 octets: the leftmost 160 bits of SHA-256 over the key bits. RFC 7093 2 (1). */
export function keyIdentifier(key: SubjectPublicKey): Uint8Array {
  return new Uint8Array(createHash("sha256").update(key.keyBits).digest().subarray(0, 20));
}
