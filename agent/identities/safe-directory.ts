// Whether a directory is a safe place for keys: nobody but root and the agent's user may change what a name in its path
// means.
import { dirname, join, resolve } from "node:path";
import { codeOf, DirectoryError, directoryError } from "./directory-error.ts";
import type { FileFacts, FilePort } from "./file-port.ts";

/** Who writes: the agent's own user and its own group. */
export interface Writer {
  readonly uid: number;
  readonly gid: number;
}

const sticky = 0o1000;
const mostLinks = 40;

/**
 * Opens a directory for keys and gives its descriptor. The last component is made when it is missing (0755); the
 * directory and every parent must belong to root or the writer, and be writable by nobody else, not by a group either
 * unless it is that user's own; a sticky parent such as /tmp counts as safe. Links on the way must belong to root or the
 * writer. Throws DirectoryError.
 */
export async function openSafeDirectory(files: FilePort, path: string, writer: Writer): Promise<number> {
  const what = `cannot write ${path}`;
  try {
    const absolute = resolve(path);
    const real = await walk(files, dirname(absolute), writer);
    const place = join(real, absolute.slice(dirname(absolute).length));
    await makeIfMissing(files, place);
    const facts = await files.factsOf(place);
    if (facts.kind === "link") throw new DirectoryError("unsafe", `${what}: it is a link, a directory is needed`);
    judge(place, facts, writer, false);
    const fd = await files.openDirectory(place);
    try {
      const opened = await files.facts(fd);
      if (opened.device !== facts.device || opened.inode !== facts.inode) {
        throw new DirectoryError("unsafe", `${what}: it was replaced while it was opened`);
      }
      judge(place, opened, writer, false);
      return fd;
    } catch (error) {
      await files.close(fd);
      throw error;
    }
  } catch (error) {
    throw directoryError(error, what);
  }
}

async function makeIfMissing(files: FilePort, place: string): Promise<void> {
  try {
    await files.factsOf(place);
    return;
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  try {
    await files.makeDirectory(place, 0o755);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    return;
  }
  // The umask may have taken bits away, so the mode is set on the descriptor.
  const fd = await files.openDirectory(place);
  try {
    await files.chmod(fd, 0o755);
  } finally {
    await files.close(fd);
  }
}

/** Follows an absolute path name by name, judging each, and gives the path without links. */
async function walk(files: FilePort, path: string, writer: Writer): Promise<string> {
  let place = "/";
  const names = path.split("/").filter((name) => name !== "");
  let links = 0;
  judge(place, await files.factsOf(place), writer, true);
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === ".") continue;
    if (name === "..") {
      place = dirname(place);
      continue;
    }
    const next = join(place, name);
    const facts = await files.factsOf(next);
    if (facts.kind === "link") {
      links += 1;
      if (links > mostLinks) throw new DirectoryError("unsafe", `${path}: too many links`);
      if (facts.uid !== 0 && facts.uid !== writer.uid) {
        throw new DirectoryError(
          "unsafe",
          `${next} is a link of user ${facts.uid}: only root's and the agent's are followed`,
        );
      }
      const target = await files.readLink(next);
      if (target.startsWith("/")) place = "/";
      names.unshift(...target.split("/").filter((part) => part !== ""));
      continue;
    }
    judge(next, facts, writer, true);
    place = next;
  }
  return place;
}

function judge(path: string, facts: FileFacts, writer: Writer, isParent: boolean): void {
  const unsafe = (why: string): DirectoryError => new DirectoryError("unsafe", `${path} is not safe for keys: ${why}`);
  if (facts.kind !== "directory") throw unsafe("it is not a directory");
  if (facts.uid !== 0 && facts.uid !== writer.uid) throw unsafe(`it belongs to user ${facts.uid}`);
  if (isParent && (facts.mode & sticky) !== 0) return;
  if ((facts.mode & 0o002) !== 0) throw unsafe(`others may write to it (mode ${octal(facts.mode)})`);
  const ownGroup = facts.uid === 0 ? [0, ...(writer.uid === 0 ? [writer.gid] : [])] : [writer.gid];
  if ((facts.mode & 0o020) !== 0 && !ownGroup.includes(facts.gid)) {
    throw unsafe(`group ${facts.gid} may write to it (mode ${octal(facts.mode)})`);
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
