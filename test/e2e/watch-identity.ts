import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

export interface SeenIdentity {
  readonly serialHex: string;
  readonly authority: string;
  readonly notAfter: Date;
  /** SHA-256 of the issuing key's certificate. */
  readonly issuer: string;
}

/**
 * Reads an identity directory all the time, as a service would: resolves `..data` once, reads the whole set, checks it.
 * The previous version stays until the next rotation, so whatever was resolved can be read.
 */
export interface IdentityWatch {
  /** One each serial, in the order they appeared. */
  readonly seen: readonly SeenIdentity[];
  readonly reads: number;
  /** What was not one set: empty is right. */
  readonly torn: readonly string[];
  /** Resolves with the first identity after the `count` first ones. */
  after(count: number): Promise<SeenIdentity>;
  stop(): Promise<void>;
}

const pauseMs = 4;

export function watchIdentity(dir: string): IdentityWatch {
  const seen: SeenIdentity[] = [];
  const torn: string[] = [];
  const waiting = new Set<() => void>();
  let reads = 0;
  let stopped = false;
  const look = async (): Promise<void> => {
    const target = await readlink(join(dir, "..data")).catch(() => undefined);
    if (target === undefined) return;
    try {
      const identity = await readSet(join(dir, target));
      await checkPem(join(dir, "tls.pem"));
      reads += 1;
      if (seen.at(-1)?.serialHex === identity.serialHex) return;
      seen.push(identity);
      for (const each of waiting) each();
    } catch (error) {
      torn.push(`${target}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopped) {
      await look();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const ended = loop();
  return {
    seen,
    torn,
    get reads() {
      return reads;
    },
    after: (count) =>
      new Promise((resolve) => {
        const tell = (): void => {
          const identity = seen[count];
          if (identity === undefined) return;
          waiting.delete(tell);
          resolve(identity);
        };
        waiting.add(tell);
        tell();
      }),
    stop: async () => {
      stopped = true;
      await ended;
    },
  };
}

/** Reads and checks one version directory: key, chain, roots and identity.json belong together. Throws what does not. */
export async function readSet(version: string): Promise<SeenIdentity> {
  const [chainPem, keyPem, wholePem, rootsPem, identityText] = await Promise.all(
    ["tls.crt", "tls.key", "tls.pem", "ca.crt", "identity.json"].map((name) => readFile(join(version, name), "utf8")),
  );
  const [leaf, issuer, ...more] = certificates(chainPem ?? "");
  if (leaf === undefined || issuer === undefined || more.length > 0) throw new Error("tls.crt is not leaf and issuer");
  fits(leaf, createPrivateKey(keyPem ?? ""));
  if (!leaf.checkIssued(issuer) || !leaf.verify(issuer.publicKey)) throw new Error("the leaf is not by the issuer");
  const root = certificates(rootsPem ?? "").find((each) => issuer.checkIssued(each));
  if (root === undefined || !issuer.verify(root.publicKey)) throw new Error("the issuer is by no root in ca.crt");
  if (!wholePem?.includes(keyPem ?? "-") || !wholePem.includes(chainPem ?? "-")) throw new Error("tls.pem is another");
  const { serialHex, authority, notAfter } = JSON.parse(identityText ?? "") as Record<string, string>;
  if (serialHex !== leaf.serialNumber.toLowerCase()) throw new Error(`identity.json is of ${serialHex}`);
  return {
    serialHex,
    authority: authority ?? "",
    notAfter: new Date(notAfter ?? ""),
    issuer: issuer.fingerprint256,
  };
}

async function checkPem(path: string): Promise<void> {
  const pem = await readFile(path, "utf8");
  const [leaf] = certificates(pem);
  if (leaf === undefined) throw new Error("tls.pem holds no certificate");
  fits(leaf, createPrivateKey(pem));
}

function fits(leaf: X509Certificate, key: KeyObject): void {
  if (!leaf.checkPrivateKey(key)) throw new Error("the key is not the certificate's");
}

function certificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}
