// Private keys as text: PKCS#8, in the clear or encrypted by PBES2 with scrypt and AES-256-CBC (RFC 5958, RFC 8018,
// RFC 7914). The scrypt cost is what both openssl and node can read back: N = 2^14, r = 8, p = 5.
import { createCipheriv, createPrivateKey, createPublicKey, type KeyObject, scryptSync, sign } from "node:crypto";
import type { Random } from "../platform/random.ts";
import { integer, octetString, oid, sequence } from "../x509/der.ts";
import { encodePem } from "../x509/pem.ts";
import { parseSpki } from "../x509/spki.ts";
import { KeyError, type KeyHandle, type KeyType } from "./key-manager.ts";

const scryptCost = { N: 2 ** 14, r: 8, p: 5 } as const;
const keyBytes = 32;
const pbes2 = "1.2.840.113549.1.5.13";
const scryptOid = "1.3.6.1.4.1.11591.4.11";
const aes256Cbc = "2.16.840.1.101.3.4.1.42";

/** PEM of an encrypted key, label ENCRYPTED PRIVATE KEY. */
export function encryptPkcs8(key: KeyObject, passphrase: string, random: Random): string {
  const salt = random.bytes(16);
  const iv = random.bytes(16);
  const secret = scryptSync(passphrase, salt, keyBytes, { ...scryptCost, maxmem: 64 * 1024 * 1024 });
  const cipher = createCipheriv("aes-256-cbc", secret, iv);
  const clear = key.export({ format: "der", type: "pkcs8" });
  const sealed = Buffer.concat([cipher.update(clear), cipher.final()]);
  clear.fill(0);
  secret.fill(0);
  const kdf = sequence(
    oid(scryptOid),
    sequence(octetString(salt), integer(scryptCost.N), integer(scryptCost.r), integer(scryptCost.p), integer(keyBytes)),
  );
  const scheme = sequence(oid(aes256Cbc), octetString(iv));
  const der = sequence(sequence(oid(pbes2), sequence(kdf, scheme)), octetString(sealed));
  return encodePem("ENCRYPTED PRIVATE KEY", der);
}

/** PEM of a key in the clear, label PRIVATE KEY. */
export function clearPkcs8(key: KeyObject): string {
  return key.export({ format: "pem", type: "pkcs8" }).toString();
}

/** Reads either form. Throws KeyError "bad_passphrase", "unreadable". `what` names the key in messages. */
export function readPkcs8(pem: string, passphrase: string | undefined, what: string): KeyObject {
  const encrypted = pem.includes("BEGIN ENCRYPTED PRIVATE KEY");
  if (encrypted && passphrase === undefined) {
    throw new KeyError("bad_passphrase", `${what} is encrypted and no passphrase file is given`);
  }
  try {
    return createPrivateKey({ key: pem, format: "pem", ...(encrypted ? { passphrase } : {}) });
  } catch (cause) {
    if (encrypted) throw new KeyError("bad_passphrase", `${what} does not open with this passphrase`, { cause });
    throw new KeyError("unreadable", `${what} is not a private key in PKCS#8`, { cause });
  }
}

/** A handle over a key that is in memory. Throws KeyError "unreadable" for a type that authorities do not have. */
export function handleOf(name: string, key: KeyObject): KeyHandle {
  const spkiDer = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  const type = keyTypeOf(spkiDer, name);
  const hash = { "ec-p256": "sha256", "ec-p384": "sha384", "rsa-2048": "sha256", "rsa-3072": "sha256", ed25519: null }[type];
  return { name, type, spkiDer, sign: (octets) => sign(hash, octets, key) };
}

function keyTypeOf(spkiDer: Uint8Array, name: string): KeyType {
  try {
    const { type } = parseSpki(spkiDer);
    if (type !== "rsa-4096") return type;
  } catch (cause) {
    throw new KeyError("unreadable", `${name} has a key of a kind that authorities do not have`, { cause });
  }
  throw new KeyError("unreadable", `${name} has an RSA key of 4096 bits: authorities have 2048 or 3072`);
}
