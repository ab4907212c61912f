// agent.yaml: every setting with its unit, its default and what it means.
import { constants } from "node:os";
import { resolve } from "node:path";
import { parseAddress } from "../src/platform/address.ts";
import {
  type ConfigInput,
  type ListedSetting,
  type LoadedConfig,
  loadConfig,
  readConfigFile,
  textPaths,
} from "../src/platform/config-file.ts";
import { configJsonSchema, configText } from "../src/platform/config-text.ts";
import { type LogFormat, type LogLevel, logFormats, logLevels } from "../src/platform/logger.ts";
import { nearest } from "../src/platform/nearest.ts";
import { address, anyText, duration, oneOf, parsed, texts, written } from "../src/platform/setting-kinds.ts";
import {
  group,
  type JsonSchema,
  list,
  optional,
  optionalGroup,
  required,
  type Setting,
  withDefault,
} from "../src/platform/settings.ts";
import { parseSpiffeId, pathOf, SpiffeError, type SpiffeId } from "../src/spiffe/id.ts";

const account = written(/^([a-z_][a-z0-9_.-]{0,31}\$?|\d{1,10})$/i, "a user or group, by name or number");

const identityId = parsed((text): SpiffeId => {
  const id = parseSpiffeId(text);
  if (pathOf(id) === "") throw new SpiffeError("bad_id", "names a trust domain, not an identity: it has no path");
  return id;
});

const servers = parsed((text) => {
  const addresses = text.split(",").map((part) => part.trim());
  for (const each of addresses) parseAddress(each);
  return addresses.join(",");
});

const signal = parsed((text): NodeJS.Signals => {
  const names = Object.keys(constants.signals);
  const found = names.find((name) => name === text || name === `SIG${text}`);
  const near = nearest(
    text.replace(/^SIG/i, ""),
    names.map((name) => name.replace(/^SIG/, "")),
  );
  const hint = near === undefined ? "" : `: the nearest is ${near}`;
  if (found === undefined) throw new TypeError(`${text.slice(0, 32)} is no signal of this system${hint}`);
  if (found === "SIGKILL" || found === "SIGSTOP") throw new TypeError(`${text} stops a process, it asks for nothing`);
  return found as NodeJS.Signals;
});

/** Permission bits, of which others get none. */
const keyMode = written(/^0?o?[0-7]{3}$/, "the permission bits of the key, such as 0600 or 0640");

const reload = group(
  {
    command: optional(texts(anyText, { least: 1, most: 64 }), "program and arguments, run without a shell"),
    deadline: withDefault(duration({ mostSeconds: 3600 }), "10s", "the command is ended after this"),
    signal: optional(signal, "signal for the process of pid_file, such as HUP"),
    pid_file: optional(anyText, "file with the number of the process"),
    user: optional(account, "user of that process; the identity's owner by default"),
  },
  {
    help: "how a service is told of a new identity: a command, or a signal",
    check: ({ command, signal: name, pid_file, user }, complain) => {
      if (command !== undefined && name !== undefined) complain("", "has both command and signal, one is taken");
      if (command === undefined && name === undefined) complain("", "has neither command nor signal");
      if (name !== undefined && pid_file === undefined) complain("", "has a signal but no pid_file");
      if (command !== undefined && pid_file !== undefined) complain("", "has a command, which takes no pid_file");
      if (command !== undefined && user !== undefined)
        complain("", "has a command, which takes no user: it runs as the agent");
    },
  },
);

const identity = group(
  {
    spiffe_id: required(identityId, "the identity"),
    dir: required(anyText, "directory of its files"),
    owner: optional(account, "owner of the files; the agent's user by default"),
    group: optional(account, "group of the files; the owner's by default"),
    mode: optional(keyMode, "permission bits of the key's files, 0600 by default"),
    key: withDefault(oneOf(["new", "keep"] as const), "new", "a new key at each renewal, or the same one"),
    reload: optionalGroup(reload) as Setting<ReturnType<typeof reload.read> | undefined>,
  },
  {
    help: "one identity and where it goes",
    check: ({ mode }, complain) => {
      if (mode === undefined) return;
      const bits = bitsOf(mode);
      if ((bits & ~0o640) !== 0 || (bits & 0o400) === 0) {
        complain("mode", `must be 0600, 0640, 0400 or 0440: nobody else reads a key, got ${mode}`);
      }
    },
  },
);

const root = group(
  {
    data_dir: withDefault(anyText, "./.signet-agent", "directory of the agent's own files, 0700"),
    listen: group(
      {
        ops: withDefault(address, "127.0.0.1:7091", "/metrics, /livez and /readyz over plain HTTP"),
        workload: optional(anyText, "path of the Workload API's socket; not opened yet"),
      },
      { help: "where the agent listens" },
    ),
    server: optional(servers, "host:port of the server, several with commas; as the join string says by default"),
    x509pop: group(
      {
        certificate: optional(anyText, "PEM file of the node's own factory certificate and its intermediates"),
        key: optional(anyText, "PEM file of its key, which only its owner may read"),
        roots: optional(anyText, "PEM file of the trust domain's roots; without it a join string has their pins"),
      },
      {
        help: "joining by a factory certificate instead of a secret",
        check: ({ certificate, key, roots }, complain) => {
          if (certificate !== undefined && key === undefined) complain("key", "is missing beside certificate");
          if (certificate === undefined && key !== undefined) complain("certificate", "is missing beside key");
          if (certificate === undefined && roots !== undefined) complain("certificate", "is missing beside roots");
        },
      },
    ),
    agent_grace: withDefault(
      duration({ leastSeconds: 0 }),
      "30d",
      "how long after its certificate ended the agent tries to come back by its key",
    ),
    identities: list(identity, {
      help: "identities that are written, and where; without it all of the agent's entries go to DATA/identities",
      most: 10_000,
      check: (all, complain) => {
        refuseTwice(
          all.map(({ dir }) => resolve(dir)),
          (index, first) => {
            complain(
              `[${index}].dir`,
              `${all[index]?.dir} is the directory of identities[${first}] too, each needs its own`,
            );
          },
        );
        refuseTwice(
          all.map(({ spiffe_id }) => spiffe_id),
          (index, first) => {
            complain(`[${index}].spiffe_id`, `${all[index]?.spiffe_id} is that of identities[${first}] too`);
          },
        );
      },
    }),
    log: group(
      {
        level: withDefault(oneOf(logLevels), "info", "debug, info, warn or error"),
        format: withDefault(oneOf(logFormats), "auto", "text, json, or auto: text on a terminal"),
      },
      { help: "the log, on stderr" },
    ),
  },
  { help: "configuration of signet agent" },
);

function refuseTwice(values: readonly string[], refuse: (index: number, first: number) => void): void {
  const seen = new Map<string, number>();
  for (const [index, value] of values.entries()) {
    const first = seen.get(value);
    if (first !== undefined) refuse(index, first);
    seen.set(value, index);
  }
}

function bitsOf(mode: string): number {
  return Number.parseInt(mode.replace("o", ""), 8);
}

/** What makes a service read its identity again. */
export type ReloadSetting =
  | { readonly kind: "command"; readonly command: readonly string[]; readonly deadlineMs: number }
  | {
      readonly kind: "signal";
      readonly signal: NodeJS.Signals;
      readonly pidFile: string;
      readonly user: string | undefined;
    };

export interface IdentitySetting {
  readonly spiffeId: SpiffeId;
  readonly dir: string;
  /** Name or number. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
  /** Permission bits of tls.key and tls.pem. */
  readonly mode: number | undefined;
  readonly key: "new" | "keep";
  readonly reload: ReloadSetting | undefined;
}

export interface AgentConfig {
  readonly dataDir: string;
  readonly listen: { readonly ops: string; readonly workload: string | undefined };
  /** host:port, several with commas between. */
  readonly server: string | undefined;
  /** A factory certificate to join by, with the files of its key and of the trust domain's roots. */
  readonly x509pop:
    | { readonly certificateFile: string; readonly keyFile: string; readonly rootsFile: string | undefined }
    | undefined;
  /** 0: never. */
  readonly agentGraceSeconds: number;
  /** Empty: every entry goes under the data directory. */
  readonly identities: readonly IdentitySetting[];
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export type LoadedAgentConfig = LoadedConfig<AgentConfig>;

export interface ConfigPlaces {
  readonly configFile?: string | undefined;
  /** Dotted path to text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Variables that mean something to the command line, or to the server. A process inherits all of them, and refuses only
 * what nobody knows.
 */
const otherVariables: readonly string[] = [
  ...[
    "CONFIG",
    "ADMIN",
    "IDENTITY",
    "JOIN_FILE",
    "KEY_PASSPHRASE_FILE",
    "TRUST_DOMAIN",
    "ADVERTISE",
    "NAMES",
    "PUBLIC_URL",
  ],
  ...["LISTEN_API", "LISTEN_ADMIN", "LISTEN_WEB", "LISTEN_PUBLIC", "REFRESH_HINT", "INTERMEDIATE_TTL", "RETENTION"],
  ...["LIFETIMES_AGENT", "LIFETIMES_SERVER", "LIFETIMES_ADMIN", "LIFETIMES_WORKLOAD", "CRL_INTERMEDIATE", "CRL_ROOT"],
  ...[
    "ROTATION_PREPARE_AT",
    "ROTATION_ACTIVATE_AT",
    "ROTATION_ACKNOWLEDGE_WAIT",
    "FULL_READ",
    "REPORT_INTERVAL",
    "DRAIN",
    "DEVICES_INTERMEDIATE_TTL",
    "X509POP_UNREGISTERED_ALLOW",
  ],
  ...["LIMITS_CONNECTIONS", "LIMITS_ANONYMOUS_CONNECTIONS", "LIMITS_HANDSHAKE", "LIMITS_ANONYMOUS_LIFE"],
  ...["STORE_MARK", "STORE_RESERVE", "STORE_SCRUB_EVERY", "STORE_SCRUB_RATE"],
].map((name) => `SIGNET_${name}`);

/** Dotted paths of the settings that can be variables and flags. */
export function agentTextPaths(): readonly string[] {
  return textPaths(root);
}

/** Reads the whole configuration. Throws ConfigError with one line. */
export async function loadAgentConfig(places: ConfigPlaces): Promise<LoadedAgentConfig> {
  const named = places.configFile ?? places.env["SIGNET_CONFIG"];
  const file = named === undefined || named === "" ? undefined : await readConfigFile(named);
  return judgeAgentConfig({ file, env: places.env, flags: places.flags });
}

/** Judges a configuration that is at hand. Throws ConfigError. */
export async function judgeAgentConfig(input: Omit<ConfigInput, "otherVariables">): Promise<LoadedAgentConfig> {
  const loaded = await loadConfig(root, { ...input, otherVariables });
  return { ...loaded, config: fromSnake(loaded.config) };
}

/** The configuration in force as a file, each setting with its source: for --print-config. */
export function agentConfigText(settings: readonly ListedSetting[]): string {
  return configText(settings);
}

/** JSON Schema of agent.yaml. */
export function agentConfigSchema(): JsonSchema {
  return configJsonSchema(root, "agent.yaml of Signet");
}

function fromSnake(read: ReturnType<typeof root.read>): AgentConfig {
  return {
    dataDir: read.data_dir,
    listen: { ops: read.listen.ops, workload: read.listen.workload },
    server: read.server,
    x509pop: x509popSetting(read.x509pop),
    agentGraceSeconds: read.agent_grace,
    identities: read.identities.map((each) => ({
      spiffeId: each.spiffe_id,
      dir: each.dir,
      owner: each.owner,
      group: each.group,
      mode: each.mode === undefined ? undefined : bitsOf(each.mode),
      key: each.key,
      reload: reloadSetting(each.reload),
    })),
    log: read.log,
  };
}

function x509popSetting(read: ReturnType<typeof root.read>["x509pop"]): AgentConfig["x509pop"] {
  const { certificate, key, roots } = read;
  if (certificate === undefined || key === undefined) return undefined;
  return { certificateFile: certificate, keyFile: key, rootsFile: roots };
}

function reloadSetting(read: ReturnType<typeof reload.read> | undefined): ReloadSetting | undefined {
  if (read?.command !== undefined) return { kind: "command", command: read.command, deadlineMs: read.deadline * 1000 };
  if (read?.signal === undefined || read.pid_file === undefined) return undefined;
  return { kind: "signal", signal: read.signal, pidFile: read.pid_file, user: read.user };
}
