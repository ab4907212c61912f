// Where the data directory is, and how we know: the error of an unreachable server names the setting that led there.
import { readFile } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { readTrustedFile } from "../platform/atomic-file.ts";
import { CliError, errnoOf, reasonOf, withCure } from "./failure.ts";
import type { CliContext, SharedFlags } from "./context.ts";

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
  const fromEnv = deps.env["SIGNET_DATA_DIR"];
  if (fromEnv !== undefined && fromEnv !== "") return at(fromEnv, "SIGNET_DATA_DIR");
  if (configFile !== undefined) {
    const named = (await readSettings(configFile))["data_dir"];
    if (typeof named === "string" && named !== "") return at(named, `data_dir from ${configFile}`);
  }
  return at(kind === "server" ? "./.signet" : "./.signet-agent", "default");
}

/** The configuration file in force: -c, SIGNET_CONFIG, or the machine's when it exists. */
export async function findConfigFile(
  deps: PlaceDeps,
  kind: PlaceKind,
  flags: Pick<SharedFlags, "config">,
): Promise<string | undefined> {
  const named = flags.config ?? (deps.env["SIGNET_CONFIG"] === "" ? undefined : deps.env["SIGNET_CONFIG"]);
  if (named !== undefined) return isAbsolute(named) ? named : join(deps.cwd, named);
  const ofMachine = join(deps.etcDir, `${kind}.yaml`);
  try {
    await readFile(ofMachine);
    return ofMachine;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw new CliError(1, `cannot read ${ofMachine}: ${reasonOf(error)}`, { cause: error });
  }
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
    throw new CliError(2, message.startsWith(file) ? `cannot use ${message}` : `cannot read ${file}: ${message}`, { cure, cause: error });
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
