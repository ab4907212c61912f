import { TAG } from "./der.ts";
import { bitString, encode, integer, oid, sequence } from "./der-writer.ts";
import { OID } from "./oid.ts";
import type { PublicKeyType } from "./spki.ts";

/** How every SubjectPublicKeyInfo of one kind of key looks: it has one length and begins with the same octets. */
export interface SpkiLayout {
  readonly spkiHead: Uint8Array;
  readonly spkiBytes: number;
  /** Octets of the key itself, which are the last ones. */
  readonly keyBitsBytes: number;
}

function ecLayout(curve: string, pointBytes: number): SpkiLayout {
  const spki = sequence(sequence(oid(OID.ecPublicKey), oid(curve)), bitString(new Uint8Array(pointBytes)));
  return layout(spki, pointBytes);
}

/** A modulus of these bits with its sign octet, and 65537. */
function rsaLayout(bits: number): SpkiLayout {
  const key = sequence(integer(new Uint8Array(bits / 8).fill(0xff)), integer(65537));
  return layout(sequence(sequence(oid(OID.rsaEncryption), encode(TAG.null)), bitString(key)), key.length);
}

function layout(spki: Uint8Array, keyBitsBytes: number): SpkiLayout {
  return { spkiHead: spki.slice(0, spki.length - keyBitsBytes), spkiBytes: spki.length, keyBitsBytes };
}

export const spkiLayouts: Readonly<Record<PublicKeyType, SpkiLayout>> = {
  "ec-p256": ecLayout(OID.prime256v1, 65),
  "ec-p384": ecLayout(OID.secp384r1, 97),
  "rsa-2048": rsaLayout(2048),
  "rsa-3072": rsaLayout(3072),
  "rsa-4096": rsaLayout(4096),
  ed25519: layout(sequence(sequence(oid(OID.ed25519)), bitString(new Uint8Array(32))), 32),
};
