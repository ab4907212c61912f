// Files that survive a kill: written beside their place, synced, and moved in by one rename; and files that hold
// secrets or decide who is trusted, read only when nobody else could have.
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { shellWord } from "./shell-word.ts";

export type FileErrorCode = "unsafe" | "missing" | "unreadable" | "too_large" | "exists";

/** A file that may not be used. The message is one sentence for people, with the path and what to do. */
export class FileError extends Error {
  override readonly name = "FileError";
  readonly code: FileErrorCode;
  constructor(code: FileErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface WriteOptions {
  /** Permission bits, whatever the umask; 0600 by default. */
  readonly mode?: number;
}

/**
 * Puts `content` at `path`, replacing what was there: whoever opens it sees the old file or the new one, whole. Durable
 * when the promise resolves (file and directory synced). Never wider than `mode`, and 0600 before the first octet. On
 * failure the old file stays, and the system's error comes through.
 */
export async function writeFileDurably(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): Promise<void> {
  await writeBeside(path, content, options, (temporary) => rename(temporary, path));
}

/** Like writeFileDurably(), but never replaces: throws FileError "exists" when there is a file already. */
export async function createFileDurably(
  path: string,
  content: Uint8Array | string,
  options: WriteOptions = {},
): Promise<void> {
  await writeBeside(path, content, options, async (temporary) => {
    // A link never replaces, and the file is whole when its name appears.
    await link(temporary, path).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw new FileError("exists", `${path} exists already and is not overwritten`, { cause: error });
    });
    await unlink(temporary);
  });
}

const keptOfName = 64;
const temporaryOctets = 6;
const temporaryForm = new RegExp(`^\\..{1,${keptOfName}}\\.[0-9a-f]{${2 * temporaryOctets}}$`, "s");

async function writeBeside(
  path: string,
  content: Uint8Array | string,
  { mode = 0o600 }: WriteOptions,
  place: (temporary: string) => Promise<void>,
): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, temporaryName(basename(path)));
  try {
    await writeNew(temporary, content, mode);
    await place(temporary);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(folder);
}

/** The name under which a file is written before it is moved to `name`. A kill leaves it; isTemporaryName() knows it. */
export function temporaryName(name: string): string {
  return `.${name.slice(0, keptOfName)}.${randomBytes(temporaryOctets).toString("hex")}`;
}

/** Whether a name is one of temporaryName(): a file that a kill left half-way, which may hold a secret. */
export function isTemporaryName(name: string): boolean {
  return temporaryForm.test(name);
}

async function writeNew(path: string, content: Uint8Array | string, mode: number): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = await open(path, flags, 0o600);
  try {
    await file.chmod(mode);
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Removes a file for good; nothing happens when there is none. */
export async function removeFileDurably(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export interface ReadOptions {
  /** More octets than this are refused; 64 KiB by default. */
  readonly maxBytes?: number;
}

/**
 * Reads a file that holds a secret. Refused unless it belongs to root or the user of this process and nobody else can
 * read or write it. Throws FileError.
 */
export async function readSecretFile(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
  return await readChecked(path, options, ({ uid, gid, mode }) => {
    if (!isOurs(uid))
      return `belongs to another user (${uid}); try: chown ${process.geteuid?.() ?? 0} ${shellWord(path)}`;
    if ((mode & 0o077) === 0 || isCredential({ uid, gid, mode })) return undefined;
    return `can be read by others (mode ${octal(mode)}); try: chmod 600 ${shellWord(path)}`;
  });
}

/**
 * systemd gives a service that is not root its credentials (LoadCredential=) by an ACL on a file of root, whose mask
 * shows as mode 0440: beside the group root only that service reads it.
 */
function isCredential({ uid, gid, mode }: Facts): boolean {
  return uid === 0 && gid === 0 && process.geteuid?.() !== 0 && (mode & 0o7777) === 0o440;
}

/**
 * Reads a file that decides what this process does. Refused when others may write it: it belongs to root or the user of
 * this process, and is not writable by others nor by a group other than that user's own. Throws FileError.
 */
export async function readTrustedFile(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
  return await readChecked(path, options, ({ uid, gid, mode }) => {
    if (!isOurs(uid)) return `belongs to another user (${uid}), who may change it; try: chown root ${shellWord(path)}`;
    const isWritable = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && gid !== process.getegid?.());
    return isWritable
      ? `can be written by others (mode ${octal(mode)}); try: chmod go-w ${shellWord(path)}`
      : undefined;
  });
}

interface Facts {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

async function readChecked(
  path: string,
  { maxBytes = 64 * 1024 }: ReadOptions,
  fault: (facts: Facts) => string | undefined,
): Promise<Uint8Array> {
  // Not blocking, or a pipe in the place of the file would hold the process up for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw cannotRead(path, error);
  });
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw new FileError("unsafe", `${path} is not a file`);
    const unsafe = fault(facts);
    if (unsafe !== undefined) throw new FileError("unsafe", `${path} ${unsafe}`);
    return await readAtMost(handle, path, maxBytes);
  } finally {
    await handle.close();
  }
}

async function readAtMost(handle: FileHandle, path: string, maxBytes: number): Promise<Uint8Array> {
  const octets = new Uint8Array(maxBytes + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(octets, length, octets.length - length, null);
    length += bytesRead;
    if (length > maxBytes) throw new FileError("too_large", `${path} is larger than ${maxBytes} bytes`);
    if (bytesRead === 0) return octets.slice(0, length);
  }
}

function cannotRead(path: string, error: unknown): FileError {
  switch (errnoOf(error)) {
    case "ENOENT":
    case "ENOTDIR":
      return new FileError("missing", `${path} does not exist`, { cause: error });
    case "EACCES":
    case "EPERM":
      return new FileError("unreadable", `${path} may not be read by this user`, { cause: error });
    case "EISDIR":
      return new FileError("unsafe", `${path} is a directory`, { cause: error });
    default: {
      const why = error instanceof Error ? error.message : String(error);
      return new FileError("unreadable", `${path} cannot be read: ${why}`, { cause: error });
    }
  }
}

/** True for root and the user of this process. */
function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

/** Permission bits as chmod writes them: `0644`. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}

/** The system's code of a failure, such as ENOSPC; empty when it has none. */
export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
