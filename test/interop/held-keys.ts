// Certificates with keys that agent and server hold for themselves, as a thief with their data directories would find them.
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { certificatesFromPem } from "../../src/x509/certificate.ts";
import { encodePem } from "../../src/x509/pem.ts";
import { serialFromRandom } from "../../src/x509/serial.ts";
import { signatureAlgorithmDer } from "../../src/x509/signature.ts";
import { assemble, fillLeaf, leafTemplate } from "../../src/x509/template.ts";
import { shownChain } from "./pem-files.ts";
import { type Endpoints, trustDomain, type World } from "./world.ts";

export interface HeldKey {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** The agent's own certificate, from the JSON files of its data directory. */
export async function agentIdentity(world: World): Promise<HeldKey> {
  for (const text of await filesIn(world.agentDir)) {
    const held = findIdentity(parseJson(text), `spiffe://${trustDomain}/agent/one`);
    if (held !== undefined) return held;
  }
  throw new Error("the agent's own certificate is not in its data directory");
}

/**
 * A certificate with the server's name. The server's own key is in no file, so this one is made as a thief would who has
 * the key of the intermediate.
 */
export async function serverIdentity(world: World, server: Endpoints): Promise<HeldKey> {
  const [, issuer] = certificatesFromPem(await shownChain(server.api));
  if (issuer === undefined) throw new Error("the server shows no intermediate");
  const issuerKey = (await filesIn(join(world.serverDir, "keys")))
    .map(privateKeyIn)
    .find((key) => key !== undefined && spkiOf(key).equals(issuer.publicKey.der));
  if (issuerKey === undefined) throw new Error("the key of the intermediate is in no file");
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const tbs = fillLeaf(leafTemplate({ issuer, extendedKeyUsage: "server", publicKeyType: "ec-p256" }), {
    serial: serialFromRandom(randomBytes(16)),
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    spkiDer: spkiOf(key),
    uri: `spiffe://${trustDomain}/signet/server`,
    dnsNames: ["localhost"],
    ipAddresses: [],
  });
  const der = assemble(tbs, signatureAlgorithmDer(issuer.publicKey.type), sign("sha256", tbs, issuerKey));
  return {
    chainPem: encodePem("CERTIFICATE", der) + encodePem("CERTIFICATE", issuer.raw),
    keyPem: key.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** Writes chain and key to files for programs that read files. */
export async function writeIdentity(
  world: World,
  name: string,
  held: HeldKey,
): Promise<{ readonly chain: string; readonly key: string }> {
  const chain = join(world.folder, `${name}.crt`);
  const key = join(world.folder, `${name}.key`);
  await writeFile(chain, held.chainPem);
  await writeFile(key, held.keyPem, { mode: 0o600 });
  return { chain, key };
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const items = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = items.filter((item) => item.isFile());
  return Promise.all(files.map((item) => readFile(join(item.parentPath, item.name), "latin1")));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function findIdentity(value: unknown, spiffeId: string): HeldKey | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (
    "spiffeId" in value &&
    value.spiffeId === spiffeId &&
    "chain" in value &&
    "key" in value &&
    Array.isArray(value.chain)
  ) {
    const der = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(String(text), "base64"));
    return {
      chainPem: value.chain.map((each) => encodePem("CERTIFICATE", der(each))).join(""),
      keyPem: encodePem("PRIVATE KEY", der(value.key)),
    };
  }
  for (const inner of Object.values(value)) {
    const held = findIdentity(inner, spiffeId);
    if (held !== undefined) return held;
  }
  return undefined;
}

function privateKeyIn(text: string): KeyObject | undefined {
  if (!text.includes("PRIVATE KEY-----")) return undefined;
  try {
    return createPrivateKey(text);
  } catch {
    // Encrypted, or no key after all.
    return undefined;
  }
}

function spkiOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}
