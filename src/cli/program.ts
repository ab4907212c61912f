// The whole command line: the tree of commands, and one run of it. Only commander and small files are loaded here; what
// a command needs beyond that it loads itself.
import { Command, CommanderError } from "commander";
import { addAgent } from "./agent.ts";
import { addAuthority } from "./authority.ts";
import { addBundle } from "./bundle.ts";
import { addCert } from "./cert.ts";
import { createDeclare, type Declare, hideShared, pathOf, sharedFlagsOf, tableFormats } from "./command.ts";
import { addCompletion } from "./completion.ts";
import type { Cli, CliContext } from "./context.ts";
import { addDemo } from "./demo.ts";
import { addDoctor } from "./doctor.ts";
import { addEntry } from "./entry.ts";
import { addEnv } from "./env.ts";
import { addExplain } from "./explain.ts";
import { asCliError, CliError, type ExitCode, wrongUse } from "./failure.ts";
import { addHealthcheck } from "./healthcheck.ts";
import { addHelp } from "./help.ts";
import { helpText } from "./help-text.ts";
import { addInit } from "./init.ts";
import { addNode } from "./node.ts";
import { createPrinter, type Format, failureLines } from "./print.ts";
import { addServer } from "./server.ts";
import { addStatus } from "./status.ts";
import { addToken } from "./token.ts";
import { usageError } from "./usage.ts";
import { addVersion } from "./version.ts";

/** Runs one command line, without the two words before it (`node`, the script). Never throws. */
export async function runCli(context: CliContext, args: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  let verbose = false;
  const declare = createDeclare(<Flags>(handler: (cli: Cli, flags: Flags, ...rest: string[]) => Promise<ExitCode>) => {
    return async (...given: unknown[]) => {
      // commander passes the arguments, the flags, and the command itself.
      const command = given[given.length - 1] as Command;
      const flags = given[given.length - 2] as Flags;
      const texts = given
        .slice(0, -2)
        .flat()
        .filter((each): each is string => typeof each === "string");
      const shared = sharedFlagsOf(command);
      verbose = shared.verbose === true;
      checkNeeds(command, declare);
      code = await handler(cliFor(context, command, declare), flags, ...texts);
    };
  });
  try {
    const program = buildProgram(declare, context);
    if (args.length === 0) {
      context.err.write(helpText(program, declare, context.err.columns() ?? 80));
      return 2;
    }
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof HelpShown) return error.exit;
    const failure = asCliError(error, "it failed");
    for (const line of failureLines(failure.message, failure.cure)) context.err.write(`${line}\n`);
    if (verbose) context.err.write(`${causesOf(failure)}\n`);
    return failure.exit;
  }
}

/** The tree of commands, without running anything: for help, completion and tests. */
export function buildProgram(declare: Declare, context: CliContext): Command {
  const program = new Command("signet");
  program.summary("an internal CA and mTLS identity issuer");
  program.description("Signet: an internal CA that gives every workload a short-lived identity and renews it.");
  declare.examples(program, [
    "signet demo",
    "signet init --trust-domain prod.example",
    "signet entry create --id /svc/a --agent one",
    "signet help environment",
  ]);
  hideShared(program);
  program.option("-V, --version", "the version of this program");
  program.action(
    declare.run(async (cli, flags: { version?: boolean }) => {
      if (flags.version === true) return (await import("./version.ts")).showVersion(cli);
      throw wrongUse("no command", "signet --help");
    }),
  );
  for (const add of [addInit, addServer, addAgent, addToken, addEntry, addNode, addCert, addExplain, addAuthority]) {
    add(program, declare);
  }
  for (const add of [addBundle, addStatus, addHealthcheck, addDoctor, addDemo, addEnv, addVersion])
    add(program, declare);
  addHelp(program, declare);
  addCompletion(program, declare);
  settle(program, declare, context);
  return program;
}

class HelpShown extends Error {
  override readonly name = "HelpShown";
  readonly exit: ExitCode;
  constructor(exit: ExitCode) {
    super("help was shown");
    this.exit = exit;
  }
}

// Our help, our words for wrong use, and no exit in the middle, for every command of the tree.
function settle(command: Command, declare: Declare, context: CliContext): void {
  command
    .helpOption("-h, --help", "this text")
    .helpCommand(false)
    .enablePositionalOptions()
    .showSuggestionAfterError(false)
    .allowExcessArguments(false)
    .configureHelp({ formatHelp: (each) => helpText(each, declare, context.out.columns() ?? 80) })
    .configureOutput({
      writeOut: (text) => context.out.write(text),
      writeErr: (text) => context.err.write(text),
      outputError: () => undefined,
    })
    .exitOverride((error) => {
      if (error.code === "commander.helpDisplayed") throw new HelpShown(0);
      // A noun without a verb shows its help where errors go.
      if (error.code === "commander.help") throw new HelpShown(2);
      throw error instanceof CommanderError ? usageError(error, command) : error;
    });
  for (const each of command.commands) settle(each, declare, context);
}

function cliFor(context: CliContext, command: Command, declare: Declare): Cli {
  const shared = sharedFlagsOf(command);
  const outputs = declare.facts(command)?.outputs ?? tableFormats;
  const asked = shared.output;
  if (asked !== undefined && !outputs.includes(asked)) {
    throw wrongUse(
      `-o ${asked}: ${pathOf(command)} writes ${outputs.join(", ")}`,
      `${pathOf(command)} -o ${outputs[1] ?? "json"}`,
    );
  }
  const format: Format = asked === "json" || asked === "yaml" ? asked : "table";
  const print = createPrinter(
    { out: context.out, err: context.err },
    { format, quiet: shared.quiet === true, env: context.env },
  );
  return { ...context, print, shared, path: pathOf(command) };
}

function checkNeeds(command: Command, declare: Declare): void {
  for (const flag of declare.facts(command)?.needs ?? []) {
    const option = command.options.find((each) => each.long === flag);
    if (option !== undefined && command.getOptionValue(option.attributeName()) === undefined) {
      throw wrongUse(`${pathOf(command)} needs ${option.flags.replace(/[<>]/g, "")}`, `${pathOf(command)} --help`);
    }
  }
}

function causesOf(failure: CliError): string {
  const lines: string[] = [];
  for (let each: unknown = failure; each instanceof Error; each = each.cause) {
    lines.push(...(each.stack ?? each.message).split("\n").map((line) => `  ${line}`));
  }
  return lines.join("\n");
}
