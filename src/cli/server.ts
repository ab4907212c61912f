// signet server: starts the server in this process, and accepts the clock of a running one.
import type { Command } from "commander";
import { acceptClock } from "./accept-clock.ts";
import { type Declare, riskFlags } from "./command.ts";
import type { Cli, RunServerOptions } from "./context.ts";
import { asCliError, CliError, type ExitCode } from "./failure.ts";
import { findConfigFile, placeFlags } from "./place.ts";
import { environmentOfProcess, givenSettings, type Setting, serverSettings, settingFlags } from "./process-settings.ts";

export function addServer(program: Command, declare: Declare): void {
  const server = settingFlags(
    declare
      .verb(program, "server", {
        summary: "start the server; accept-clock: tell it that its clock is right",
        description: [
          "Runs until TERM or Ctrl-C, which let running calls finish. Every flag is also a key of server.yaml and a variable: --listen-api, listen.api, SIGNET_LISTEN_API.",
        ],
        examples: [
          "signet server",
          "signet server -c /etc/signet/server.yaml",
          "signet server --listen-api 0.0.0.0:7443 --print-config",
        ],
        reach: "process",
      })
      .option("--print-config", "show the configuration in force, and end"),
    serverSettings,
  );
  server.action(
    declare.run(async (cli, flags: Readonly<Record<string, unknown>>) => {
      const options = await processOptions(cli, "server", { settings: serverSettings, flags });
      try {
        return (await cli.starters.server(options)) as ExitCode;
      } catch (error) {
        throw withPassphraseCure(cli, error, asCliError(error, "cannot start the server"));
      }
    }),
  );
  riskFlags(
    declare.verb(server, "accept-clock", {
      summary: "take the server's clock as it is for the right one, after a jump that stopped issuing",
      description: [
        "A server whose clock went by more than a minute signs nothing, until the clock is back, most live agents' clocks agree with it, or an admin accepts it. Everything goes on meanwhile with what it has.",
      ],
      examples: [
        "signet server accept-clock --dry-run",
        'signet server accept-clock --reason "the NTP server was wrong before"',
      ],
      reach: "admin",
    }),
  ).action(declare.run(acceptClock));
}

// Only here it is known how the server was started, so only here it can be said how to start it.
function withPassphraseCure(cli: Cli, error: unknown, failure: CliError): CliError {
  if (!(error instanceof Error && error.name === "KeyError" && "code" in error && error.code === "bad_passphrase")) {
    return failure;
  }
  const cure = `SIGNET_KEY_PASSPHRASE_FILE=FILE signet server${placeFlags(cli.shared)}`;
  return new CliError(failure.exit, failure.message, { cure, cause: error });
}

/** What both processes are started with. */
export async function processOptions(
  cli: Cli,
  kind: "server" | "agent",
  given: { readonly settings: readonly Setting[]; readonly flags: Readonly<Record<string, unknown>> },
): Promise<RunServerOptions> {
  const configFile = await findConfigFile(cli, kind, cli.shared);
  const { dataDir } = cli.shared;
  return {
    ...(configFile === undefined ? {} : { configFile }),
    flags: { ...givenSettings(given.settings, given.flags), ...(dataDir === undefined ? {} : { data_dir: dataDir }) },
    env: environmentOfProcess(cli.env),
    printConfig: given.flags["printConfig"] === true,
    stdout: (text) => cli.print.raw(text),
    stderr: (text) => cli.print.progress(text),
  };
}
