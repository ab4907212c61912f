// Files that are there whole or not at all, after a kill and after a power cut.
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A secret file that is not safe to use. */
export class UnsafeFileError extends Error {
  override readonly name = "UnsafeFileError";
}

/** Writes a file under another name, syncs it, puts it in place by one rename, and syncs the directory. */
export async function writeFileDurably(
  path: string,
  content: Uint8Array | string,
  options: { readonly mode: number; readonly exclusive?: boolean },
): Promise<void> {
  if (options.exclusive === true) {
    await writeNew(path, content, options.mode);
  } else {
    const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}`);
    try {
      await writeNew(temporary, content, options.mode);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
  await syncDirectory(dirname(path));
}

/** Makes a file that was not there: empty and 0600 first, its mode before its first byte. Throws EEXIST. */
async function writeNew(path: string, content: Uint8Array | string, mode: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await directory.sync();
  } finally {
    await directory?.close();
  }
}

const maxSecretBytes = 65_536;

/** Reads a secret: a regular file that only its owner, this user or root, may read. Throws UnsafeFileError. */
export async function readSecretFile(path: string): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new UnsafeFileError(`${path} is not a regular file`);
    const me = process.getuid?.() ?? stat.uid;
    if (stat.uid !== me && stat.uid !== 0) throw new UnsafeFileError(`${path} belongs to another user`);
    if ((stat.mode & 0o077) !== 0) {
      throw new UnsafeFileError(`${path} can be read by others (mode ${(stat.mode & 0o777).toString(8)}): chmod 600 ${path}`);
    }
    if (stat.size > maxSecretBytes) throw new UnsafeFileError(`${path} has ${stat.size} bytes, at most ${maxSecretBytes} are taken`);
    return new Uint8Array(await file.readFile());
  } finally {
    await file.close();
  }
}

/** A passphrase: the file's text without its last line break. */
export async function readPassphraseFile(path: string): Promise<string> {
  const text = Buffer.from(await readSecretFile(path)).toString("utf8").replace(/\r?\n$/, "");
  if (text === "") throw new UnsafeFileError(`${path} is empty: it holds the passphrase`);
  return text;
}
