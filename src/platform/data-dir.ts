// The data directory of a process: 0700, stamped with its kind, and refused when it is another's.
//
// A stamp is the last thing that is written while a directory is made. What a kill leaves before that is marked as
// unfinished, holds nothing that anybody was given, and is cleared by the next createDataDir().
import { chmod, mkdir, readdir, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  errnoOf,
  FileError,
  octal,
  readTrustedFile,
  removeFileDurably,
  syncDirectory,
  writeFileDurably,
} from "./atomic-file.ts";
import { shellWord } from "./shell-word.ts";

export type DataDirErrorCode = "missing" | "exists" | "other_kind" | "newer" | "others_may_enter" | "unreadable";

/** A data directory that cannot be used. The message is one sentence with the path. */
export class DataDirError extends Error {
  override readonly name = "DataDirError";
  readonly code: DataDirErrorCode;
  /** What helps: a command, mostly. */
  readonly cure: string | undefined;
  constructor(code: DataDirErrorCode, message: string, cure?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.cure = cure;
  }
}

export interface Stamp {
  /** "server" or "agent". */
  readonly kind: string;
  /** Of the layout; a process refuses a higher one than it knows. */
  readonly version: number;
  readonly createdAt: string;
  readonly [more: string]: unknown;
}

export interface DataDir {
  /** Absolute. */
  readonly path: string;
  readonly stamp: Stamp;
  file(name: string): string;
  /** JSON of one of our small files, undefined when it is not there or is none. */
  readJson(name: string): Promise<unknown>;
  writeJson(name: string, value: unknown): Promise<void>;
}

export interface WantedDir {
  readonly kind: string;
  /** The newest layout that is understood. */
  readonly version: number;
}

const stampName = "signet.json";
const unfinishedName = ".signet-unfinished";
/** What a fresh file system has of itself. */
const ownNames = ["lost+found"];

/** Opens a data directory. Throws DataDirError. */
export async function openDataDir(path: string, wanted: WantedDir): Promise<DataDir> {
  const whole = resolve(path);
  await refuseOthers(whole, wanted.kind);
  const stamp = await readStamp(whole, wanted.kind);
  if (stamp.kind !== wanted.kind) {
    throw new DataDirError(
      "other_kind",
      `${whole} is the data directory of a signet ${stamp.kind}, not of a signet ${wanted.kind}`,
      "another --data-dir",
    );
  }
  if (stamp.version > wanted.version) {
    throw new DataDirError(
      "newer",
      `${whole} was written by a newer signet (layout ${stamp.version}, this one knows up to ${wanted.version})`,
      "the newer signet, or a backup from before",
    );
  }
  return dataDir(whole, stamp);
}

/**
 * Makes a data directory: new, or in an empty one of this user's (a mounted volume). `fill` puts into it what it needs;
 * the stamp comes last. Throws "exists" when something is there, and what `fill` throws; then nothing stays.
 */
export async function createDataDir(
  path: string,
  stamp: Omit<Stamp, "createdAt"> & { readonly now: Date },
  fill: (dir: DataDir) => Promise<void>,
): Promise<DataDir> {
  const whole = resolve(path);
  const { now, ...rest } = stamp;
  const made = { ...rest, createdAt: now.toISOString() } as Stamp;
  const isNew = await takePlace(whole);
  try {
    await chmod(whole, 0o700);
    await writeFileDurably(join(whole, unfinishedName), "", { mode: 0o600 });
    await writeFileDurably(join(whole, ".gitignore"), "*\n", { mode: 0o600 });
    await fill(dataDir(whole, made));
    await writeFileDurably(join(whole, stampName), `${JSON.stringify(made, undefined, 2)}\n`, { mode: 0o600 });
    await removeFileDurably(join(whole, unfinishedName));
  } catch (error) {
    await clear(whole).catch(() => undefined);
    if (isNew) await rm(whole, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(whole)).catch(() => undefined); // The parent may be closed to this user.
  return dataDir(whole, made);
}

function dataDir(path: string, stamp: Stamp): DataDir {
  const file = (name: string): string => join(path, name);
  return {
    path,
    stamp,
    file,
    readJson: async (name) => {
      try {
        return JSON.parse(new TextDecoder().decode(await readTrustedFile(file(name)))) as unknown;
      } catch {
        return undefined; // What we remember between starts is a convenience: without it the start goes on.
      }
    },
    writeJson: (name, value) =>
      writeFileDurably(file(name), `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 }),
  };
}

/** True when the directory was made; false when it was there, ours and empty, or half made. Throws DataDirError. */
async function takePlace(path: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true }).catch((error: unknown) => {
    throw cannotMake(path, error);
  });
  try {
    await mkdir(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw cannotMake(path, error);
  }
  const found = await stat(path).catch((error: unknown) => {
    throw cannotMake(path, error);
  });
  if (!found.isDirectory())
    throw new DataDirError("exists", `${path} is there already, and is no directory`, "another --data-dir");
  if (found.uid !== userId(found.uid)) throw notOurs(path, found.uid);
  const names = await readdir(path);
  const isHalfMade = names.includes(unfinishedName) && !names.includes(stampName);
  const taken = names.filter((name) => !ownNames.includes(name));
  if (taken.length > 0 && !isHalfMade) {
    throw new DataDirError("exists", `${path} is there already, and nothing in it was touched`, "another --data-dir");
  }
  // Shared places, such as /tmp, are not for one process to close.
  if ((found.mode & 0o1000) !== 0)
    throw new DataDirError(
      "exists",
      `${path} is shared with others (mode ${octal(found.mode)})`,
      "a directory below it",
    );
  await clear(path);
  return false;
}

async function clear(path: string): Promise<void> {
  const names = await readdir(path);
  // The mark goes last, so that a kill in between leaves it.
  const inOrder = [
    ...names.filter((name) => name !== unfinishedName),
    ...names.filter((name) => name === unfinishedName),
  ];
  for (const name of inOrder)
    if (!ownNames.includes(name)) await rm(join(path, name), { recursive: true, force: true });
}

async function refuseOthers(path: string, kind: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    const code = errnoOf(error);
    if (code === "ENOENT")
      throw new DataDirError("missing", `there is no data directory ${path}`, cureOfMissing(kind, path), {
        cause: error,
      });
    throw new DataDirError("unreadable", `the data directory ${path} cannot be used: ${code}`, undefined, {
      cause: error,
    });
  });
  if (!found.isDirectory()) throw new DataDirError("missing", `${path} is not a directory`, "another --data-dir");
  if (found.uid !== userId(found.uid)) throw notOurs(path, found.uid);
  if ((found.mode & 0o077) !== 0) {
    throw new DataDirError(
      "others_may_enter",
      `others may enter ${path} (mode ${octal(found.mode)}), and keys are in it`,
      `chmod 700 ${shellWord(path)}`,
    );
  }
}

async function readStamp(path: string, kind: string): Promise<Stamp> {
  const file = join(path, stampName);
  let stamp: unknown;
  try {
    stamp = JSON.parse(new TextDecoder().decode(await readTrustedFile(file)));
  } catch (error) {
    if (error instanceof FileError && error.code === "missing") {
      throw new DataDirError(
        "missing",
        `${path} is not a data directory of signet: it has no ${stampName}`,
        cureOfMissing(kind, path),
      );
    }
    if (error instanceof FileError) throw new DataDirError("unreadable", error.message, undefined, { cause: error });
    throw new DataDirError("unreadable", `${file} cannot be read: it is not JSON`, undefined, { cause: error });
  }
  if (!isStamp(stamp)) throw new DataDirError("unreadable", `${file} is not a stamp of signet`);
  return stamp;
}

function isStamp(value: unknown): value is Stamp {
  if (typeof value !== "object" || value === null || !("kind" in value) || !("version" in value)) return false;
  return typeof value.kind === "string" && Number.isSafeInteger(value.version);
}

function cureOfMissing(kind: string, path: string): string {
  const command = kind === "server" ? "signet init --trust-domain NAME" : "signet agent --join-file -";
  return `${command} --data-dir ${shellWord(path)}`;
}

/** Root too: what it would write there, the owner could not read any more, and the owner could read its keys. */
function notOurs(path: string, uid: number): DataDirError {
  return new DataDirError(
    "others_may_enter",
    `${path} belongs to another user (${uid})`,
    `run it as that user: sudo -u '#${uid}' ...`,
  );
}

function userId(fallback: number): number {
  return process.geteuid?.() ?? fallback;
}

function cannotMake(path: string, error: unknown): DataDirError {
  return new DataDirError("unreadable", `the data directory ${path} cannot be made: ${errnoOf(error)}`, undefined, {
    cause: error,
  });
}
