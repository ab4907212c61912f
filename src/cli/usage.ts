// Wrong use: commander's complaints in our words, with the nearest name that exists.
import type { Command, CommanderError } from "commander";
import { nearest } from "../platform/nearest.ts";
import { pathOf } from "./command.ts";
import { type CliError, wrongUse } from "./failure.ts";

/** The CliError of a complaint of commander about `command`. Its exit code is 2, whatever commander's own is. */
export function usageError(error: CommanderError, command: Command): CliError {
  const path = pathOf(command);
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const help = `${path} --help`;
  switch (error.code) {
    case "commander.unknownOption":
      return wrongUse(`unknown flag ${quoted.split("=")[0] ?? quoted}${nearFlag(quoted, command)}`, help);
    case "commander.unknownCommand":
      return unknownCommand(quoted, command);
    case "commander.excessArguments": {
      const extra = command.args[command.registeredArguments.length] ?? "";
      if (command.commands.length > 0 && extra !== "") return unknownCommand(extra, command);
      const takes = command.registeredArguments.length;
      return wrongUse(
        `${path} takes ${takes === 0 ? "no argument" : `${takes} at most`}, got ${JSON.stringify(extra)} too`,
        help,
      );
    }
    case "commander.missingArgument":
      return wrongUse(`${path} needs ${quoted}`, help);
    case "commander.optionMissingArgument":
      return wrongUse(`${flagIn(quoted)} needs a value: ${withoutBrackets(quoted)}`, help);
    case "commander.conflictingOption":
    case "commander.invalidArgument":
      return wrongUse(error.message.replace(/^error: /, ""), help);
    default:
      return wrongUse(error.message.replace(/^error: /, ""), help);
  }
}

function unknownCommand(name: string, command: Command): CliError {
  const names = command.commands.map((each) => each.name());
  const near = nearest(name, names);
  const path = pathOf(command);
  return wrongUse(
    `unknown command ${name}${near === undefined ? "" : `: the nearest is ${near}`}`,
    near === undefined ? `${path} --help` : `${path} ${near} --help`,
  );
}

function nearFlag(flag: string, command: Command): string {
  const name = (flag.split("=")[0] ?? flag).replace(/^-+/, "");
  const names = command.options.flatMap((option) =>
    option.long === undefined ? [] : [option.long.replace(/^--/, "")],
  );
  const near = name.length < 2 ? undefined : nearest(name, names);
  return near === undefined ? "" : `: the nearest is --${near}`;
}

function flagIn(flags: string): string {
  return /--[a-z-]+/.exec(flags)?.[0] ?? flags;
}

function withoutBrackets(flags: string): string {
  return flags.replace(/^-\w, /, "").replace(/[<>]/g, "");
}
