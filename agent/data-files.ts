// The agent's own files and the default identity directories, all below the data directory.
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isTemporaryName, temporaryName, writeFileDurably } from "../src/platform/atomic-file.ts";
import type { DataDir } from "../src/platform/data-dir.ts";
import { directoryError } from "./identities/directory-error.ts";
import { systemFiles } from "./identities/file-port.ts";
import type { DirectoryDeps } from "./identities/files.ts";
import type { Places } from "./identities/places.ts";
import type { WriteDurably } from "./trust.ts";

/** Writes one of the agent's own files: whole and 0600, or not at all. */
export const writeOwnFile: WriteDurably = (path, bytes) => writeFileDurably(path, bytes, { mode: 0o600 });

/** The data directory holds what is kept: when it is full, a new identity could not outlive this process. */
export async function probeDataDirectory(dir: DataDir, directory: DirectoryDeps, bytes: number): Promise<void> {
  const path = join(dir.path, temporaryName("probe"));
  const { files } = directory;
  try {
    const fd = await files.createFile(path);
    try {
      await files.write(fd, new Uint8Array(bytes));
      await files.sync(fd);
    } finally {
      await files.close(fd);
    }
  } catch (error) {
    throw directoryError(error, `cannot write ${dir.path}`);
  } finally {
    await rm(path, { force: true }).catch(() => {});
  }
}

/** The default places lie several levels below DATA/identities; configured ones get their last level only. */
export async function makeDefaultParents(places: Places, path: string): Promise<void> {
  if (!path.startsWith(`${places.root}/`)) return;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  } catch (error) {
    throw directoryError(error, `cannot write ${path}`);
  }
}

/** Takes empty default directories away, upwards; one that holds something stays. */
export async function removeDefaultDirectories(places: Places, path: string): Promise<void> {
  if (!path.startsWith(`${places.root}/`)) return;
  for (let at = path; at.startsWith(`${places.root}/`); at = dirname(at)) {
    try {
      await systemFiles.removeDirectory(at);
    } catch {
      return;
    }
  }
}

/** What a kill left of a file that was being written: it may hold a key. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (isTemporaryName(name)) await rm(join(directory, name), { force: true });
  }
}
