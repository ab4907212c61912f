// `signet init`: makes a trust domain. The data directory appears whole or not at all.
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { establish } from "../authority/establish.ts";
import { diskKeys } from "../keys/disk.ts";
import type { KeyType } from "../keys/key-manager.ts";
import { memoryKeys } from "../keys/memory.ts";
import { readPassphraseFile } from "../keys/passphrase.ts";
import { encryptPkcs8 } from "../keys/pkcs8.ts";
import { createFileDurably } from "../platform/atomic-file.ts";
import { type Clock, systemClock } from "../platform/clock.ts";
import { createDataDir } from "../platform/data-dir.ts";
import { type Random, systemRandom } from "../platform/random.ts";
import { shellWord } from "../platform/shell-word.ts";
import { CaError } from "../registry/ca-error.ts";
import { parseTrustDomain } from "../spiffe/id.ts";
import { createLevelStore } from "../store/level.ts";
import type { Certificate } from "../x509/certificate.ts";

export interface InitOptions {
  readonly dataDir: string;
  readonly trustDomain: string;
  readonly keyType: KeyType;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
  /** Where the root's key goes instead of the server, encrypted by its own passphrase. */
  readonly rootKeyOut?: string | undefined;
  readonly rootPassphraseFile?: string | undefined;
  /** Encrypts the keys that stay. */
  readonly keyPassphraseFile?: string | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** An authority as it was made. */
export interface MadeAuthority {
  readonly name: string;
  readonly keyType: KeyType;
  readonly notAfter: Date;
  /** SHA-256 of the certificate, hex. */
  readonly fingerprintHex: string;
}

export interface InitResult {
  readonly dir: string;
  readonly root: MadeAuthority;
  readonly intermediate: MadeAuthority;
  /** Whether the keys in the data directory are encrypted. */
  readonly encrypted: boolean;
}

/** The store's mark in the data directory: beside the store, so that an old store put back does not bring it along. */
export const storeMarkName = "store.mark";

/** The format of a server's data directory. */
export const serverDataVersion = 1;

/** Throws CaError, DataDirError, KeyError, UnsafeFileError; then nothing was made. */
export async function initTrustDomain(options: InitOptions): Promise<InitResult> {
  const { clock = systemClock, random = systemRandom } = options;
  const trustDomain = parseTrustDomain(options.trustDomain);
  if (options.intermediateTtlSeconds > options.rootTtlSeconds) {
    throw new CaError("bad_request", "an intermediate does not outlive its root", {
      value: `${options.intermediateTtlSeconds} s`,
      limit: `${options.rootTtlSeconds} s`,
    });
  }
  if (options.rootKeyOut !== undefined && options.rootPassphraseFile === undefined) {
    throw new CaError(
      "bad_request",
      "a root key that leaves the server is encrypted: --root-passphrase-file is missing",
      {
        cure: `signet init --trust-domain ${trustDomain} --root-key-out ${shellWord(options.rootKeyOut)} --root-passphrase-file FILE`,
      },
    );
  }
  const passphrase =
    options.keyPassphraseFile === undefined ? undefined : await readPassphraseFile(options.keyPassphraseFile);
  const rootPassphrase =
    options.rootPassphraseFile === undefined ? undefined : await readPassphraseFile(options.rootPassphraseFile);
  if (rootPassphrase !== undefined && rootPassphrase === passphrase) {
    throw new CaError("bad_request", "the root key needs a passphrase of its own, not that of the keys on the server");
  }
  let made: { readonly root: Certificate; readonly intermediate: Certificate } | undefined;
  const dir = await createDataDir(
    options.dataDir,
    { kind: "server", version: serverDataVersion, trustDomain, now: clock.now() },
    async (building) => {
      const keys = await diskKeys({ dir: building.file("keys"), random, passphrase });
      const outside = memoryKeys();
      const store = await createLevelStore(building.file("store"), { clock, mark: building.file(storeMarkName) });
      try {
        const rootKeys = options.rootKeyOut === undefined ? keys : outside;
        made = await establish(
          { store, keys, rootKeys, clock, random },
          { ...options, trustDomain },
          { name: "local", reason: "init" },
        );
      } finally {
        await store.close();
      }
      if (options.rootKeyOut !== undefined && rootPassphrase !== undefined) {
        // Before the directory appears: a trust domain whose root key is nowhere could never rotate.
        const pem = encryptPkcs8(outside.key("root-1"), rootPassphrase, random);
        await createFileDurably(resolve(options.rootKeyOut), pem, { mode: 0o600 });
      }
    },
  );
  if (made === undefined) throw new CaError("internal", "no authority was made");
  return {
    dir: dir.path,
    root: madeAuthority("root-1", made.root, options.keyType),
    intermediate: madeAuthority("int-1", made.intermediate, options.keyType),
    encrypted: passphrase !== undefined,
  };
}

function madeAuthority(name: string, certificate: Certificate, keyType: KeyType): MadeAuthority {
  const fingerprintHex = createHash("sha256").update(certificate.raw).digest("hex");
  return { name, keyType, notAfter: certificate.notAfter, fingerprintHex };
}
