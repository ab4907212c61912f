// server.yaml: every setting with its unit, its default and what it means.

import { isIP } from "node:net";
import { AddressError, formatAddress, isHostName, isWildcard, parseAddress } from "../platform/address.ts";
import { type ConfigInput, loadConfig, readConfigFile, textPaths } from "../platform/config-file.ts";
import { configJsonSchema, configText } from "../platform/config-text.ts";
import { type LogFormat, type LogLevel, logFormats, logLevels } from "../platform/logger.ts";
import { address, anyText, duration, number, oneOf, parsed, size, texts } from "../platform/setting-kinds.ts";
import {
  group,
  type JsonSchema,
  optional,
  required,
  type Shown,
  type Source,
  withDefault,
} from "../platform/settings.ts";
import { parseTrustDomain, type TrustDomain } from "../spiffe/id.ts";

/** The shortest life that is given to a certificate. */
const leastTtl = { leastSeconds: 5 };
const always = { leastSeconds: 0 };

const advertised = parsed((text) => {
  const { host, port } = parseAddress(text);
  if (isWildcard(host)) throw new AddressError(`${text} means every address of this host, and no node can dial it`);
  if (port === 0) throw new AddressError(`${text} has port 0, and no node can dial it`);
  return formatAddress({ host, port });
});

const nameOfServer = parsed((text) => {
  if (isIP(text) === 0 && !isHostName(text)) throw new AddressError(`${text} is neither a DNS name nor an IP address`);
  return text.toLowerCase();
});

const publicUrl = parsed((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.protocol === "http:" && url.username === "" && url.search === "" && url.hash === "";
  if (url === undefined || !isPlain || url.hostname === "") {
    throw new AddressError(
      `${text} must be http://HOST or http://HOST:PORT/PATH: CRLs are signed and fetched without TLS`,
    );
  }
  return url.href.replace(/\/$/, "");
});

const root = group(
  {
    trust_domain: required(
      parsed(parseTrustDomain),
      "name of the trust domain, such as prod.example; it can never change",
    ),
    data_dir: withDefault(anyText, "./.signet", "directory of keys and store, 0700"),
    listen: group(
      {
        api: withDefault(address, "127.0.0.1:7443", "agents and remote admins, gRPC over TLS 1.3"),
        admin: optional(anyText, "path of the admin socket; DATA/admin.sock by default"),
        web: withDefault(address, "127.0.0.1:7444", "bundle endpoint, EST, ACME; not opened yet"),
        public: withDefault(
          address,
          "127.0.0.1:7080",
          "CRLs, OCSP and CA certificates over plain HTTP; not opened yet",
        ),
        ops: withDefault(address, "127.0.0.1:7090", "/metrics, /livez and /readyz over plain HTTP"),
      },
      { help: "where the server listens" },
    ),
    advertise: optional(advertised, "host:port that join strings carry and that nodes dial"),
    names: optional(texts(nameOfServer, { least: 1, most: 90 }), "DNS names and addresses in the server's certificate"),
    public_url: optional(
      publicUrl,
      "where CRLs, OCSP and CA certificates are found, for certificates; none by default",
    ),
    refresh_hint: withDefault(duration(), "300s", "how often holders of the bundle should look for a newer one"),
    lifetimes: group(
      {
        agent: withDefault(duration(leastTtl), "24h", "agents' certificates"),
        server: withDefault(duration(leastTtl), "24h", "the server's own certificate"),
        admin: withDefault(duration(leastTtl), "12h", "admins' certificates"),
        workload: withDefault(duration(leastTtl), "1h", "identities whose entry names no ttl"),
      },
      { help: "life of certificates, from the moment of issue" },
    ),
    agent_grace: withDefault(
      duration(always),
      "30d",
      "how long after its certificate ended an agent may come back by its key; 0 = never",
    ),
    intermediate_ttl: optional(
      duration({ leastSeconds: 20 }),
      "life of the intermediates that follow the first; by default that of the one they follow",
    ),
    devices: group(
      {
        intermediate_ttl: withDefault(
          duration({ leastSeconds: 240 }),
          "365d",
          "life of the devices' own intermediates, which the first device class makes",
        ),
      },
      { help: "devices, which join by a factory certificate" },
    ),
    x509pop: group(
      {
        unregistered: group(
          {
            allow: optional(
              anyText,
              "PEM file of CAs whose certificates let nodes join that nobody registered, as /agent/x509pop/SHA256",
            ),
          },
          { help: "nodes that are not registered by the fingerprint of their certificate" },
        ),
      },
      { help: "joining by a factory certificate" },
    ),
    crl: group(
      {
        intermediate: withDefault(
          duration({ leastSeconds: 60 }),
          "7d",
          "an intermediate's CRL; signed anew after a seventh",
        ),
        root: withDefault(duration({ leastSeconds: 60 }), "365d", "a root's CRL; signed at init and at each ceremony"),
      },
      { help: "how long a CRL says it is good for" },
    ),
    rotation: group(
      {
        prepare_at: withDefault(share(), "0.5", "part of an intermediate's life after which its successor is prepared"),
        activate_at: withDefault(share(), "0.667", "part of its life after which the successor signs"),
        acknowledge_wait: withDefault(
          duration(always),
          "5m",
          "how long activation waits for agents to have the successor's CRL",
        ),
      },
      {
        help: "when intermediates change by themselves",
        check: ({ prepare_at, activate_at }, complain) => {
          if (prepare_at >= activate_at)
            complain("prepare_at", `must be less than activate_at (${activate_at}), got ${prepare_at}`);
        },
      },
    ),
    retention: withDefault(duration({ leastSeconds: 3600 }), "30d", "how long an ended certificate stays in the store"),
    full_read: withDefault(duration(), "5m", "how often an agent's stream brings everything once more"),
    report_interval: withDefault(duration(), "30s", "how often an agent reports, changes aside"),
    drain: withDefault(duration(always), "10s", "time for running calls after TERM"),
    limits: group(
      {
        connections: withDefault(number({ least: 16, most: 100_000 }), "4096", "connections to api"),
        anonymous_connections: withDefault(
          number({ least: 1, most: 10_000 }),
          "256",
          "connections without a certificate, oldest closed first",
        ),
        handshake: withDefault(duration(), "10s", "time to a finished handshake"),
        anonymous_life: withDefault(duration(), "30s", "life of a connection without a certificate"),
      },
      { help: "what strangers may use" },
    ),
    store: group(
      {
        mark: optional(
          anyText,
          "file that says which commit was the last, outside the store; DATA/store.mark by default",
        ),
        reserve: withDefault(
          size({ leastOctets: 0, mostOctets: 2 ** 40 }),
          "256MiB",
          "free space below which nothing is issued; 0 = issue to the end",
        ),
        scrub_every: withDefault(
          duration({ leastSeconds: 60 }),
          "7d",
          "how often everything that is stored is read and checked",
        ),
        scrub_rate: withDefault(
          size({ leastOctets: 2 ** 16, mostOctets: 2 ** 40 }),
          "16MiB",
          "how much of the store is checked in a second",
        ),
      },
      { help: "the embedded store" },
    ),
    key_passphrase_file: optional(anyText, "file with the passphrase of the keys in the data directory"),
    log: group(
      {
        level: withDefault(oneOf(logLevels), "info", "debug, info, warn or error"),
        format: withDefault(oneOf(logFormats), "auto", "text, json, or auto: text on a terminal"),
      },
      { help: "the log, on stderr" },
    ),
  },
  { help: "configuration of signet server" },
);

function share(): ReturnType<typeof number> {
  return number({ least: 0.01, most: 0.99, whole: false });
}

export interface ServerConfig {
  readonly trustDomain: TrustDomain;
  readonly dataDir: string;
  readonly listen: {
    readonly api: string;
    /** Path of the unix socket; undefined: DATA/admin.sock. */
    readonly admin: string | undefined;
    readonly web: string;
    readonly public: string;
    readonly ops: string;
  };
  readonly advertise: string | undefined;
  readonly names: readonly string[] | undefined;
  /** Without a slash at its end. */
  readonly publicUrl: string | undefined;
  readonly refreshHintSeconds: number;
  readonly lifetimes: {
    readonly agentSeconds: number;
    readonly serverSeconds: number;
    readonly adminSeconds: number;
    readonly workloadSeconds: number;
  };
  /** 0: never. */
  readonly agentGraceSeconds: number;
  /** Life of the intermediates that follow the first. */
  readonly intermediateTtlSeconds: number;
  readonly devices: { readonly intermediateTtlSeconds: number };
  readonly x509pop: {
    /** PEM file of CAs; undefined: a node joins only when it is registered. */
    readonly unregisteredFile: string | undefined;
  };
  readonly crl: { readonly intermediateSeconds: number; readonly rootSeconds: number };
  readonly rotation: {
    readonly prepareAt: number;
    readonly activateAt: number;
    readonly acknowledgeWaitSeconds: number;
  };
  /** How long an ended certificate stays in the store. */
  readonly retentionSeconds: number;
  readonly fullReadSeconds: number;
  readonly reportIntervalSeconds: number;
  readonly drainSeconds: number;
  readonly limits: {
    readonly connections: number;
    readonly anonymousConnections: number;
    readonly handshakeSeconds: number;
    readonly anonymousLifeSeconds: number;
  };
  readonly store: {
    /** Path of the continuity mark; undefined: DATA/store.mark. */
    readonly mark: string | undefined;
    /** 0: none. */
    readonly reserveOctets: number;
    readonly scrubEverySeconds: number;
    /** A second. */
    readonly scrubOctets: number;
  };
  readonly keyPassphraseFile: string | undefined;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

export interface LoadedServerConfig {
  readonly config: ServerConfig;
  /** What is in force, as it would be written, by dotted path. Nothing in it is secret. */
  readonly settings: ReadonlyMap<string, Shown>;
  readonly sources: ReadonlyMap<string, Source>;
}

export interface ConfigPlaces {
  readonly configFile?: string | undefined;
  /** Dotted path to text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the data directory itself says, used where there is no file and nothing else says it. */
  readonly trustDomain?: string | undefined;
}

/**
 * Variables that mean something to the command line, or to the agent. A process inherits all of them, and refuses only
 * what nobody knows.
 */
const otherVariables: readonly string[] = [
  "SIGNET_CONFIG",
  "SIGNET_ADMIN",
  "SIGNET_IDENTITY",
  "SIGNET_JOIN_FILE",
  "SIGNET_SERVER",
  "SIGNET_LISTEN_WORKLOAD",
  "SIGNET_X509POP_CERTIFICATE",
  "SIGNET_X509POP_KEY",
  "SIGNET_X509POP_ROOTS",
];

/** Dotted paths of the settings that can be variables and flags. */
export function serverTextPaths(): readonly string[] {
  return textPaths(root);
}

/** Reads the whole configuration. Throws ConfigError with one line. */
export async function loadServerConfig(places: ConfigPlaces): Promise<LoadedServerConfig> {
  const named = places.configFile ?? places.env["SIGNET_CONFIG"];
  const file = named === undefined || named === "" ? undefined : await readConfigFile(named);
  return judgeServerConfig({ file, env: places.env, flags: places.flags }, places.trustDomain);
}

/** Judges a configuration that is at hand; `trustDomain` stands in where there is no file. Throws ConfigError. */
export async function judgeServerConfig(
  input: Omit<ConfigInput, "otherVariables">,
  trustDomain?: string,
): Promise<LoadedServerConfig> {
  const isSaid =
    input.file !== undefined || (input.env["SIGNET_TRUST_DOMAIN"] ?? "") !== "" || "trust_domain" in input.flags;
  const stamped = isSaid || trustDomain === undefined ? {} : { trust_domain: trustDomain };
  const { config, settings } = await loadConfig(root, {
    ...input,
    otherVariables,
    flags: { ...stamped, ...input.flags },
  });
  const listed = settings.map((each) => (each.path in stamped ? { ...each, source: stampSource } : each));
  return {
    config: fromSnake(config),
    settings: new Map(listed.map(({ path, value }) => [path, value])),
    sources: new Map(listed.map(({ path, source }) => [path, source])),
  };
}

const stampSource: Source = { kind: "default", name: "the data directory" };

/** The configuration in force as a file, each setting with its source: for --print-config. */
export function serverConfigText({ settings, sources }: Pick<LoadedServerConfig, "settings" | "sources">): string {
  return configText([...settings].map(([path, value]) => ({ path, value, source: sources.get(path) ?? stampSource })));
}

/** JSON Schema of server.yaml. */
export function serverConfigSchema(): JsonSchema {
  return configJsonSchema(root, "server.yaml of Signet");
}

type Snake = ReturnType<typeof root.read>;

function fromSnake(read: Snake): ServerConfig {
  const { listen, lifetimes, crl, rotation, limits } = read;
  return {
    trustDomain: read.trust_domain,
    dataDir: read.data_dir,
    listen: { api: listen.api, admin: listen.admin, web: listen.web, public: listen.public, ops: listen.ops },
    advertise: read.advertise,
    names: read.names,
    publicUrl: read.public_url,
    refreshHintSeconds: read.refresh_hint,
    lifetimes: {
      agentSeconds: lifetimes.agent,
      serverSeconds: lifetimes.server,
      adminSeconds: lifetimes.admin,
      workloadSeconds: lifetimes.workload,
    },
    agentGraceSeconds: read.agent_grace,
    intermediateTtlSeconds: read.intermediate_ttl ?? 0,
    devices: { intermediateTtlSeconds: read.devices.intermediate_ttl },
    x509pop: { unregisteredFile: read.x509pop.unregistered.allow },
    crl: { intermediateSeconds: crl.intermediate, rootSeconds: crl.root },
    rotation: {
      prepareAt: rotation.prepare_at,
      activateAt: rotation.activate_at,
      acknowledgeWaitSeconds: rotation.acknowledge_wait,
    },
    retentionSeconds: read.retention,
    fullReadSeconds: read.full_read,
    reportIntervalSeconds: read.report_interval,
    drainSeconds: read.drain,
    limits: {
      connections: limits.connections,
      anonymousConnections: limits.anonymous_connections,
      handshakeSeconds: limits.handshake,
      anonymousLifeSeconds: limits.anonymous_life,
    },
    store: {
      mark: read.store.mark,
      reserveOctets: read.store.reserve,
      scrubEverySeconds: read.store.scrub_every,
      scrubOctets: read.store.scrub_rate,
    },
    keyPassphraseFile: read.key_passphrase_file,
    log: read.log,
  };
}
