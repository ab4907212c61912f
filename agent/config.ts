// agent.yaml: every setting with its unit, its default and what it means.
import { constants } from "node:os";
import { z } from "zod";
import { address, duration, logFields } from "../src/platform/config-fields.ts";
import { environmentSettings, loadConfig, readConfigFile, type Source, settingPaths } from "../src/platform/config-file.ts";
import type { LogFormat, LogLevel } from "../src/platform/logger.ts";
import { parseSpiffeId, SpiffeError, type SpiffeId } from "../src/spiffe/id.ts";

const spiffeId = z.string().transform((text, context): SpiffeId => {
  try {
    return parseSpiffeId(text);
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
    return z.NEVER;
  }
});

const account = z.union([z.string().min(1).max(64), z.int().min(0).transform(String)]);

/** Signals that ask a service to read its files again; none that ends it. */
const signals = ["HUP", "USR1", "USR2", "WINCH"] as const;

const reload = z
  .strictObject({
    command: z.array(z.coerce.string().min(1)).min(1).max(64).optional(),
    deadline: duration("10s"),
    signal: z.enum(signals, { error: `must be one of ${signals.join(", ")}` }).optional(),
    pid_file: z.string().min(1).optional(),
    user: account.optional(),
  })
  .superRefine((value, context) => {
    const fault = (message: string): void => context.addIssue({ code: "custom", message });
    if (value.command !== undefined && value.signal !== undefined) fault("is a command or a signal, not both");
    if (value.command === undefined && value.signal === undefined) fault("needs a command, or a signal with its pid_file");
    if (value.signal !== undefined && value.pid_file === undefined) fault("a signal needs pid_file");
    if (value.signal === undefined && (value.pid_file !== undefined || value.user !== undefined)) {
      fault("pid_file and user go with a signal");
    }
  });

/** Bits of a key's file: readable by its owner, perhaps by its group, never by others. */
const mode = z
  .union([z.string(), z.int()])
  .transform((value, context) => {
    const text = typeof value === "number" ? value.toString(8) : value;
    const bits = /^0?o?[0-7]{3,4}$/.test(text) ? Number.parseInt(text.replace("o", ""), 8) : Number.NaN;
    if (bits === 0o600 || bits === 0o640 || bits === 0o400 || bits === 0o440) return bits;
    context.addIssue({ code: "custom", message: `must be "0600", "0640", "0400" or "0440", got ${text.slice(0, 16)}` });
    return z.NEVER;
  });

const identity = z.strictObject({
  spiffe_id: spiffeId,
  dir: z.string().min(1),
  owner: account.optional(),
  group: account.optional(),
  mode: mode.optional(),
  key: z.enum(["new", "keep"]).default("new"),
  reload: reload.optional(),
});

const identities = z.array(identity).max(5000).superRefine((list, context) => {
  for (const name of ["dir", "spiffe_id"] as const) {
    const first = new Map<string, number>();
    for (const [index, each] of list.entries()) {
      const earlier = first.get(each[name]);
      if (earlier !== undefined) {
        const message = `identities[${earlier}] has it already, got ${each[name]}`;
        context.addIssue({ code: "custom", path: [index, name], message });
      }
      first.set(each[name], earlier ?? index);
    }
  }
});

const schema = z.strictObject({
  data_dir: z.string().min(1).default("./.signet-agent"),
  listen: z.strictObject({ ops: address().default("127.0.0.1:7091") }).prefault({}),
  server: z
    .string()
    .refine((text) => text.split(",").every((each) => address().safeParse(each.trim()).success), "must be HOST:PORT, several with commas")
    .optional(),
  agent_grace: duration("30d", 0),
  identities: identities.default([]),
  log: logFields,
});

export const agentSchema: z.ZodObject = schema;

/** What makes a service read its identity again. */
export type ReloadSetting =
  | { readonly kind: "command"; readonly command: readonly string[]; readonly deadlineMs: number }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals; readonly pidFile: string; readonly user: string | undefined };

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
  readonly listen: { readonly ops: string };
  readonly server: string | undefined;
  readonly agentGraceSeconds: number;
  /** Empty: every entry goes under the data directory. */
  readonly identities: readonly IdentitySetting[];
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
}

/** One setting in force, and where it came from. */
export interface ShownSetting {
  readonly path: string;
  readonly value: unknown;
  readonly source: Source | undefined;
}

export interface LoadedAgentConfig {
  readonly config: AgentConfig;
  readonly settings: readonly ShownSetting[];
}

/** Reads the whole configuration. Throws ConfigError with one line. */
export async function loadAgentConfig(places: {
  readonly configFile?: string;
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}): Promise<LoadedAgentConfig> {
  const file = places.configFile === undefined ? undefined : await readConfigFile(places.configFile);
  const flags = new Map(
    Object.entries(places.flags).map(([path, text]) => [path, { name: `--${path.replaceAll(/[._]/g, "-")}`, text }]),
  );
  return judgeAgentConfig({ file, environment: environmentSettings(agentSchema, places.env, []), flags });
}

/** Judges a configuration that is at hand. Throws ConfigError. */
export function judgeAgentConfig(input: Parameters<typeof loadConfig>[1]): LoadedAgentConfig {
  const { config, sources } = loadConfig(schema, input);
  const settings = settingPaths(agentSchema).map((path) => ({
    path,
    value: path.split(".").reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config),
    source: sources.get(path),
  }));
  return {
    settings,
    config: {
      dataDir: config.data_dir,
      listen: config.listen,
      server: config.server,
      agentGraceSeconds: config.agent_grace,
      identities: config.identities.map((each) => ({
        spiffeId: each.spiffe_id,
        dir: each.dir,
        owner: each.owner,
        group: each.group,
        mode: each.mode,
        key: each.key,
        reload: reloadSetting(each.reload),
      })),
      log: config.log,
    },
  };
}

function reloadSetting(value: z.output<typeof reload> | undefined): ReloadSetting | undefined {
  if (value?.command !== undefined) return { kind: "command", command: value.command, deadlineMs: value.deadline * 1000 };
  if (value?.signal === undefined || value.pid_file === undefined) return undefined;
  const signal = `SIG${value.signal}` as keyof typeof constants.signals;
  return { kind: "signal", signal, pidFile: value.pid_file, user: value.user };
}

/** The settings in force, a line each, for --print-config. */
export function agentConfigText(settings: readonly ShownSetting[]): string {
  return settings
    .map(({ path, value, source }) => {
      const from = source === undefined || source.kind === "default" ? "default" : source.name;
      return `${path}: ${value === undefined ? "(unset)" : JSON.stringify(value)}   # ${from}\n`;
    })
    .join("");
}
