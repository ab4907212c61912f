// A configuration in force, as a file that would bring it about, each setting with where it came from.
import type { ListedSetting } from "./config-file.ts";
import type { JsonSchema, Setting } from "./settings.ts";

/** The settings as YAML, nested, with their sources as comments. Settings without a value are left out. */
export function configText(settings: readonly ListedSetting[]): string {
  const lines: string[] = [];
  let open: readonly string[] = [];
  for (const { path, value, source } of settings) {
    if (value === undefined) continue;
    const steps = path.replaceAll("[", ".[").split(".");
    const parents = steps.slice(0, -1);
    let shared = 0;
    while (shared < parents.length && parents[shared] === open[shared]) shared++;
    for (const [depth, step] of parents.entries()) {
      if (depth >= shared) lines.push(step.startsWith("[") ? `${indent(depth)}-` : `${indent(depth)}${step}:`);
    }
    open = parents;
    const last = steps.at(-1) ?? "";
    lines.push(`${indent(parents.length)}${last}: ${valueText(value)}  # ${source.name}`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function indent(depth: number): string {
  return "  ".repeat(depth);
}

function valueText(shown: string | readonly string[]): string {
  if (typeof shown !== "string") return `[${shown.map(quoted).join(", ")}]`;
  return quoted(shown);
}

/** Plain where YAML reads the same text back, else in quotes. */
function quoted(text: string): string {
  const isPlain = /^[A-Za-z/][\w./-]*$/.test(text) || /^\d+[dhms][\ddhms]*$/.test(text);
  if (/^(true|false|null|yes|no|on|off)$/i.test(text)) return JSON.stringify(text);
  return isPlain ? text : JSON.stringify(text);
}

/** JSON Schema (2020-12) of a configuration file. */
export function configJsonSchema(root: Pick<Setting<unknown>, "json">, title: string): JsonSchema {
  return { $schema: "https://json-schema.org/draft/2020-12/schema", title, ...root.json };
}
