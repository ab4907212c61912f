// Where the join string comes from, and whether it is whole. A damaged one is refused before anything else is done.
import { readFile, stat } from "node:fs/promises";
import { join as joinPath, resolve } from "node:path";
import type { Cli } from "./context.ts";
import { CliError, errnoOf, reasonOf, wrongUse } from "./failure.ts";
import { findPlace } from "./place.ts";

const maxJoinBytes = 64 * 1024;
const fetchCure = "signet token create --agent NAME, where the server is";

/**
 * The join string of --join, --join-file or SIGNET_JOIN_FILE, checked; undefined when none was given, or when the file is
 * gone on a node that has joined already. Throws CliError 2.
 */
export async function givenJoinString(
  cli: Cli,
  flags: { readonly join: unknown; readonly joinFile: unknown },
): Promise<string | undefined> {
  if (typeof flags.join === "string" && typeof flags.joinFile === "string") {
    throw wrongUse("--join and --join-file are two ways for one thing: give one of them", "signet agent --help");
  }
  const text = typeof flags.join === "string" ? flags.join : await fromFile(cli, flags.joinFile);
  if (text === undefined) return undefined;
  const { parseJoinString } = await import("../spiffe/join-string.ts");
  let kind: string;
  try {
    ({ kind } = parseJoinString(text));
  } catch (error) {
    throw new CliError(2, `cannot join: ${reasonOf(error)}`, { cure: fetchCure, cause: error });
  }
  if (kind !== "agent")
    throw new CliError(2, `cannot join: this join string is for ${kind === "admin" ? "an admin" : `a ${kind}`}`, {
      cure: fetchCure,
    });
  return text.trim();
}

async function fromFile(cli: Cli, joinFile: unknown): Promise<string | undefined> {
  const named = typeof joinFile === "string" ? joinFile : cli.env["SIGNET_JOIN_FILE"];
  if (named === undefined || named === "") return undefined;
  if (named === "-") return fromInput(cli);
  const file = resolve(cli.cwd, named);
  try {
    if ((await stat(file)).size > maxJoinBytes) throw wrongUse(`cannot join: ${named} is larger than any join string`);
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof CliError) throw error;
    if (errnoOf(error) === "ENOENT" && (await hasJoined(cli))) {
      cli.print.note(`no join file ${named}; this node has joined already, so it goes on without`);
      return undefined;
    }
    throw new CliError(2, `cannot read the join file ${named}: ${reasonOf(error)}`, { cure: fetchCure, cause: error });
  }
}

async function fromInput(cli: Cli): Promise<string> {
  if (!cli.input.isTerminal) {
    const text = await cli.input.all(maxJoinBytes);
    if (text.trim() === "")
      throw new CliError(2, "cannot join: the standard input holds no join string", { cure: fetchCure });
    return text;
  }
  cli.print.progress("paste the join string, then Enter: ");
  const interrupted = cli.interrupts.signal();
  const line = await cli.input.line(interrupted);
  if (interrupted.aborted) throw new CliError(130, "interrupted: not joined");
  if (line === undefined || line.trim() === "")
    throw new CliError(2, "cannot join: no join string was given", { cure: fetchCure });
  return line;
}

// The agent writes its own certificate when it has joined, not before.
async function hasJoined(cli: Cli): Promise<boolean> {
  const place = await findPlace(cli, "agent", cli.shared);
  return stat(joinPath(place.path, "agent.json")).then(
    () => true,
    () => false,
  );
}
