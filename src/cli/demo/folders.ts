import { mkdir, mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { reasonOf, wrongUse } from "../failure.ts";
import type { Folders } from "./world.ts";

/** What a demo leaves in the directory that it was given. */
const keptNames = ["a", "b", "endpoints.json", "events.jsonl"];

/**
 * Makes a temporary folder for data directories and logs, and takes `dir` for what is kept: it must be new, empty, or
 * that of a former demo, whose files then go. Throws CliError.
 */
export async function makeFolders(dir: string | undefined, cwd: string): Promise<Folders> {
  // Short, since sockets are in it: the path of a unix socket has at most 107 octets.
  const work = await realpath(await mkdtemp(join(tmpdir(), "signet-demo-")));
  if (dir === undefined) return { work, kept: work };
  try {
    const kept = resolve(cwd, dir);
    await mkdir(kept, { recursive: true, mode: 0o755 });
    const held = await readdir(kept);
    const foreign = held.filter((name) => !keptNames.includes(name));
    if (foreign.length > 0 || (held.length > 0 && !held.includes("events.jsonl"))) {
      const named = (foreign[0] ?? held[0] ?? "").slice(0, 64);
      throw wrongUse(
        `cannot use ${dir}: it holds ${named}, which is not a former demo's`,
        "signet demo --dir NEW-FOLDER",
      );
    }
    for (const name of held) await rm(join(kept, name), { recursive: true });
    return { work, kept: await realpath(kept) };
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    if (error instanceof Error && error.name === "CliError") throw error;
    throw wrongUse(`cannot use ${dir}: ${reasonOf(error)}`);
  }
}
