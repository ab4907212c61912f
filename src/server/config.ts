// server.yaml: every setting with its unit, its default and what it means.
import { z } from "zod";
import { isWildcard, parseAddress } from "../platform/address.ts";
import { address, duration, logFields, part, wholeNumber } from "../platform/config-fields.ts";
import { ConfigError, environmentSettings, loadConfig, readConfigFile, type Source, settingPaths } from "../platform/config-file.ts";
import type { LogFormat, LogLevel } from "../platform/logger.ts";
import { parseTrustDomain, SpiffeError, type TrustDomain } from "../spiffe/id.ts";

/** Variables that are no settings of the server, or settings of the agent in an environment that both inherit. */
const otherVariables = [
  "SIGNET_CONFIG",
  "SIGNET_JOIN_FILE",
  "SIGNET_KEY_PASSPHRASE_FILE",
  "SIGNET_SERVER",
  "SIGNET_ADMIN",
  "SIGNET_IDENTITY",
];

const trustDomain = z.string().transform((text, context): TrustDomain => {
  try {
    return parseTrustDomain(text);
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error;
    context.addIssue({ code: "custom", message: `${error.message}, got ${text.slice(0, 64)}` });
    return z.NEVER;
  }
});

/** host:port that other nodes dial. */
const advertise = address().refine((text) => {
  try {
    return !isWildcard(parseAddress(text).host);
  } catch {
    return true; // Said already.
  }
}, "is every address of this host, and nobody can dial it");

const publicUrl = z.string().refine((text) => /^http:\/\/[A-Za-z0-9.:[\]-]+$/.test(text), "must be http://HOST[:PORT]");

const schema = z.strictObject({
  trust_domain: trustDomain,
  data_dir: z.string().min(1).default("./.signet"),
  listen: z
    .strictObject({
      api: address().default("127.0.0.1:7443"),
      admin: z.string().min(1).optional(),
      web: address().default("127.0.0.1:7444"),
      public: address().default("127.0.0.1:7080"),
      ops: address().default("127.0.0.1:7090"),
    })
    .prefault({} as never), // Each setting below brings its own default.
  advertise: advertise.optional(),
  names: z.array(z.string().min(1).max(253)).max(90).optional(),
  public_url: publicUrl.optional(),
  refresh_hint: duration("300s"),
  lifetimes: z
    .strictObject({
      agent: duration("24h", 5),
      server: duration("24h", 5),
      admin: duration("12h", 5),
      workload: duration("1h", 5),
    })
    .prefault({} as never), // Each setting below brings its own default.
  agent_grace: duration("30d", 0),
  intermediate_ttl: duration("0s", 0),
  rotation: z
    .strictObject({ prepare_at: part(0.5), activate_at: part(2 / 3), acknowledge_wait: duration("5m", 0) })
    .prefault({} as never), // Each setting below brings its own default.
  retention: duration("30d", 3600),
  full_read: duration("5m", 1),
  report_interval: duration("30s", 1),
  drain: duration("10s", 0),
  limits: z
    .strictObject({
      anonymous_connections: wholeNumber(256, { min: 1, max: 10_000 }),
      connections: wholeNumber(4096, { min: 16, max: 100_000 }),
      handshake: duration("10s"),
      anonymous_life: duration("30s"),
    })
    .prefault({} as never), // Each setting below brings its own default.
  key_passphrase_file: z.string().min(1).optional(),
  log: logFields,
});

export const serverSchema: z.ZodObject = schema;

export interface ServerConfig {
  readonly trustDomain: TrustDomain;
  readonly dataDir: string;
  readonly listen: {
    readonly api: string;
    /** Path of the unix socket; undefined: DATA/admin.sock. */
    readonly admin: string | undefined;
    readonly ops: string;
  };
  readonly advertise: string | undefined;
  readonly names: readonly string[] | undefined;
  readonly publicUrl: string | undefined;
  readonly refreshHintSeconds: number;
  readonly lifetimes: {
    readonly agentSeconds: number;
    readonly serverSeconds: number;
    readonly adminSeconds: number;
    readonly workloadSeconds: number;
  };
  readonly agentGraceSeconds: number;
  /** Life of the intermediates that follow the first; 0: as long as the one that they follow. */
  readonly intermediateTtlSeconds: number;
  readonly rotation: { readonly prepareAt: number; readonly activateAt: number; readonly acknowledgeWaitSeconds: number };
  /** How long an ended certificate stays in the store. */
  readonly retentionSeconds: number;
  readonly fullReadSeconds: number;
  readonly reportIntervalSeconds: number;
  readonly drainSeconds: number;
  readonly limits: {
    readonly anonymousConnections: number;
    readonly connections: number;
    readonly handshakeSeconds: number;
    readonly anonymousLifeSeconds: number;
  };
  readonly keyPassphraseFile: string | undefined;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export interface LoadedServerConfig {
  readonly config: ServerConfig;
  readonly sources: ReadonlyMap<string, Source>;
  /** The settings as they are in force, for --print-config: dotted path to value. Nothing in it is secret. */
  readonly settings: ReadonlyMap<string, unknown>;
}

export interface ConfigPlaces {
  readonly configFile?: string | undefined;
  /** Dotted path to text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the data directory itself says, used where nothing else does. */
  readonly trustDomain?: string | undefined;
}

/** Reads the whole configuration. Throws ConfigError with one line. */
export async function loadServerConfig(places: ConfigPlaces): Promise<LoadedServerConfig> {
  const path = places.configFile ?? places.env["SIGNET_CONFIG"];
  const file = path === undefined || path === "" ? undefined : await readConfigFile(path);
  const environment = new Map(environmentSettings(serverSchema, places.env, otherVariables));
  const passphraseFile = places.env["SIGNET_KEY_PASSPHRASE_FILE"];
  if (passphraseFile !== undefined && passphraseFile !== "") {
    environment.set("key_passphrase_file", { name: "SIGNET_KEY_PASSPHRASE_FILE", text: passphraseFile });
  }
  const flags = new Map(Object.entries(places.flags).map(([path, text]) => [path, { name: flagName(path), text }]));
  return judgeServerConfig({ file, environment, flags }, places.trustDomain);
}

/** Judges a configuration that is at hand. `trustDomain` stands in where none is set. Throws ConfigError. */
export function judgeServerConfig(input: Parameters<typeof loadConfig>[1], trustDomain?: string): LoadedServerConfig {
  const known = trustDomain === undefined || input.file !== undefined ? input : withTrustDomain(input, trustDomain);
  const { config, sources } = loadConfig(serverSchema, known);
  const read = config as unknown as SnakeConfig;
  if (read.rotation.prepare_at > read.rotation.activate_at) {
    throw new ConfigError("rotation.prepare_at is after rotation.activate_at");
  }
  const settings = new Map(settingPaths(serverSchema).map((path) => [path, valueAt(config, path)]));
  return { config: fromSnake(read), sources, settings };
}

function withTrustDomain(input: Parameters<typeof loadConfig>[1], trustDomain: string): Parameters<typeof loadConfig>[1] {
  if (input.environment.has("trust_domain") || input.flags.has("trust_domain")) return input;
  const flags = new Map(input.flags).set("trust_domain", { name: "the data directory", text: trustDomain });
  return { ...input, flags };
}

interface SnakeConfig {
  readonly trust_domain: TrustDomain;
  readonly data_dir: string;
  readonly listen: { readonly api: string; readonly admin?: string; readonly ops: string };
  readonly advertise?: string;
  readonly names?: readonly string[];
  readonly public_url?: string;
  readonly refresh_hint: number;
  readonly lifetimes: { readonly agent: number; readonly server: number; readonly admin: number; readonly workload: number };
  readonly agent_grace: number;
  readonly intermediate_ttl: number;
  readonly rotation: { readonly prepare_at: number; readonly activate_at: number; readonly acknowledge_wait: number };
  readonly retention: number;
  readonly full_read: number;
  readonly report_interval: number;
  readonly drain: number;
  readonly limits: { readonly anonymous_connections: number; readonly connections: number; readonly handshake: number; readonly anonymous_life: number };
  readonly key_passphrase_file?: string;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

function fromSnake(read: SnakeConfig): ServerConfig {
  return {
    trustDomain: read.trust_domain,
    dataDir: read.data_dir,
    listen: { api: read.listen.api, admin: read.listen.admin, ops: read.listen.ops },
    advertise: read.advertise,
    names: read.names,
    publicUrl: read.public_url,
    refreshHintSeconds: read.refresh_hint,
    lifetimes: {
      agentSeconds: read.lifetimes.agent,
      serverSeconds: read.lifetimes.server,
      adminSeconds: read.lifetimes.admin,
      workloadSeconds: read.lifetimes.workload,
    },
    agentGraceSeconds: read.agent_grace,
    intermediateTtlSeconds: read.intermediate_ttl,
    rotation: {
      prepareAt: read.rotation.prepare_at,
      activateAt: read.rotation.activate_at,
      acknowledgeWaitSeconds: read.rotation.acknowledge_wait,
    },
    retentionSeconds: read.retention,
    fullReadSeconds: read.full_read,
    reportIntervalSeconds: read.report_interval,
    drainSeconds: read.drain,
    limits: {
      anonymousConnections: read.limits.anonymous_connections,
      connections: read.limits.connections,
      handshakeSeconds: read.limits.handshake,
      anonymousLifeSeconds: read.limits.anonymous_life,
    },
    keyPassphraseFile: read.key_passphrase_file,
    log: read.log,
  };
}

function valueAt(config: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((at, key) => (typeof at === "object" && at !== null ? (at as Record<string, unknown>)[key] : undefined), config);
}

function flagName(path: string): string {
  return path === "the data directory" ? path : `--${path.replaceAll(".", "-").replaceAll("_", "-")}`;
}
