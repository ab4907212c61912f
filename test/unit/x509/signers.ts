import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Signer } from "../../../src/x509/signature.ts";
import type { PublicKeyType } from "../../../src/x509/spki.ts";

export interface TestKey extends Signer {
  readonly type: PublicKeyType;
  readonly privateKey: KeyObject;
}

/** A fresh key that signs as our own keys of its type do. */
export function testKey(type: PublicKeyType): TestKey {
  const { publicKey, privateKey } = pairOf(type);
  const hash = type === "ed25519" ? null : type === "ec-p384" ? "sha384" : "sha256";
  return {
    type,
    privateKey,
    spkiDer: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    sign: (octets) => new Uint8Array(sign(hash, octets, privateKey)),
  };
}

function pairOf(type: PublicKeyType): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  switch (type) {
    case "ec-p256":
      return generateKeyPairSync("ec", { namedCurve: "P-256" });
    case "ec-p384":
      return generateKeyPairSync("ec", { namedCurve: "P-384" });
    case "ed25519":
      return generateKeyPairSync("ed25519");
    case "rsa-2048":
    case "rsa-3072":
    case "rsa-4096":
      return generateKeyPairSync("rsa", { modulusLength: Number(type.slice(4)) });
  }
}
