// Keys as files of one directory, 0600, encrypted when there is a passphrase. A key is durable before its handle is given.
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createFileDurably, FileError, syncDirectory } from "../platform/atomic-file.ts";
import type { Random } from "../platform/random.ts";
import { generateKey } from "./generate.ts";
import { KeyError, type KeyHandle, type KeyManager } from "./key-manager.ts";
import { clearPkcs8, encryptPkcs8, handleOf, readPkcs8 } from "./pkcs8.ts";

const suffix = ".key";
const goodName = /^[a-z0-9][a-z0-9-]{0,62}$/;

export interface DiskKeysOptions {
  readonly dir: string;
  readonly random: Random;
  readonly passphrase?: string | undefined;
}

/** Opens the key directory, which is made when it is missing. */
export async function diskKeys(options: DiskKeysOptions): Promise<KeyManager> {
  const { dir, passphrase, random } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const opened = new Map<string, Promise<KeyHandle>>();
  const fileOf = (name: string): string => {
    if (!goodName.test(name)) throw new KeyError("not_found", `no key can be named ${JSON.stringify(name.slice(0, 64))}`);
    return join(dir, `${name}${suffix}`);
  };
  const read = async (name: string): Promise<KeyHandle> => {
    const file = fileOf(name);
    let pem: string;
    try {
      pem = await readFile(file, "utf8");
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
        throw new KeyError("not_found", `there is no key ${name} in ${dir}`, { cause });
      }
      throw new KeyError("unreadable", `the key ${file} cannot be read`, { cause });
    }
    return handleOf(name, readPkcs8(pem, passphrase, `the key ${file}`));
  };
  return {
    encrypted: passphrase !== undefined,
    create: async (name, type) => {
      const file = fileOf(name);
      const key = await generateKey(type);
      const pem = passphrase === undefined ? clearPkcs8(key) : encryptPkcs8(key, passphrase, random);
      try {
        await createFileDurably(file, pem, { mode: 0o600 });
      } catch (cause) {
        if (cause instanceof FileError && cause.code === "exists") {
          throw new KeyError("exists", `there is a key ${name} already`, { cause });
        }
        throw new KeyError("unavailable", `the key ${file} cannot be written`, { cause });
      }
      const handle = handleOf(name, key);
      opened.set(name, Promise.resolve(handle));
      return handle;
    },
    open: (name) => {
      let handle = opened.get(name);
      if (handle === undefined) {
        handle = read(name);
        opened.set(name, handle);
        handle.catch(() => opened.delete(name));
      }
      return handle;
    },
    list: async () =>
      (await readdir(dir))
        .filter((file) => file.endsWith(suffix) && !file.startsWith("."))
        .map((file) => file.slice(0, -suffix.length))
        .sort(),
    destroy: async (name) => {
      opened.delete(name);
      await rm(fileOf(name), { force: true });
      await syncDirectory(dir);
    },
  };
}
