// The configuration of a server that is in a data directory: without a file its stamp names the trust domain.
import { openDataDir } from "../platform/data-dir.ts";
import { type LoadedServerConfig, loadServerConfig } from "./config.ts";
import { serverDataVersion } from "./init.ts";

/** Throws ConfigError, DataDirError. */
export async function loadConfiguration(places: {
  readonly configFile?: string;
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Promise<LoadedServerConfig> {
  const { configFile, flags, env } = places;
  const file = configFile ?? (env["SIGNET_CONFIG"] || undefined);
  if (file !== undefined) return loadServerConfig({ configFile: file, flags, env });
  const dataDir = flags["data_dir"] ?? (env["SIGNET_DATA_DIR"] || "./.signet");
  const { stamp } = await openDataDir(dataDir, { kind: "server", version: serverDataVersion });
  return loadServerConfig({ flags, env, trustDomain: String(stamp["trustDomain"]) });
}
