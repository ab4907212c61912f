import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { open, readlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseBundle, type TrustBundle } from "../spiffe/bundle.ts";
import { type DenyList, parseDenyList } from "../spiffe/deny.ts";
import { parseSpiffeId, type TrustDomain, trustDomainOf } from "../spiffe/id.ts";
import { type Certificate, certificatesFromPem } from "../x509/certificate.ts";
import { decodePem, encodePem } from "../x509/pem.ts";
import { SdkError } from "./sdk-error.ts";

/** The files of an identity directory that the SDK uses, all of one version. */
export interface SetFiles {
  readonly tlsPem: string;
  readonly bundleJson: string;
  readonly deniedJson: string;
}

/** A set that could be read and belongs together; whether its chain holds is not looked at here. */
export interface IdentitySet {
  readonly trustDomain: TrustDomain;
  readonly chain: readonly [Certificate, ...Certificate[]];
  readonly chainPem: string;
  readonly privateKey: KeyObject;
  readonly bundle: TrustBundle;
  readonly denied: DenyList;
}

const maxFileBytes = 8 * 1024 * 1024;

/**
 * Reads one set of `dir`: `..data` is resolved once, so that all files are of one version. Throws SdkError "not_ready" when there
 * is no set yet, "broken" when a file of it is missing or cannot be read.
 */
export async function readSet(dir: string): Promise<SetFiles> {
  for (let attempt = 1; ; attempt++) {
    const version = await versionOf(dir);
    try {
      const [tlsPem, bundleJson, deniedJson] = await Promise.all(
        ["tls.pem", "bundle.json", "denied.json"].map((name) => readText(join(version, name))),
      );
      if (tlsPem !== undefined && bundleJson !== undefined && deniedJson !== undefined) {
        return { tlsPem, bundleJson, deniedJson };
      }
    } catch (error) {
      if (isMissing(error) && version === dir) {
        throw new SdkError("not_ready", `there is no identity in ${dir} yet`, { cause: error });
      }
      // Two rotations while we were reading take the version away under us; then there is a newer one.
      if (isMissing(error) && attempt < 5 && (await versionOf(dir)) !== version) continue;
      throw new SdkError("broken", `cannot read ${messageOf(error)}`, { cause: error });
    }
  }
}

/**
 * What the files say. Throws SdkError "broken" when a file cannot be parsed, the key is not the leaf's, or the leaf has
 * not exactly one URI name that is a SPIFFE ID.
 */
export function parseSet(files: SetFiles): IdentitySet {
  try {
    const blocks = decodePem(files.tlsPem, { labels: ["PRIVATE KEY", "CERTIFICATE"], max: 20 });
    const [key, ...otherKeys] = blocks.filter(({ label }) => label === "PRIVATE KEY");
    if (key === undefined || otherKeys.length > 0) throw new SdkError("broken", "tls.pem holds not exactly one key");
    const certificates = blocks.filter(({ label }) => label === "CERTIFICATE");
    const chainPem = certificates.map(({ label, der }) => encodePem(label, der)).join("");
    const [leaf, ...rest] = certificatesFromPem(chainPem);
    if (leaf === undefined) throw new SdkError("broken", "tls.pem holds no certificate");
    const uris = leaf.names.filter(({ kind }) => kind === "uri");
    if (uris.length !== 1) throw new SdkError("broken", "the leaf in tls.pem has not exactly one URI name");
    const trustDomain = trustDomainOf(parseSpiffeId(uris[0]?.value ?? ""));
    const privateKey = privateKeyOf(key.der, leaf);
    const bundle = parseBundle(files.bundleJson, trustDomain);
    if (bundle.roots.length === 0) throw new SdkError("broken", "bundle.json holds no root");
    const denied = parseDenyList(files.deniedJson);
    return { trustDomain, chain: [leaf, ...rest], chainPem, privateKey, bundle, denied };
  } catch (error) {
    if (error instanceof SdkError) throw error;
    throw new SdkError("broken", messageOf(error), { cause: error });
  }
}

async function versionOf(dir: string): Promise<string> {
  try {
    return resolve(dir, await readlink(join(dir, "..data")));
  } catch (error) {
    // A plain copy of a directory has no versions.
    if (isMissing(error)) return dir;
    throw new SdkError("broken", `cannot read ${messageOf(error)}`, { cause: error });
  }
}

async function readText(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    if ((await file.stat()).size > maxFileBytes) throw new Error(`${path} is larger than ${maxFileBytes} bytes`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function privateKeyOf(pkcs8: Uint8Array, leaf: Certificate): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: Buffer.from(pkcs8), format: "der", type: "pkcs8" });
  } catch {
    // The cause is left out: no error may carry bytes of a key.
    throw new SdkError("broken", "tls.pem holds no private key that can be read");
  }
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  if (!spki.equals(leaf.publicKey.der)) throw new SdkError("broken", "the key in tls.pem is not the key of its leaf");
  return key;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
