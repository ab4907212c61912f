// signet env: each setting of the command line, and where it came from.
import type { Command } from "commander";
import { nearest } from "../platform/nearest.ts";
import type { Declare } from "./command.ts";
import type { Cli } from "./context.ts";
import type { ExitCode } from "./failure.ts";
import { plain } from "./layout.ts";
import { findConfigFile, findPlace, type PlaceKind } from "./place.ts";
import { knownVariables } from "./process-settings.ts";

interface Shown {
  readonly setting: string;
  readonly value: string;
  readonly from: string;
}

export function addEnv(program: Command, declare: Declare): void {
  declare
    .verb(program, "env", {
      summary: "show each setting of the command line, and where it came from",
      description: [
        "The settings of a server are shown by signet server --print-config, those of an agent by signet agent --print-config.",
      ],
      examples: ["signet env", "SIGNET_DATA_DIR=/var/lib/signet signet env -o json"],
      reach: "admin",
    })
    .action(declare.run(showEnv));
}

async function showEnv(cli: Cli): Promise<ExitCode> {
  const { print, env } = cli;
  const settings = [...(await placesOf(cli, "server")), ...(await placesOf(cli, "agent")), ...variablesIn(cli)];
  if (print.format !== "table") {
    await print.value(settings);
  } else if (print.quiet) {
    for (const { setting, value } of settings) print.line(`${plain(setting.replaceAll(" ", "_"))}=${plain(value)}`);
  } else {
    print.table<Shown>(
      [
        { head: "SETTING", cell: ({ setting }) => setting },
        { head: "VALUE", cell: ({ value }) => value },
        { head: "FROM", cell: ({ from }) => from },
      ],
      settings,
    );
  }
  const known = knownVariables();
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith("SIGNET_") || known.includes(name)) continue;
    const near = nearest(name, known);
    print.note(`unknown variable ${name}${near === undefined ? "" : `: the nearest is ${near}`}`);
  }
  return 0;
}

async function placesOf(cli: Cli, kind: PlaceKind): Promise<readonly Shown[]> {
  const named = cli.shared.config === undefined ? "SIGNET_CONFIG" : "-c";
  const configFile = await findConfigFile(cli, kind, cli.shared);
  const isNamed = cli.shared.config !== undefined || (cli.env["SIGNET_CONFIG"] ?? "") !== "";
  const place = await findPlace(cli, kind, cli.shared);
  const rows: Shown[] = [
    {
      setting: `${kind} config`,
      value: configFile ?? "none",
      from: configFile === undefined ? "default" : isNamed ? named : "it exists",
    },
    { setting: `${kind} data_dir`, value: place.shown, from: place.from.replace(/^data_dir from /, "") },
  ];
  if (kind === "server") {
    const admin = cli.shared.admin ?? cli.env["SIGNET_ADMIN"];
    const from =
      cli.shared.admin === undefined ? (admin === undefined ? "server data_dir" : "SIGNET_ADMIN") : "--admin";
    rows.push({ setting: "admin", value: admin ?? `${place.shown.replace(/\/$/, "")}/admin.sock`, from });
  }
  return rows;
}

function variablesIn(cli: Cli): readonly Shown[] {
  const plainNames = ["NO_COLOR", "FORCE_COLOR", "TERM"];
  const shownAlready = new Set(["SIGNET_CONFIG", "SIGNET_DATA_DIR", "SIGNET_ADMIN"]);
  return [...knownVariables(), ...plainNames]
    .filter((name) => (cli.env[name] ?? "") !== "" && !shownAlready.has(name))
    .map((name) => ({
      setting: name.startsWith("SIGNET_") ? name.slice("SIGNET_".length).toLowerCase() : name,
      value: cli.env[name] ?? "",
      from: name.startsWith("SIGNET_") ? name : "environment",
    }));
}
