// A small CA for these tests: real certificates, and identity directories as an agent writes them.
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleJson, type TrustBundle } from "../../../src/spiffe/bundle.ts";
import { type DeniedCertificate, denyListJson } from "../../../src/spiffe/deny.ts";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import { type Certificate, parseCertificate } from "../../../src/x509/certificate.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { serialFromRandom } from "../../../src/x509/serial.ts";
import { signatureAlgorithmDer } from "../../../src/x509/signature.ts";
import {
  assemble,
  fillLeaf,
  intermediateTbs,
  type LeafUsage,
  leafTemplate,
  rootTbs,
} from "../../../src/x509/template.ts";

export interface Leaf {
  readonly certificate: Certificate;
  readonly chainPem: string;
  readonly keyPem: string;
  readonly tlsPem: string;
}

interface LeafOptions {
  readonly usage?: LeafUsage;
  /** Seconds from now; default 3600. */
  readonly endsIn?: number;
  /** Seconds from now; default -60. */
  readonly beginsIn?: number;
}

export interface TestCa {
  readonly root: Certificate;
  readonly intermediate: Certificate;
  leaf(uri: string, options?: LeafOptions): Leaf;
  /** A second intermediate under the same root. */
  rotate(): TestCa;
  bundle(sequence?: bigint): TrustBundle;
}

const day = 24 * 3600;

function fromNow(seconds: number): Date {
  // Whole seconds, as certificates have them; `seconds` is the least that is left.
  return new Date(Math.ceil(Date.now() / 1000 + seconds) * 1000);
}

interface Key {
  readonly spkiDer: Uint8Array;
  readonly pem: string;
  readonly privateKey: KeyObject;
}

function makeKey(): Key {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { spkiDer: new Uint8Array(publicKey.export({ type: "spki", format: "der" })), pem, privateKey };
}

function signed(tbs: Uint8Array, key: Key): Certificate {
  const signature = new Uint8Array(sign("sha256", tbs, key.privateKey));
  return parseCertificate(assemble(tbs, signatureAlgorithmDer("ec-p256"), signature));
}

const serial = (): Uint8Array => serialFromRandom(new Uint8Array(randomBytes(16)));

export function makeCa(trustDomain = "prod.example"): TestCa {
  const key = makeKey();
  const times = { notBefore: fromNow(-3600), notAfter: fromNow(10 * day) };
  const root = signed(rootTbs({ serial: serial(), trustDomain, name: "root-1", spkiDer: key.spkiDer, ...times }), key);
  return under(root, key, { trustDomain, number: 1 });
}

function under(root: Certificate, rootKey: Key, at: { readonly trustDomain: string; readonly number: number }): TestCa {
  const { trustDomain, number } = at;
  const key = makeKey();
  const times = { notBefore: fromNow(-3600), notAfter: fromNow(5 * day) };
  const fields = { serial: serial(), trustDomain, name: `int-${number}`, spkiDer: key.spkiDer, issuer: root, ...times };
  const intermediate = signed(intermediateTbs(fields), rootKey);
  return {
    root,
    intermediate,
    leaf: (uri, { usage = "both", endsIn = 3600, beginsIn = -60 } = {}) => {
      const leafKey = makeKey();
      const template = leafTemplate({ issuer: intermediate, extendedKeyUsage: usage, publicKeyType: "ec-p256" });
      const validity = { notBefore: fromNow(beginsIn), notAfter: fromNow(endsIn) };
      const names = { uri, dnsNames: [], ipAddresses: [] };
      const tbs = fillLeaf(template, { serial: serial(), spkiDer: leafKey.spkiDer, ...validity, ...names });
      const certificate = signed(tbs, key);
      const chainPem = [certificate, intermediate].map(({ raw }) => encodePem("CERTIFICATE", raw)).join("");
      return { certificate, chainPem, keyPem: leafKey.pem, tlsPem: `${leafKey.pem}${chainPem}` };
    },
    rotate: () => under(root, rootKey, { trustDomain, number: number + 1 }),
    bundle: (sequence = 1n) => ({
      trustDomain: parseTrustDomain(trustDomain),
      sequence,
      refreshHintSeconds: 300,
      roots: [root],
    }),
  };
}

export interface SetContent {
  readonly leaf: Leaf;
  readonly bundle: TrustBundle;
  readonly deniedSequence?: bigint;
  readonly denied?: readonly DeniedCertificate[];
}

const fileNames = ["tls.pem", "tls.crt", "tls.key", "ca.crt", "bundle.json", "denied.json"] as const;

/** An identity directory of its own in a temporary place; `remove` takes it away. */
export async function makeIdentityDir(content?: SetContent): Promise<{ dir: string; remove: () => Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), "signet-sdk-"));
  const dir = join(parent, "identity");
  await mkdir(dir);
  if (content !== undefined) await writeSet(dir, content);
  return { dir, remove: () => rm(parent, { recursive: true, force: true }) };
}

/** Writes a new version and swaps `..data` to it by one rename. The version before the last is taken away. */
export async function writeSet(dir: string, content: SetContent): Promise<void> {
  const { leaf, bundle, denied = [], deniedSequence = 1n } = content;
  const ca = bundle.roots.map(({ raw }) => encodePem("CERTIFICATE", raw)).join("");
  await writeFiles(dir, {
    "tls.pem": leaf.tlsPem,
    "tls.crt": leaf.chainPem,
    "tls.key": leaf.keyPem,
    "ca.crt": ca,
    "bundle.json": bundleJson(bundle),
    "denied.json": denyListJson({ sequence: deniedSequence, denied }),
  });
}

export async function writeFiles(
  dir: string,
  files: Readonly<Partial<Record<(typeof fileNames)[number], string>>>,
): Promise<void> {
  const version = `..${randomBytes(6).toString("hex")}`;
  await mkdir(join(dir, version), { mode: 0o700 });
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, version, name), text, { mode: 0o600 });
  for (const name of fileNames) await symlink(join("..data", name), join(dir, name)).catch(() => {});
  await symlink(version, join(dir, "..data.new"));
  await rename(join(dir, "..data.new"), join(dir, "..data"));
}
