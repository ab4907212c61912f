import { generateKeyPair, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { KeyType } from "./key-manager.ts";

const pair = promisify(generateKeyPair) as (
  type: string,
  options: object,
) => Promise<{ readonly privateKey: KeyObject; readonly publicKey: KeyObject }>;

/** Makes a private key, off the event loop. */
export async function generateKey(type: KeyType): Promise<KeyObject> {
  switch (type) {
    case "ec-p256":
      return (await pair("ec", { namedCurve: "P-256" })).privateKey;
    case "ec-p384":
      return (await pair("ec", { namedCurve: "P-384" })).privateKey;
    case "rsa-2048":
      return (await pair("rsa", { modulusLength: 2048, publicExponent: 65_537 })).privateKey;
    case "rsa-3072":
      return (await pair("rsa", { modulusLength: 3072, publicExponent: 65_537 })).privateKey;
    case "ed25519":
      return (await pair("ed25519", {})).privateKey;
  }
}
