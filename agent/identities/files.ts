// Identity directories. A set changes by one rename of the link `..data`; readers see the old set or the new one.
//
// | killed                                  | what readers see | what the next write does                              |
// | before `..data` is renamed              | the old set      | removes the unfinished version and the temporary link |
// | after the rename, before cleaning       | the new set      | removes what is neither in force nor the one before   |
// | while a withdrawn set is taken away     | no set           | the agent takes it away again at its next start       |
import type { Random } from "../../src/platform/random.ts";
import { codeOf, DirectoryError, directoryError } from "./directory-error.ts";
import type { FilePort } from "./file-port.ts";
import { type SetFile, setNames } from "./identity-set.ts";
import { openSafeDirectory, type Writer } from "./safe-directory.ts";

export interface DirectoryTarget {
  readonly path: string;
  readonly writer: Writer;
  /** Who owns the files; undefined: who writes. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Mode of the files that hold the key; the others have 0644. */
  readonly keyMode: number;
}

export interface DirectoryDeps {
  readonly files: FilePort;
  readonly random: Pick<Random, "bytes">;
  /** False where /proc/self/fd is missing (macOS): the path is used instead of the descriptor. */
  readonly byDescriptor: boolean;
}

const dataLink = "..data";
const versionName = /^\.\.v-[0-9a-f]{32}$/;
const temporaryName = /^\.\.t-[0-9a-f]{32}$/;

/** Puts a set in force. Durable when the promise resolves. Throws DirectoryError; the old set is in force then. */
export async function writeIdentitySet(
  deps: DirectoryDeps,
  target: DirectoryTarget,
  set: readonly SetFile[],
): Promise<void> {
  await inDirectory(deps, target, async (fd, base) => {
    const { files } = deps;
    const replaced = await currentVersion(files, base);
    await checkNames(files, base, target.path);
    const version = `..v-${randomName(deps)}`;
    const link = `..t-${randomName(deps)}`;
    try {
      await writeVersion(deps, target, { place: `${base}/${version}`, set });
      await linkNames(deps, base);
      await files.makeLink(version, `${base}/${link}`);
      await files.sync(fd);
      await files.rename(`${base}/${link}`, `${base}/${dataLink}`);
    } catch (error) {
      // A rename that failed and happened all the same: what is in force stays.
      const inForce = await currentVersion(files, base).catch(() => version);
      await removeQuietly(deps, base, inForce === version ? [link] : [link, version]);
      throw error;
    }
    await files.sync(fd);
    await clean(deps, base, new Set([version, ...(replaced === undefined ? [] : [replaced])]));
  });
}

/** Takes a set away: first `..data`, so that it goes at once, then the rest. Nothing happens when there is none. */
export async function removeIdentitySet(deps: DirectoryDeps, target: DirectoryTarget): Promise<void> {
  const { files } = deps;
  try {
    await files.factsOf(target.path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw directoryError(error, `cannot clear ${target.path}`);
  }
  await inDirectory(deps, target, async (fd, base) => {
    if ((await linkTarget(files, `${base}/${dataLink}`)) !== undefined) await files.unlink(`${base}/${dataLink}`);
    await files.sync(fd);
    for (const name of setNames) {
      if ((await linkTarget(files, `${base}/${name}`)) === `${dataLink}/${name}`) await files.unlink(`${base}/${name}`);
    }
    await clean(deps, base, new Set());
    await files.sync(fd);
  });
}

/** Writes as much as a set needs, and takes it away again. Throws DirectoryError when a set could not be written. */
export async function probeDirectory(deps: DirectoryDeps, target: DirectoryTarget, bytes: number): Promise<void> {
  await inDirectory(deps, target, async (_, base) => {
    const name = `..t-${randomName(deps)}`;
    try {
      const file = await deps.files.createFile(`${base}/${name}`);
      try {
        await deps.files.write(file, new Uint8Array(bytes));
        await deps.files.sync(file);
      } finally {
        await deps.files.close(file);
      }
    } finally {
      await removeQuietly(deps, base, [name]);
    }
  });
}

async function inDirectory(
  deps: DirectoryDeps,
  target: DirectoryTarget,
  work: (fd: number, base: string) => Promise<void>,
): Promise<void> {
  const fd = await openSafeDirectory(deps.files, target.path, target.writer);
  try {
    await work(fd, deps.byDescriptor ? `/proc/self/fd/${fd}` : target.path);
  } catch (error) {
    throw directoryError(error, `cannot write ${target.path}`);
  } finally {
    await deps.files.close(fd);
  }
}

async function writeVersion(
  deps: DirectoryDeps,
  target: DirectoryTarget,
  version: { readonly place: string; readonly set: readonly SetFile[] },
): Promise<void> {
  const { files } = deps;
  await files.makeDirectory(version.place, 0o700);
  const fd = await files.openDirectory(version.place);
  try {
    const base = deps.byDescriptor ? `/proc/self/fd/${fd}` : version.place;
    for (const file of version.set) await writeFile(files, target, { path: `${base}/${file.name}`, file });
    await files.chmod(fd, 0o755);
    await files.sync(fd);
  } finally {
    await files.close(fd);
  }
}

/** Owner and mode are final before the first octet is in the file. */
async function writeFile(
  files: FilePort,
  target: DirectoryTarget,
  { path, file }: { readonly path: string; readonly file: SetFile },
): Promise<void> {
  const fd = await files.createFile(path);
  try {
    if (target.owner !== undefined) await files.chown(fd, target.owner.uid, target.owner.gid);
    await files.chmod(fd, file.secret ? target.keyMode : 0o644);
    await files.write(fd, file.bytes);
    await files.sync(fd);
  } finally {
    await files.close(fd);
  }
}

/** Refuses a directory that holds something else under the name of one of our files. */
async function checkNames(files: FilePort, base: string, path: string): Promise<void> {
  for (const name of [dataLink, ...setNames]) {
    const kind = await kindOf(files, `${base}/${name}`);
    if (kind !== undefined && kind !== "link") {
      throw new DirectoryError(
        "foreign",
        `cannot write ${path}: ${name} in it is a ${kind} that this agent did not make`,
      );
    }
  }
}

/** Makes each name a link through `..data`; a link to elsewhere is replaced in one rename. */
async function linkNames(deps: DirectoryDeps, base: string): Promise<void> {
  for (const name of setNames) {
    const wanted = `${dataLink}/${name}`;
    const held = await linkTarget(deps.files, `${base}/${name}`);
    if (held === wanted) continue;
    if (held === undefined) {
      await deps.files.makeLink(wanted, `${base}/${name}`);
      continue;
    }
    const temporary = `${base}/..t-${randomName(deps)}`;
    await deps.files.makeLink(wanted, temporary);
    await deps.files.rename(temporary, `${base}/${name}`);
  }
}

/** The version in force, if it is one of ours. A link to anywhere else is replaced and its target left alone. */
async function currentVersion(files: FilePort, base: string): Promise<string | undefined> {
  const target = await linkTarget(files, `${base}/${dataLink}`);
  return target !== undefined && versionName.test(target) ? target : undefined;
}

async function clean(deps: DirectoryDeps, base: string, keep: ReadonlySet<string>): Promise<void> {
  const names = await deps.files.list(base);
  const ours = names.filter((name) => versionName.test(name) || temporaryName.test(name));
  await removeQuietly(
    deps,
    base,
    ours.filter((name) => !keep.has(name)),
  );
}

/** What cannot be removed now is removed at the next write. */
async function removeQuietly(deps: DirectoryDeps, base: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      if ((await kindOf(deps.files, `${base}/${name}`)) === "directory") await removeVersion(deps, `${base}/${name}`);
      else await deps.files.unlink(`${base}/${name}`);
    } catch {
      // Not there, or not removable: neither stops a set that is in force.
    }
  }
}

async function removeVersion(deps: DirectoryDeps, place: string): Promise<void> {
  const { files } = deps;
  const fd = await files.openDirectory(place);
  try {
    const base = deps.byDescriptor ? `/proc/self/fd/${fd}` : place;
    for (const name of await files.list(base)) await files.unlink(`${base}/${name}`);
  } finally {
    await files.close(fd);
  }
  await files.removeDirectory(place);
}

async function kindOf(files: FilePort, path: string): Promise<"file" | "directory" | "link" | "other" | undefined> {
  try {
    return (await files.factsOf(path)).kind;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function linkTarget(files: FilePort, path: string): Promise<string | undefined> {
  try {
    return await files.readLink(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "EINVAL") return undefined;
    throw error;
  }
}

function randomName(deps: DirectoryDeps): string {
  return Buffer.from(deps.random.bytes(16)).toString("hex");
}
