// signet completion: shell scripts made from the tree of commands.
import type { Command } from "commander";
import type { Declare } from "./command.ts";
import { type ExitCode, wrongUse } from "./failure.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

/** One point of the command line: the words before it, and what may follow. */
export interface CompletionPoint {
  /** `entry create`; empty at the beginning. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly text: string }[];
  readonly flags: readonly { readonly flag: string; readonly text: string; readonly takesValue: boolean }[];
}

export function addCompletion(program: Command, declare: Declare): void {
  declare
    .verb(program, "completion <SHELL>", {
      summary: "a completion script for bash, zsh or fish",
      examples: ["source <(signet completion bash)", "signet completion fish > ~/.config/fish/completions/signet.fish"],
      reach: "none",
    })
    .action(
      declare.run(async (cli, _flags: unknown, name: string): Promise<ExitCode> => {
        const shell = shells.find((each) => each === name);
        if (shell === undefined)
          throw wrongUse(`no completion for ${name}: there is one for ${shells.join(", ")}`, "signet completion bash");
        cli.print.raw(completionScript(shell, completionPoints(program)));
        return 0;
      }),
    );
}

/** Every point of the tree, from the program down. */
function completionPoints(program: Command): readonly CompletionPoint[] {
  const points: CompletionPoint[] = [];
  const visit = (command: Command, path: readonly string[]): void => {
    points.push({
      path: path.join(" "),
      words: [
        ...command.commands.map((each) => ({ word: each.name(), text: each.summary() })),
        ...(argumentWords[path.join(" ")] ?? []).map((word) => ({ word, text: "" })),
      ],
      flags: [
        ...command.options
          .filter((option) => !option.hidden)
          .map((option) => ({
            flag: option.long ?? option.flags,
            text: option.description,
            takesValue: option.required,
          })),
        { flag: "--help", text: "help", takesValue: false },
      ],
    });
    for (const each of command.commands) visit(each, [...path, each.name()]);
  };
  visit(program, []);
  return points;
}

const argumentWords: Readonly<Record<string, readonly string[]>> = {
  completion: shells,
  help: ["environment", "exit-codes", "files"],
};

function completionScript(shell: Shell, points: readonly CompletionPoint[]): string {
  switch (shell) {
    case "bash":
      return bashScript(points);
    case "zsh":
      return zshScript(points);
    case "fish":
      return fishScript(points);
  }
}

// Walks the words typed so far down the tree: a word that continues a known path extends it, a flag and the value of a
// flag are passed over.
function walk(points: readonly CompletionPoint[], words: string, first: string): readonly string[] {
  const paths = points.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  const valued = [
    ...new Set(points.flatMap(({ flags }) => flags.filter(({ takesValue }) => takesValue).map(({ flag }) => flag))),
  ];
  return [
    `  local at="" word next skip=0`,
    `  for word in "\${${words}[@]:${first}}"; do`,
    `    if [[ $skip == 1 ]]; then skip=0; continue; fi`,
    `    case "$word" in`,
    `      ${[...valued, "-o", "-c"].join("|")}) skip=1; continue ;;`,
    `      -*) continue ;;`,
    `    esac`,
    `    next="\${at:+$at }$word"`,
    `    case "$next" in`,
    `      ${paths.join("|")}) at="$next" ;;`,
    `    esac`,
    `  done`,
  ];
}

function bashScript(points: readonly CompletionPoint[]): string {
  return lines([
    "# bash completion of signet",
    "_signet() {",
    '  local cur="${COMP_WORDS[COMP_CWORD]}"',
    '  local before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")',
    ...walk(points, "before", "0"),
    '  local candidates=""',
    '  case "$at" in',
    ...points.map(
      ({ path, words, flags }) =>
        `    "${path}") candidates="${[...words.map(({ word }) => word), ...flags.map(({ flag }) => flag)].join(" ")}" ;;`,
    ),
    "  esac",
    "  if [[ $skip == 1 ]]; then COMPREPLY=(); return; fi",
    '  COMPREPLY=($(compgen -W "$candidates" -- "$cur"))',
    "}",
    "complete -o default -F _signet signet",
  ]);
}

function zshScript(points: readonly CompletionPoint[]): string {
  return lines([
    "#compdef signet",
    "_signet() {",
    '  local before=("${(@)words[2,CURRENT-1]}")',
    ...walk(points, "before", "0"),
    "  if [[ $skip == 1 ]]; then _files; return; fi",
    "  local -a candidates",
    '  case "$at" in',
    ...points.map(({ path, words, flags }) => {
      const items = [
        ...words.map(({ word, text }) => zshItem(word, text)),
        ...flags.map(({ flag, text }) => zshItem(flag, text)),
      ];
      return `    "${path}") candidates=(${items.join(" ")}) ;;`;
    }),
    "  esac",
    "  _describe signet candidates || _files",
    "}",
    'if [[ "$funcstack[1]" == "_signet" ]]; then _signet "$@"; else compdef _signet signet; fi',
  ]);
}

function zshItem(word: string, text: string): string {
  return quoted(text === "" ? word : `${word}:${text.replaceAll(":", "\\:")}`);
}

function fishScript(points: readonly CompletionPoint[]): string {
  const paths = points.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  return lines([
    "# fish completion of signet",
    "function __signet_at",
    "  set -l at ''",
    "  for word in (commandline -opc)[2..-1]",
    "    if string match -q -- '-*' $word; continue; end",
    '    set -l next (string trim "$at $word")',
    `    if contains -- $next ${paths.join(" ")}; set at $next; end`,
    "  end",
    '  test "$at" = "$argv[1]"',
    "end",
    "complete -c signet -f",
    ...points.flatMap(({ path, words, flags }) => {
      const condition = quoted(`__signet_at ${path === "" ? "''" : `"${path}"`}`);
      return [
        ...words.map(({ word, text }) => `complete -c signet -n ${condition} -a ${quoted(word)} -d ${quoted(text)}`),
        ...flags.map(
          ({ flag, text, takesValue }) =>
            `complete -c signet -n ${condition} -l ${flag.replace(/^--/, "")} -d ${quoted(text)}${takesValue ? " -r -F" : ""}`,
        ),
      ];
    }),
  ]);
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "'\\''")}'`;
}

function lines(parts: readonly string[]): string {
  return `${parts.join("\n")}\n`;
}
