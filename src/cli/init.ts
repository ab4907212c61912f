// signet init: makes the root and the first intermediate.

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { formatDuration, parseDuration, writeDuration } from "../platform/durations.ts";
import { shellWord } from "../platform/shell-word.ts";
import { type Declare, duration } from "./command.ts";
import type { Cli, InitAuthority, InitResult, KeyTypeName } from "./context.ts";
import { asCliError, CliError, type ExitCode, wrongUse } from "./failure.ts";
import { facts, plain } from "./layout.ts";
import { day } from "./moments.ts";
import { shown } from "./objects.ts";
import { type DataPlace, findPlace, placeFlags, readSettings } from "./place.ts";
import { keyType, shortFingerprint } from "./words.ts";

const keyTypes: readonly KeyTypeName[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];
const daySeconds = 86_400;
const defaults = { rootTtl: 3650 * daySeconds, intermediateTtl: 30 * daySeconds } as const;
const defaultLifetimes: Readonly<Record<string, number>> = {
  agent: daySeconds,
  server: daySeconds,
  admin: daySeconds / 2,
  workload: 3600,
};

export function addInit(program: Command, declare: Declare): void {
  declare
    .verb(program, "init", {
      summary: "make a trust domain: a root, and an intermediate under it",
      description: [
        "For production keep the root key elsewhere (--root-key-out) and give a passphrase for the keys that stay (SIGNET_KEY_PASSPHRASE_FILE). Nothing is ever overwritten.",
      ],
      examples: [
        "signet init --trust-domain prod.example",
        "signet init --trust-domain prod.example --root-key-out root-1.key \\\n      --root-passphrase-file passphrase",
      ],
      reach: "agent",
      asks: ["--trust-domain"],
    })
    .option("--trust-domain <NAME>", "such as prod.example; it can never be changed")
    .option(
      "--root-key-out <FILE>",
      "put the root key there and leave none on this server; with --root-passphrase-file",
    )
    .option("--root-passphrase-file <FILE>", "file with the passphrase that encrypts the root key")
    .option("--key-passphrase-file <FILE>", "file with the passphrase that encrypts the keys in the data directory")
    .option("--key-type <TYPE>", `${keyTypes.join(", ")} (default: ec-p256)`)
    .option("--root-ttl <DURATION>", "life of the root (default: 3650d)", duration("--root-ttl"))
    .option("--intermediate-ttl <DURATION>", "life of each intermediate (default: 30d)", duration("--intermediate-ttl"))
    .action(declare.run(init));
}

interface InitFlags {
  readonly trustDomain?: string;
  readonly rootKeyOut?: string;
  readonly rootPassphraseFile?: string;
  readonly keyPassphraseFile?: string;
  readonly keyType?: string;
  readonly rootTtl?: number;
  readonly intermediateTtl?: number;
}

async function init(cli: Cli, flags: InitFlags): Promise<ExitCode> {
  const place = await findPlace(cli, "server", cli.shared);
  const settings = place.configFile === undefined ? {} : await readSettings(place.configFile);
  const setting = (name: string, flag: string | undefined): string | undefined => {
    const value = flag ?? cli.env[`SIGNET_${name.toUpperCase()}`] ?? settings[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const trustDomain = setting("trust_domain", flags.trustDomain);
  if (trustDomain === undefined)
    throw wrongUse("signet init needs --trust-domain NAME", "signet init --trust-domain prod.example");
  const type = keyTypes.find((each) => each === (flags.keyType ?? "ec-p256"));
  if (type === undefined) throw wrongUse(`--key-type ${flags.keyType ?? ""}: it is one of ${keyTypes.join(", ")}`);
  if (flags.rootPassphraseFile !== undefined && flags.rootKeyOut === undefined) {
    throw wrongUse("--root-passphrase-file goes with --root-key-out", "signet init --help");
  }
  const rootTtlSeconds = flags.rootTtl ?? defaults.rootTtl;
  const ttlSetting = setting("intermediate_ttl", undefined);
  const intermediateTtlSeconds =
    flags.intermediateTtl ??
    (ttlSetting === undefined ? defaults.intermediateTtl : durationOf("intermediate_ttl", ttlSetting));
  if (rootTtlSeconds < intermediateTtlSeconds) {
    throw wrongUse(
      `--root-ttl ${writeDuration(rootTtlSeconds)} is shorter than --intermediate-ttl ${writeDuration(intermediateTtlSeconds)}: nothing outlives its issuer`,
    );
  }
  checkLifetimes(cli, settings, intermediateTtlSeconds);
  await checkTrustDomain(trustDomain);
  await refuseToOverwrite(place);
  const keyPassphraseFile = setting("key_passphrase_file", flags.keyPassphraseFile);
  let result: InitResult;
  try {
    result = await cli.starters.init({
      dataDir: place.path,
      trustDomain,
      keyType: type,
      rootTtlSeconds,
      intermediateTtlSeconds,
      ...(flags.rootKeyOut === undefined ? {} : { rootKeyOut: resolve(cli.cwd, flags.rootKeyOut) }),
      ...(flags.rootPassphraseFile === undefined
        ? {}
        : { rootPassphraseFile: resolve(cli.cwd, flags.rootPassphraseFile) }),
      ...(keyPassphraseFile === undefined ? {} : { keyPassphraseFile: resolve(cli.cwd, keyPassphraseFile) }),
    });
  } catch (error) {
    throw asCliError(error, `cannot make ${trustDomain} in ${place.shown}`);
  }
  await printResult(cli, { result, place, trustDomain, flags });
  return 0;
}

async function printResult(
  cli: Cli,
  made: {
    readonly result: InitResult;
    readonly place: DataPlace;
    readonly trustDomain: string;
    readonly flags: InitFlags;
  },
): Promise<void> {
  const { print } = cli;
  const { result, place, trustDomain, flags } = made;
  if (print.format !== "table") {
    await print.value(
      shown({
        trustDomain,
        dataDir: result.dir,
        root: result.root,
        intermediate: result.intermediate,
        keysEncrypted: result.encrypted,
        rootKeyOnServer: flags.rootKeyOut === undefined,
        rootKeyOut: flags.rootKeyOut,
      }),
    );
    return;
  }
  if (print.quiet) {
    print.line(trustDomain);
    return;
  }
  const describe = ({ keyType: type, notAfter }: InitAuthority): string => `${keyType(type)}, until ${day(notAfter)}`;
  print.line(`${plain(place.shown)} (0700)`);
  const keys = result.encrypted
    ? `encrypted: the server needs the same passphrase file to start`
    : `NOT encrypted: who reads ${place.shown}/keys can sign as ${trustDomain}`;
  const advice = [
    ...(flags.rootKeyOut === undefined ? ["--root-key-out FILE --root-passphrase-file FILE"] : []),
    ...(result.encrypted ? [] : ["SIGNET_KEY_PASSPHRASE_FILE"]),
  ];
  const lines = facts(
    [
      [result.root.name, `${describe(result.root)}, SHA-256 ${shortFingerprint(result.root.fingerprintHex)}`],
      [result.intermediate.name, `${describe(result.intermediate)}, under ${result.root.name}`],
      [
        "root key",
        flags.rootKeyOut === undefined
          ? "on this server"
          : `in ${flags.rootKeyOut} only; keep it elsewhere, each rotation needs it`,
      ],
      ["keys", keys],
      ["", advice.length === 0 ? "" : `for production: ${advice.join(" and ")}`],
    ],
    { width: print.width },
  );
  for (const line of lines) print.line(line);
  print.hint(`next: signet server${plain(placeFlags(cli.shared))}`);
}

async function checkTrustDomain(text: string): Promise<void> {
  const { parseTrustDomain } = await import("../spiffe/id.ts");
  try {
    parseTrustDomain(text);
  } catch (error) {
    throw asCliError(error, `cannot use the trust domain ${text.slice(0, 64)}`);
  }
}

async function refuseToOverwrite(place: DataPlace): Promise<void> {
  try {
    const stamp: unknown = JSON.parse(await readFile(join(place.path, "signet.json"), "utf8"));
    // That of an agent is another mistake: init itself says which.
    if (typeof stamp === "object" && stamp !== null && "kind" in stamp && stamp.kind !== "server") return;
  } catch {
    return;
  }
  throw new CliError(
    1,
    `cannot make a trust domain in ${place.shown}: there is one already, and nothing is overwritten`,
    {
      cure: `signet status${place.from === "default" ? "" : ` --data-dir ${shellWord(place.shown)}`}, or another --data-dir`,
    },
  );
}

// A profile whose ttl is over a quarter of its authority's life is refused by the server (ttl_over_authority). Better
// said before the root exists.
function checkLifetimes(cli: Cli, settings: Readonly<Record<string, unknown>>, intermediateTtlSeconds: number): void {
  const given = settings["lifetimes"];
  const fromFile: Readonly<Record<string, unknown>> = typeof given === "object" && given !== null ? { ...given } : {};
  for (const [name, byDefault] of Object.entries(defaultLifetimes)) {
    const text = cli.env[`SIGNET_LIFETIMES_${name.toUpperCase()}`] ?? fromFile[name];
    const seconds = typeof text === "string" ? durationOf(`lifetimes.${name}`, text) : byDefault;
    if (seconds * 4 <= intermediateTtlSeconds) continue;
    throw wrongUse(
      `--intermediate-ttl ${writeDuration(intermediateTtlSeconds)} is too short: lifetimes.${name} is ${formatDuration(seconds)}, and that may be a quarter of it at most (ttl_over_authority)`,
      `--intermediate-ttl ${writeDuration(seconds * 4)}, or shorter lifetimes in server.yaml (SIGNET_LIFETIMES_${name.toUpperCase()})`,
    );
  }
}

function durationOf(name: string, text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    throw asCliError(error, `cannot read ${name}`);
  }
}
