// The help of every command, at 80 columns, from commander's tree.
import type { Argument, Command, Option } from "commander";
import { type Declare, pathOf } from "./command.ts";
import { wrap } from "./layout.ts";

const widest = 80;

/** The help of a command: what it does, how it is called, its flags, an example. */
export function helpText(command: Command, declare: Declare, columns: number): string {
  const width = Math.min(widest, Math.max(columns, 40));
  const known = declare.facts(command);
  const own = visible(command).filter((option) => known?.sharedFlags.has(option.long ?? "") !== true);
  const shared = visible(command).filter((option) => known?.sharedFlags.has(option.long ?? "") === true);
  const termWidth = Math.min(30, Math.max(...[...own, ...shared].map((option) => term(option).length), 0));
  const listed = (options: readonly Option[]): readonly string[] =>
    options.flatMap((option) => item(term(option), option.description, termWidth, width));
  const commands = command.commands.filter((each) => !isHidden(each));
  const nameWidth = Math.max(...commands.map((each) => callOf(each).length), 0);
  const sections: (readonly string[])[] = [
    wrap(command.description(), width),
    ...(known?.description ?? []).map((paragraph) => wrap(paragraph, width)),
    [`usage: ${usageOf(command, [...(known?.needs ?? []), ...(known?.asks ?? [])])}`],
    titled(
      "commands:",
      commands.flatMap((each) => item(callOf(each), each.summary(), nameWidth, width)),
    ),
    titled("flags:", listed(own)),
    titled("shared flags:", listed(shared)),
    titled(
      (known?.examples.length ?? 0) > 1 ? "examples:" : "example:",
      (known?.examples ?? []).map((example) => `  ${example}`),
    ),
  ];
  return `${sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join("\n"))
    .join("\n\n")}\n`;
}

/** `--agent NAME`, `--wait [10s]`; commander's own form has angle brackets. */
function term(option: Option): string {
  return plainTerm(option.short === undefined ? `    ${option.flags}` : option.flags);
}

function plainTerm(text: string): string {
  return text.replace(/<([^>]+)>/g, "$1");
}

function usageOf(command: Command, needs: readonly string[]): string {
  const path = pathOf(command);
  const runs = command.registeredArguments.map(argumentTerm);
  const needed = command.options
    .filter((option) => needs.includes(option.long ?? ""))
    .map((option) => plainTerm(option.flags));
  const rest = visible(command).length > needed.length ? ["[flags]"] : [];
  if (command.commands.length === 0) return [path, ...runs, ...needed, ...rest].join(" ");
  if (command.parent === null) return `${path} COMMAND`;
  // A noun that does something by itself, as `signet agent`.
  return rest.length === 0 ? `${path} VERB` : `${path} [VERB] [flags]`;
}

function argumentTerm(argument: Argument): string {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return argument.required ? name : `[${name}]`;
}

function callOf(command: Command): string {
  return [command.name(), ...command.registeredArguments.map(argumentTerm)].join(" ");
}

function visible(command: Command): readonly Option[] {
  return command.options.filter((option) => !option.hidden);
}

function isHidden(command: Command): boolean {
  return "_hidden" in command && command._hidden === true;
}

function item(name: string, text: string, nameWidth: number, width: number): readonly string[] {
  const indent = nameWidth + 4;
  const lines = wrap(text, Math.max(width - indent, 20));
  if (name.length > nameWidth) return [`  ${name}`, ...lines.map((line) => " ".repeat(indent) + line)];
  return lines.map((line, index) => `  ${(index === 0 ? name : "").padEnd(nameWidth)}  ${line}`.trimEnd());
}

function titled(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [title, ...lines];
}
