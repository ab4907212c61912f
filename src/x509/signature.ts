// Signature algorithms: a closed list, compared as whole DER, and verified strictly.

import { verify } from "node:crypto";
import { DerReader, readDer, readInteger, sameOctets, TAG } from "./der.ts";
import { nullValue, oid, sequence } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";
import { importPublicKey, type PublicKeyType, type SubjectPublicKey, verificationKey } from "./spki.ts";

/** Hash of a signature; "none" for Ed25519, which hashes by itself. */
export type SignatureHash = "sha256" | "sha384" | "sha512" | "none";

/** Something that signs with one key, by the algorithm that `signatureAlgorithmDer` names for the key's type. */
export interface Signer {
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  sign(octets: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

type KeyFamily = "ec" | "rsa" | "ed25519";

interface KnownAlgorithm {
  readonly der: Uint8Array;
  readonly family: KeyFamily;
  readonly hash: SignatureHash;
}

function ecdsa(name: string, hash: SignatureHash): KnownAlgorithm {
  return { der: sequence(oid(name)), family: "ec", hash };
}

function rsa(name: string, hash: SignatureHash): readonly KnownAlgorithm[] {
  // NULL is how it is written; absent must be taken as well. RFC 4055 5.
  return [
    { der: sequence(oid(name), nullValue()), family: "rsa", hash },
    { der: sequence(oid(name)), family: "rsa", hash },
  ];
}

const ECDSA_SHA256: KnownAlgorithm = ecdsa(OID.ecdsaWithSha256, "sha256");
const ECDSA_SHA384: KnownAlgorithm = ecdsa(OID.ecdsaWithSha384, "sha384");
const ED25519: KnownAlgorithm = { der: sequence(oid(OID.ed25519)), family: "ed25519", hash: "none" };
const RSA_SHA256: Uint8Array = sequence(oid(OID.sha256WithRsa), nullValue());

const KNOWN: readonly KnownAlgorithm[] = [
  ECDSA_SHA256,
  ECDSA_SHA384,
  ED25519,
  ...rsa(OID.sha256WithRsa, "sha256"),
  ...rsa(OID.sha384WithRsa, "sha384"),
  ...rsa(OID.sha512WithRsa, "sha512"),
  ecdsa(OID.ecdsaWithSha512, "sha512"),
];

function familyOf(type: PublicKeyType): KeyFamily {
  switch (type) {
    case "ec-p256":
    case "ec-p384":
      return "ec";
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return "rsa";
    case "ed25519":
      return "ed25519";
  }
}

/** AlgorithmIdentifier that our own keys of this type sign with. RFC 4055 5, RFC 5758 3.2, RFC 8410 3. */
export function signatureAlgorithmDer(type: PublicKeyType): Uint8Array {
  switch (type) {
    case "ec-p256":
      return ECDSA_SHA256.der;
    case "ec-p384":
      return ECDSA_SHA384.der;
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return RSA_SHA256;
    case "ed25519":
      return ED25519.der;
  }
}

/**
 * Finds the hash of an AlgorithmIdentifier by comparing its whole DER with a closed list (SHA-2, Ed25519), and demands
 * that it fits the key. Throws "bad_signature".
 */
export function checkSignatureAlgorithm(key: SubjectPublicKey, algorithmDer: Uint8Array): SignatureHash {
  const known = KNOWN.find((algorithm) => sameOctets(algorithm.der, algorithmDer));
  if (known === undefined) {
    throw new X509Error("bad_signature", "signature algorithm is none of ECDSA or RSA with SHA-2, Ed25519");
  }
  if (known.family !== familyOf(key.type)) {
    throw new X509Error("bad_signature", `signature algorithm is for ${known.family} keys, the key is ${key.type}`);
  }
  return known.hash;
}

/**
 * True when the signature over these octets is by this key and in its one strict form. Throws "bad_signature" for an
 * algorithm that is not taken and "bad_key" for a point off its curve; a wrong or malformed signature is false.
 */
export function verifySignature(
  key: SubjectPublicKey,
  algorithmDer: Uint8Array,
  octets: Uint8Array,
  signature: Uint8Array,
): boolean {
  const hash = checkSignatureAlgorithm(key, algorithmDer);
  if (!hasStrictForm(key.type, signature)) return false;
  const verifying = verificationKey(key);
  try {
    return verify(hash === "none" ? null : hash, octets, verifying, signature);
  } catch {
    importPublicKey(key); // Says so when it was the key.
    return false; // OpenSSL raises for some signatures that it cannot read instead of saying no
  }
}

function hasStrictForm(type: PublicKeyType, signature: Uint8Array): boolean {
  switch (type) {
    case "ec-p256":
      return isStrictEcdsa(signature, 32);
    case "ec-p384":
      return isStrictEcdsa(signature, 48);
    case "rsa-2048":
      return signature.length === 256;
    case "rsa-3072":
      return signature.length === 384;
    case "rsa-4096":
      return signature.length === 512;
    case "ed25519":
      return signature.length === 64 && isBelowOrder(signature.subarray(32));
  }
}

/** SEQUENCE of two positive minimal INTEGERs of the curve's size and nothing else. RFC 3279 2.2.3. */
function isStrictEcdsa(signature: Uint8Array, size: number): boolean {
  if (signature.length > 2 * size + 9) return false;
  try {
    const value = readDer(signature, "signature");
    if (value.tag !== TAG.sequence) return false;
    const reader = new DerReader(value);
    const r = readInteger(reader.next(TAG.integer, "r"));
    const s = readInteger(reader.next(TAG.integer, "s"));
    reader.end("signature");
    return isPositive(r, size) && isPositive(s, size);
  } catch (error) {
    if (error instanceof X509Error) return false;
    throw error;
  }
}

function isPositive(octets: Uint8Array, size: number): boolean {
  const first = octets[0] ?? 0x80;
  if (first >= 0x80 || (octets.length === 1 && first === 0)) return false;
  return octets.length - (first === 0 ? 1 : 0) <= size;
}

/** Order of the Ed25519 base point, little-endian. RFC 8032 5.1. */
const ED25519_ORDER: Uint8Array = Uint8Array.of(
  ...[0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14],
  ...[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10],
);

/** S below the order, else a second signature can be made from a first one. RFC 8032 5.1.7. */
function isBelowOrder(s: Uint8Array): boolean {
  for (let i = 31; i >= 0; i--) {
    const difference = (s[i] ?? 0) - (ED25519_ORDER[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
