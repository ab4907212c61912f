// Private keys as text: PKCS#8, in the clear or encrypted by PBES2 with scrypt and AES-256-CBC (RFC 5958, RFC 8018,
// RFC 7914). The scrypt cost is what both openssl and node can read back: N = 2^14, r = 8, p = 5.
import {
  createCipheriv,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  type ScryptOptions,
  scrypt,
  scryptSync,
  sign,
} from "node:crypto";
import { promisify } from "node:util";
import type { Random } from "../platform/random.ts";
import { readDer } from "../x509/der.ts";
import { integer, octetString, oid, sequence } from "../x509/der-writer.ts";
import { X509Error } from "../x509/errors.ts";
import { decodePem, encodePem } from "../x509/pem.ts";
import { parseSpki } from "../x509/spki.ts";
import { KeyError, type KeyHandle, type KeyType } from "./key-manager.ts";

const scryptCost = { N: 2 ** 14, r: 8, p: 5 } as const;
const keyBytes = 32;
const pbes2 = "1.2.840.113549.1.5.13";
const scryptOid = "1.3.6.1.4.1.11591.4.11";
const aes256Cbc = "2.16.840.1.101.3.4.1.42";

const deriveAway = promisify(scrypt) as (
  passphrase: string,
  salt: Uint8Array,
  bytes: number,
  options: ScryptOptions,
) => Promise<Buffer>;
const cost: ScryptOptions = { ...scryptCost, maxmem: 64 * 1024 * 1024 };

/** PEM of an encrypted key, label ENCRYPTED PRIVATE KEY. Holds the event loop up for a tenth of a second. */
export function encryptPkcs8(key: KeyObject, passphrase: string, random: Pick<Random, "bytes">): string {
  const salt = random.bytes(16);
  return sealed(key, { secret: scryptSync(passphrase, salt, keyBytes, cost), salt, iv: random.bytes(16) });
}

/** The same, away from the event loop. */
export async function encryptPkcs8Away(
  key: KeyObject,
  passphrase: string,
  random: Pick<Random, "bytes">,
): Promise<string> {
  const salt = random.bytes(16);
  return sealed(key, { secret: await deriveAway(passphrase, salt, keyBytes, cost), salt, iv: random.bytes(16) });
}

function sealed(
  key: KeyObject,
  { secret, salt, iv }: { readonly secret: Buffer; readonly salt: Uint8Array; readonly iv: Uint8Array },
): string {
  const cipher = createCipheriv("aes-256-cbc", secret, iv);
  const clear = key.export({ format: "der", type: "pkcs8" });
  const octets = Buffer.concat([cipher.update(clear), cipher.final()]);
  clear.fill(0);
  secret.fill(0);
  const kdf = sequence(
    oid(scryptOid),
    sequence(octetString(salt), integer(scryptCost.N), integer(scryptCost.r), integer(scryptCost.p), integer(keyBytes)),
  );
  const scheme = sequence(oid(aes256Cbc), octetString(iv));
  const der = sequence(sequence(oid(pbes2), sequence(kdf, scheme)), octetString(octets));
  return encodePem("ENCRYPTED PRIVATE KEY", der);
}

/** PEM of a key in the clear, label PRIVATE KEY. */
export function clearPkcs8(key: KeyObject): string {
  return key.export({ format: "pem", type: "pkcs8" }).toString();
}

/** Reads either form. Throws KeyError "bad_passphrase", "unreadable". `what` names the key in messages. */
export function readPkcs8(pem: string, passphrase: string | undefined, what: string): KeyObject {
  const label = labelOf(pem);
  if (label === undefined) throw new KeyError("unreadable", `${what} is not a private key in PKCS#8`);
  const isEncrypted = label === "ENCRYPTED PRIVATE KEY";
  if (isEncrypted && passphrase === undefined) {
    throw new KeyError(
      "bad_passphrase",
      `${what} is encrypted and no passphrase file is given; try: SIGNET_KEY_PASSPHRASE_FILE`,
    );
  }
  try {
    return createPrivateKey({ key: pem, format: "pem", ...(isEncrypted ? { passphrase } : {}) });
  } catch (cause) {
    if (isEncrypted) throw new KeyError("bad_passphrase", `${what} does not open with this passphrase`, { cause });
    throw new KeyError("unreadable", `${what} is not a private key in PKCS#8`, { cause });
  }
}

/** The label of a text that is one whole PEM block of DER; undefined for anything else. */
function labelOf(pem: string): string | undefined {
  try {
    const [block] = decodePem(pem, { labels: ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY"], max: 1, maxCharacters: 65_536 });
    if (block === undefined) return undefined;
    readDer(block.der);
    return block.label;
  } catch (error) {
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}

/** A handle over a key that is in memory. Throws KeyError "unreadable" for a type that authorities do not have. */
export function handleOf(name: string, key: KeyObject): KeyHandle {
  const spkiDer = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  const type = keyTypeOf(spkiDer, name);
  const hash = { "ec-p256": "sha256", "ec-p384": "sha384", "rsa-2048": "sha256", "rsa-3072": "sha256", ed25519: null }[
    type
  ];
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
