// Where the data directory is, and how we know: the error of an unreachable server names the setting that led there.
import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { readTrustedFile } from "../platform/atomic-file.ts";
import { shellWord } from "../platform/shell-word.ts";
import type { CliContext, SharedFlags } from "./context.ts";
import { CliError, reasonOf, withCure } from "./failure.ts";

export type PlaceKind = "server" | "agent";

export interface DataPlace {
  /** As it was given, for people. */
  readonly shown: string;
  /** Absolute. */
  readonly path: string;
  /** What named it: `--data-dir`, `SIGNET_DATA_DIR`, `data_dir from FILE`, `default`. */
  readonly from: string;
  /** The configuration file in force, when there is one. */
  readonly configFile?: string;
}

const maxConfigBytes = 1024 * 1024;

type PlaceDeps = Pick<CliContext, "env" | "cwd" | "etcDir">;

/**
 * `--data-dir` > `SIGNET_DATA_DIR` > `data_dir` of `-c FILE` or `SIGNET_CONFIG` > that of the machine's file > `./.signet`
 * (`./.signet-agent`). Throws CliError when a file that was named cannot be read.
 */
export async function findPlace(
  deps: PlaceDeps,
  kind: PlaceKind,
  flags: Pick<SharedFlags, "dataDir" | "config">,
): Promise<DataPlace> {
  const configFile = await findConfigFile(deps, kind, flags);
  const held = configFile === undefined ? {} : { configFile };
  const at = (shown: string, from: string): DataPlace => ({ shown, path: resolve(deps.cwd, shown), from, ...held });
  if (flags.dataDir !== undefined) return at(flags.dataDir, "--data-dir");
  const fromEnv = setVariable(deps, "SIGNET_DATA_DIR");
  if (fromEnv !== undefined) return at(fromEnv, "SIGNET_DATA_DIR");
  if (configFile !== undefined) {
    const named = (await readSettings(configFile))["data_dir"];
    if (typeof named === "string" && named !== "") return at(named, `data_dir from ${configFile}`);
  }
  return at(kind === "server" ? "./.signet" : "./.signet-agent", "default");
}

/**
 * The configuration file in force: -c, SIGNET_CONFIG, or the machine's when it exists. The machine's file describes the
 * machine's data directory: it does not count where another one was named.
 */
export async function findConfigFile(
  deps: PlaceDeps,
  kind: PlaceKind,
  flags: Pick<SharedFlags, "dataDir" | "config">,
): Promise<string | undefined> {
  const named = flags.config ?? setVariable(deps, "SIGNET_CONFIG");
  if (named !== undefined) return resolve(deps.cwd, named);
  if (flags.dataDir !== undefined || setVariable(deps, "SIGNET_DATA_DIR") !== undefined) return undefined;
  const ofMachine = join(deps.etcDir, `${kind}.yaml`);
  return stat(ofMachine).then(
    () => ofMachine,
    () => undefined,
  );
}

/** The flags that lead another command to the same data directory, with a space before them. */
export function placeFlags(shared: Pick<SharedFlags, "dataDir" | "config">): string {
  if (shared.dataDir !== undefined) return ` --data-dir ${shellWord(shared.dataDir)}`;
  return shared.config === undefined ? "" : ` -c ${shellWord(shared.config)}`;
}

function setVariable(deps: PlaceDeps, name: string): string | undefined {
  const value = deps.env[name];
  return value === "" ? undefined : value;
}

/**
 * The settings of a configuration file as they stand there, unchecked: for the few that the command line itself needs.
 * The process that the file is for checks all of it.
 */
export async function readSettings(file: string): Promise<Readonly<Record<string, unknown>>> {
  let text: string;
  try {
    // Who may write the file says which socket is asked: nobody else may.
    text = Buffer.from(await readTrustedFile(file, { maxBytes: maxConfigBytes })).toString("utf8");
  } catch (error) {
    const { message, cure } = withCure(reasonOf(error));
    throw new CliError(2, message.startsWith(file) ? `cannot use ${message}` : `cannot read ${file}: ${message}`, {
      cure,
      cause: error,
    });
  }
  const { parse } = await import("yaml");
  try {
    const settings: unknown = parse(text, { maxAliasCount: 0, logLevel: "silent" });
    return typeof settings === "object" && settings !== null && !Array.isArray(settings) ? { ...settings } : {};
  } catch (error) {
    const line = error instanceof Error ? (error.message.split("\n")[0] ?? "") : "";
    throw new CliError(2, `cannot read ${file}: ${line.replace(/:$/, "")}`, { cause: error });
  }
}
