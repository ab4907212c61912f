// Keys made on the node: ECDSA P-256, kept as PKCS#8 where the agent keeps its own files.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { Signer } from "../x509/signature.ts";

/** A private key of this node and what it signs with. */
export interface NodeKey extends Signer {
  /** PKCS#8. */
  readonly keyDer: Uint8Array;
}

/** Makes a new key. At once: a tenth of a millisecond, while the thread pool may be busy syncing files. */
export function newNodeKey(): NodeKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return nodeKey(privateKey, publicKey);
}

/** Reads a key that was kept. Throws what node:crypto throws when it is none. */
export function openNodeKey(keyDer: Uint8Array): NodeKey {
  const key = createPrivateKey({ key: Buffer.from(keyDer), format: "der", type: "pkcs8" });
  return nodeKey(key, createPublicKey(key));
}

function nodeKey(key: KeyObject, publicKey: KeyObject): NodeKey {
  const hash =
    key.asymmetricKeyType === "ed25519"
      ? null
      : key.asymmetricKeyDetails?.namedCurve === "secp384r1"
        ? "sha384"
        : "sha256";
  return {
    keyDer: new Uint8Array(key.export({ format: "der", type: "pkcs8" })),
    spkiDer: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    sign: (octets) => new Uint8Array(sign(hash, octets, key)),
  };
}
