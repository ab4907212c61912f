// Settings of the two processes that can be given as flags and as SIGNET_* variables. What they mean and which values they
// take is the business of each process; here are their names.
import type { Command } from "commander";
import type { CliContext, Environment } from "./context.ts";

export interface Setting {
  /** Dotted path in the configuration file. */
  readonly path: string;
  readonly value: string;
  readonly text: string;
}

export const serverSettings: readonly Setting[] = [
  { path: "trust_domain", value: "NAME", text: "the trust domain (default: the one that init made)" },
  { path: "listen.api", value: "HOST:PORT", text: "agents (default: 127.0.0.1:7443)" },
  { path: "listen.admin", value: "PATH", text: "admin socket (default: DATA/admin.sock)" },
  { path: "listen.ops", value: "HOST:PORT", text: "metrics and health (default: 127.0.0.1:7090)" },
  { path: "advertise", value: "HOST:PORT", text: "address that join strings carry" },
  { path: "public_url", value: "URL", text: "address of CRLs; no effect yet" },
  { path: "lifetimes.agent", value: "DURATION", text: "life of agents' certificates (default: 24h)" },
  { path: "lifetimes.server", value: "DURATION", text: "life of the server's own (default: 24h)" },
  { path: "lifetimes.workload", value: "DURATION", text: "life of identities (default: 1h)" },
  { path: "agent_grace", value: "DURATION", text: "how long an agent may be away (default: 30d)" },
  { path: "key_passphrase_file", value: "FILE", text: "passphrase of the keys in the data directory" },
  { path: "log.level", value: "LEVEL", text: "debug, info, warn or error" },
  { path: "log.format", value: "FORMAT", text: "text or json" },
];

export const agentSettings: readonly Setting[] = [
  { path: "server", value: "HOST:PORT", text: "where the server is (default: as the join string says)" },
  { path: "listen.ops", value: "HOST:PORT", text: "metrics and health (default: 127.0.0.1:7091)" },
  { path: "log.level", value: "LEVEL", text: "debug, info, warn or error" },
  { path: "log.format", value: "FORMAT", text: "text or json" },
];

/** Settings that have no flag, but a variable. */
const otherPaths: readonly string[] = [
  "data_dir",
  "listen.web",
  "listen.public",
  "listen.workload",
  "names",
  "refresh_hint",
  "lifetimes.admin",
  "intermediate_ttl",
  "crl.intermediate",
  "crl.root",
  "rotation.prepare_at",
  "rotation.activate_at",
  "rotation.acknowledge_wait",
  "retention",
  "full_read",
  "report_interval",
  "drain",
  "devices.intermediate_ttl",
  "x509pop.unregistered.allow",
  "x509pop.certificate",
  "x509pop.key",
  "x509pop.roots",
  "limits.connections",
  "limits.anonymous_connections",
  "limits.handshake",
  "limits.anonymous_life",
  "store.mark",
  "store.reserve",
  "store.scrub_every",
  "store.scrub_rate",
];

/** Variables of the command line itself, which no process knows. */
const cliVariables: Readonly<Record<string, string>> = {
  SIGNET_CONFIG: "the configuration file",
  SIGNET_ADMIN: "the server's admin socket",
  SIGNET_JOIN_FILE: "file with the join string",
};

export function settingFlags(command: Command, settings: readonly Setting[]): Command {
  for (const { path, value, text } of settings) command.option(`--${flagOf(path)} <${value}>`, text);
  return command;
}

/** The settings that were given as flags, by their path. */
export function givenSettings(
  settings: readonly Setting[],
  flags: Readonly<Record<string, unknown>>,
): Readonly<Record<string, string>> {
  const given: Record<string, string> = {};
  for (const { path } of settings) {
    const value = flags[flagOf(path).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())];
    if (typeof value === "string") given[path] = value;
  }
  return given;
}

/** `listen.api` as SIGNET_LISTEN_API. */
function variableOf(path: string): string {
  return `SIGNET_${path.replaceAll(".", "_").toUpperCase()}`;
}

/** Every SIGNET_* variable that something of ours reads. A test holds it against what the processes take. */
export function knownVariables(): readonly string[] {
  const paths = [...serverSettings, ...agentSettings].map(({ path }) => path);
  return [...new Set([...[...paths, ...otherPaths].map(variableOf), ...Object.keys(cliVariables)])];
}

/** The environment of a process: without what only the command line reads. */
export function environmentOfProcess(env: CliContext["env"]): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => cliVariables[name] === undefined));
}

function flagOf(path: string): string {
  return path.replaceAll(/[._]/g, "-");
}
