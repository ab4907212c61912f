// The data directory of a process: 0700, stamped with its kind, and refused when it is another's.
import { randomBytes } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { syncDirectory, writeFileDurably } from "./atomic-file.ts";

export type DataDirErrorCode = "missing" | "exists" | "other_kind" | "newer" | "others_may_enter" | "unreadable";

export class DataDirError extends Error {
  override readonly name = "DataDirError";
  readonly code: DataDirErrorCode;
  /** One command that helps. */
  readonly cure: string | undefined;
  constructor(code: DataDirErrorCode, message: string, cure?: string) {
    super(message);
    this.code = code;
    this.cure = cure;
  }
}

export interface Stamp {
  readonly kind: string;
  readonly version: number;
  readonly createdAt: string;
  readonly [more: string]: unknown;
}

export interface DataDir {
  readonly path: string;
  readonly stamp: Stamp;
  file(name: string): string;
  /** JSON of one of our small files, undefined when it is not there or is none. */
  readJson(name: string): Promise<unknown>;
  writeJson(name: string, value: unknown): Promise<void>;
}

const stampName = "signet.json";

/** Opens a data directory. Throws DataDirError. */
export async function openDataDir(
  path: string,
  wanted: { readonly kind: string; readonly version: number },
): Promise<DataDir> {
  const whole = resolve(path);
  await refuseOthers(whole);
  const stamp = await readStamp(whole);
  if (stamp.kind !== wanted.kind) {
    throw new DataDirError(
      "other_kind",
      `${whole} is the data directory of a signet ${stamp.kind}, not of a ${wanted.kind}`,
    );
  }
  if (stamp.version > wanted.version) {
    throw new DataDirError(
      "newer",
      `${whole} was written by a newer signet (format ${stamp.version}, this one reads up to ${wanted.version})`,
    );
  }
  return dataDir(whole, stamp);
}

/**
 * Makes a data directory: `fill` puts into it what it needs, and only then does it appear under its name, whole. Throws
 * "exists" when there is one or something else.
 */
export async function createDataDir(
  path: string,
  stamp: Omit<Stamp, "createdAt"> & { readonly now: Date },
  fill: (dir: DataDir) => Promise<void>,
): Promise<DataDir> {
  const whole = resolve(path);
  const { now, ...rest } = stamp;
  const made = { ...rest, createdAt: now.toISOString() } as Stamp;
  await refuseFilled(whole);
  await mkdir(dirname(whole), { recursive: true });
  const building = join(dirname(whole), `.${basename(whole)}.${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(building, { mode: 0o700 });
    await chmod(building, 0o700);
    await writeFileDurably(join(building, ".gitignore"), "*\n", { mode: 0o600 });
    await fill(dataDir(building, made));
    await writeFileDurably(join(building, stampName), `${JSON.stringify(made, undefined, 2)}\n`, { mode: 0o600 });
    await rename(building, whole);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    throw errorCode(error) === "ENOTEMPTY" || errorCode(error) === "EEXIST" ? existing(whole) : error;
  }
  await syncDirectory(dirname(whole));
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
        return JSON.parse(await readFile(file(name), "utf8")) as unknown;
      } catch {
        return undefined; // What we remember between starts is a convenience: without it the start goes on.
      }
    },
    writeJson: (name, value) =>
      writeFileDurably(file(name), `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 }),
  };
}

async function refuseOthers(path: string): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT")
      throw new DataDirError("missing", `there is no data directory ${path}`, "signet init");
    throw new DataDirError("unreadable", `${path} cannot be read: ${errorCode(error)}`);
  });
  if (!found.isDirectory()) throw new DataDirError("missing", `${path} is not a directory`);
  const me = process.getuid?.() ?? found.uid;
  if (found.uid !== me && me !== 0) throw new DataDirError("others_may_enter", `${path} belongs to another user`);
  if ((found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8);
    throw new DataDirError(
      "others_may_enter",
      `others may enter ${path} (mode ${mode}), and keys are in it`,
      `chmod 700 ${path}`,
    );
  }
}

async function readStamp(path: string): Promise<Stamp> {
  let stamp: unknown;
  try {
    stamp = JSON.parse(await readFile(join(path, stampName), "utf8"));
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      throw new DataDirError("missing", `${path} is not a data directory: it has no ${stampName}`, "signet init");
    }
    throw new DataDirError("unreadable", `${join(path, stampName)} cannot be read`);
  }
  if (typeof stamp !== "object" || stamp === null || !("kind" in stamp) || !("version" in stamp)) {
    throw new DataDirError("unreadable", `${join(path, stampName)} is not a stamp of signet`);
  }
  return stamp as Stamp;
}

async function refuseFilled(path: string): Promise<void> {
  const names = await readdir(path).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return [];
    throw existing(path);
  });
  if (names.length > 0) throw existing(path);
}

function existing(path: string): DataDirError {
  return new DataDirError("exists", `${path} is there already, and nothing in it was touched`);
}

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
