// How commands are declared: commander's tree with our shared flags, our help, and one way to run a handler.
import type { Command } from "commander";
import { parseDuration } from "../platform/durations.ts";
import type { Handler, SharedFlags } from "./context.ts";
import { reasonOf, wrongUse } from "./failure.ts";

/** Which of the shared flags a command takes: those of a call to the server, to the agent, of a process, or of neither. */
export type Reach = "admin" | "agent" | "process" | "local" | "none";

export interface CommandText {
  readonly summary: string;
  /** More than the summary says, a paragraph each. */
  readonly description?: readonly string[];
  /** Commands to paste; each command has one at least. */
  readonly examples: readonly string[];
  readonly reach: Reach;
  /** Flags that must be given, as `--agent`. An unknown flag is told of first: it may be one of these, misspelt. */
  readonly needs?: readonly string[];
  /** Flags of the usage line that a variable or the configuration may stand for. */
  readonly asks?: readonly string[];
  /** Values that -o takes, when they are not table, json and yaml. */
  readonly outputs?: readonly string[];
}

export interface GroupText {
  readonly summary: string;
  readonly examples: readonly string[];
}

/** What help and completion know of a command beyond what commander keeps. */
export interface CommandFacts {
  readonly description: readonly string[];
  readonly examples: readonly string[];
  readonly outputs: readonly string[];
  readonly sharedFlags: ReadonlySet<string>;
  readonly needs: readonly string[];
  readonly asks: readonly string[];
}

/** Declares commands and runs their handlers. */
export interface Declare {
  /** A noun. */
  group(parent: Command, name: string, text: GroupText): Command;
  /** A verb, or a command of one word. `name` may hold arguments, as in `show <ENTRY>`. */
  verb(parent: Command, name: string, text: CommandText): Command;
  /** The action of a command: `command.action(declare.run(handler))`. */
  run<Flags>(handler: Handler<Flags>): (...args: unknown[]) => Promise<void>;
  facts(command: Command): CommandFacts | undefined;
  /** What help shows below the commands of a command that others are under. */
  examples(command: Command, examples: readonly string[]): void;
}

export const tableFormats: readonly string[] = ["table", "json", "yaml"];

const outputFlag = "-o, --output <FORMAT>";
const flagTexts: Readonly<Record<string, string>> = {
  [outputFlag]: "table, json or yaml",
  "-q, --quiet": "only the bare value, no hints",
  "-v, --verbose": "say more about what is done and why it failed",
  "--data-dir <DIR>": "the data directory",
  "-c, --config <FILE>": "the configuration file",
  "--admin <ADDRESS>": "the server's admin socket",
};
const reaches: Readonly<Record<Reach, readonly string[]>> = {
  admin: [outputFlag, "-q, --quiet", "-v, --verbose", "--data-dir <DIR>", "-c, --config <FILE>", "--admin <ADDRESS>"],
  agent: [outputFlag, "-q, --quiet", "-v, --verbose", "--data-dir <DIR>", "-c, --config <FILE>"],
  process: ["-v, --verbose", "--data-dir <DIR>", "-c, --config <FILE>"],
  local: [outputFlag, "-q, --quiet", "-v, --verbose"],
  none: [],
};

export function createDeclare(run: Declare["run"]): Declare {
  const known = new WeakMap<Command, CommandFacts>();
  const noFacts = { description: [], outputs: tableFormats, needs: [], asks: [], sharedFlags: new Set<string>() };
  const examples: Declare["examples"] = (command, texts) => void known.set(command, { ...noFacts, examples: texts });
  return {
    group: (parent, name, text) => {
      const command = parent.command(name).summary(text.summary).description(text.summary);
      hideShared(command);
      examples(command, text.examples);
      return command;
    },
    verb: (parent, name, text) => {
      const command = parent.command(name).summary(text.summary).description(text.summary);
      known.set(command, {
        description: text.description ?? [],
        examples: text.examples,
        outputs: text.outputs ?? tableFormats,
        needs: text.needs ?? [],
        asks: text.asks ?? [],
        sharedFlags: addShared(command, text.reach, text.outputs),
      });
      return command;
    },
    run,
    facts: (command) => known.get(command),
    examples,
  };
}

function addShared(command: Command, reach: Reach, outputs: readonly string[] | undefined): ReadonlySet<string> {
  for (const flags of reaches[reach]) {
    const listed = outputs === undefined ? flagTexts[flags] : flags === outputFlag ? listOf(outputs) : flagTexts[flags];
    command.option(flags, listed);
  }
  return new Set(command.options.map((option) => option.long ?? ""));
}

/** Flags that may stand before a verb, as in `signet --data-dir D entry list`. */
export function hideShared(command: Command): void {
  for (const flags of reaches.admin) command.addOption(command.createOption(flags, flagTexts[flags]).hideHelp());
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words[words.length - 1] ?? ""}`;
}

/** The shared flags as they are in force: a flag nearer to the verb wins over one that stands before it. */
export function sharedFlagsOf(command: Command): SharedFlags {
  const names = ["output", "quiet", "verbose", "dataDir", "config", "admin"];
  const held: Record<string, unknown> = {};
  for (let each: Command | null = command; each !== null; each = each.parent) {
    for (const name of names) {
      if (held[name] === undefined && each.getOptionValueSource(name) === "cli") held[name] = each.getOptionValue(name);
    }
  }
  return held;
}

/** `signet entry create`. */
export function pathOf(command: Command): string {
  const names: string[] = [];
  for (let each: Command | null = command; each !== null; each = each.parent) names.unshift(each.name());
  return names.join(" ");
}

/** Reads a flag that is a duration, to seconds. */
export function duration(flag: string): (text: string) => number {
  return (text) => {
    try {
      return parseDuration(text);
    } catch (error) {
      throw wrongUse(`${flag}: ${reasonOf(error)}`, undefined, error);
    }
  };
}

/** Reads a flag that is the life of something, to seconds. On the wire 0 is the life by default: nobody who types it means that. */
export function life(flag: string): (text: string) => number {
  return (text) => {
    const seconds = duration(flag)(text);
    if (seconds === 0) throw wrongUse(`${flag} ${text}: a life is 1 s at least`);
    return seconds;
  };
}

/** Reads a flag that is a SPIFFE ID or its path. */
export function idOrPath(flag: string): (text: string) => string {
  return (text) => {
    if (!/^[\w.-]+(\/[\w.-]+)*$/.test(text)) return text; // It has a slash before or a scheme, or the server says what it is.
    throw wrongUse(`${flag} ${text}: the path of a SPIFFE ID begins with /`, `${flag} /${text}`);
  };
}

/** Reads a flag that is a whole number from `least` on. */
export function wholeNumber(flag: string, least = 0): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < least)
      throw wrongUse(`${flag} ${text}: not a whole number from ${least} on`);
    return value;
  };
}

/** Gathers a flag that may be given several times. */
export function each(text: string, former: readonly string[] | undefined): readonly string[] {
  return [...(former ?? []), text];
}

/** --dry-run, --yes and --reason of what destroys or loosens. */
export function riskFlags(command: Command): Command {
  return command
    .option("--dry-run", "only show what it would touch")
    .option("--yes", "do not ask; needed where there is no terminal")
    .option("--reason <TEXT>", "why, for the audit log");
}
