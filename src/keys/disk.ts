// Keys as files of one directory, 0600 from before their first byte, encrypted when there is a passphrase.
//
// What is durable when:  create  file and its name, before the handle is given; a kill before that leaves no name, only
//                                a dotted file that the next start removes
//                        destroy its absence, when the promise resolves
import { mkdir, readdir, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  createFileDurably,
  errnoOf,
  FileError,
  readSecretFile,
  removeFileDurably,
  syncDirectory,
} from "../platform/atomic-file.ts";
import type { Random } from "../platform/random.ts";
import { shellWord } from "../platform/shell-word.ts";
import { generateKey } from "./generate.ts";
import { KeyError, type KeyHandle, type KeyManager } from "./key-manager.ts";
import { clearPkcs8, encryptPkcs8Away, handleOf, readPkcs8 } from "./pkcs8.ts";

const suffix = ".key";
const goodName = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** What a kill leaves of a key that was never given to anyone. */
const leftover = /^\.[a-z0-9][a-z0-9-]{0,62}\.key\.[0-9a-f]{12}$/;

export interface DiskKeysOptions {
  readonly dir: string;
  readonly random: Pick<Random, "bytes">;
  /** Encrypts new keys and opens encrypted ones. A key in the clear opens without it too. */
  readonly passphrase?: string | undefined;
}

/** Opens the key directory of one process, which is made when it is missing. Throws KeyError "unavailable". */
export async function diskKeys(options: DiskKeysOptions): Promise<KeyManager> {
  const { dir, passphrase, random } = options;
  await prepare(dir);
  const opened = new Map<string, Promise<KeyHandle>>();
  return {
    encrypted: passphrase !== undefined,
    create: async (name, type) => {
      const file = fileOf(dir, name);
      const key = await generateKey(type);
      const pem = passphrase === undefined ? clearPkcs8(key) : await encryptPkcs8Away(key, passphrase, random);
      try {
        await createFileDurably(file, pem, { mode: 0o600 });
      } catch (cause) {
        if (cause instanceof FileError && cause.code === "exists") {
          throw new KeyError("exists", `there is a key ${name} already`, { cause });
        }
        throw new KeyError("unavailable", `the key ${file} cannot be written: ${errnoOf(cause) || "unknown"}`, {
          cause,
        });
      }
      const handle = handleOf(name, key);
      opened.set(name, Promise.resolve(handle));
      return handle;
    },
    open: (name) => {
      const held = opened.get(name);
      if (held !== undefined) return held;
      const opening = read(dir, name, passphrase);
      opened.set(name, opening);
      opening.catch(() => {
        if (opened.get(name) === opening) opened.delete(name);
      });
      return opening;
    },
    list: async () => {
      const names = (await readdir(dir))
        .filter((file) => file.endsWith(suffix))
        .map((file) => file.slice(0, -suffix.length));
      return names.filter((name) => goodName.test(name)).sort();
    },
    destroy: async (name) => {
      opened.delete(name);
      if (!goodName.test(name)) return;
      try {
        await removeFileDurably(fileOf(dir, name));
      } catch (cause) {
        throw new KeyError("unavailable", `the key ${name} cannot be destroyed: ${errnoOf(cause) || "unknown"}`, {
          cause,
        });
      }
    },
  };
}

async function prepare(dir: string): Promise<void> {
  try {
    const made = await mkdir(dir, { recursive: true, mode: 0o700 });
    if (made !== undefined) await syncDirectory(dirname(dir));
    if (((await stat(dir)).mode & 0o022) !== 0)
      throw new KeyError("unsafe_file", `others may write to ${dir}; try: chmod 700 ${shellWord(dir)}`);
    for (const name of await readdir(dir)) if (leftover.test(name)) await unlink(join(dir, name));
  } catch (cause) {
    if (cause instanceof KeyError) throw cause;
    throw new KeyError("unavailable", `the key directory ${dir} cannot be used: ${errnoOf(cause) || "unknown"}`, {
      cause,
    });
  }
}

function fileOf(dir: string, name: string): string {
  if (!goodName.test(name)) throw new KeyError("not_found", `no key can be named ${JSON.stringify(name.slice(0, 64))}`);
  return join(dir, `${name}${suffix}`);
}

async function read(dir: string, name: string, passphrase: string | undefined): Promise<KeyHandle> {
  const file = fileOf(dir, name);
  let octets: Uint8Array;
  try {
    octets = await readSecretFile(file);
  } catch (cause) {
    if (!(cause instanceof FileError)) throw new KeyError("unavailable", `the key ${file} cannot be read`, { cause });
    if (cause.code === "missing") throw new KeyError("not_found", `there is no key ${name} in ${dir}`, { cause });
    throw new KeyError(cause.code === "unsafe" ? "unsafe_file" : "unreadable", `the key ${cause.message}`, { cause });
  }
  return handleOf(name, readPkcs8(Buffer.from(octets).toString("latin1"), passphrase, `the key ${file}`));
}
