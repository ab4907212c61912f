// Configuration: a YAML file, SIGNET_* variables and flags, laid over each other and judged by one schema. Every error
// names the setting, where it came from, and what would be right.
import { readFile, stat } from "node:fs/promises";
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, visit } from "yaml";
import { z } from "zod";
import { printable, foreign } from "./foreign-text.ts";
import { nearest } from "./nearest.ts";

export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Where a setting came from: the file with its line, a variable, a flag, or nothing. */
export interface Source {
  readonly kind: "file" | "environment" | "flag" | "default";
  /** Such as "server.yaml line 3", "SIGNET_LISTEN_API", "--data-dir". */
  readonly name: string;
}

export interface ConfigInput {
  /** Text of the file and how messages call it; undefined: no file. */
  readonly file?: { readonly name: string; readonly text: string } | undefined;
  /** Dotted path to text. */
  readonly environment: ReadonlyMap<string, { readonly name: string; readonly text: string }>;
  readonly flags: ReadonlyMap<string, { readonly name: string; readonly text: string }>;
}

export interface LoadedConfig<T> {
  readonly config: T;
  /** By dotted path. */
  readonly sources: ReadonlyMap<string, Source>;
}

const maxFileBytes = 1024 * 1024;

/** Reads a file that only its owner may write. Throws ConfigError. */
export async function readConfigFile(path: string): Promise<{ readonly name: string; readonly text: string }> {
  try {
    const found = await stat(path);
    if (!found.isFile()) throw new ConfigError(`${path} is not a file`);
    if ((found.mode & 0o022) !== 0) {
      throw new ConfigError(`${path} can be written by others (mode ${(found.mode & 0o777).toString(8)}): chmod go-w ${path}`);
    }
    if (found.size > maxFileBytes) throw new ConfigError(`${path} has ${found.size} bytes, at most ${maxFileBytes} are taken`);
    return { name: path, text: await readFile(path, "utf8") };
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unreadable";
    throw new ConfigError(code === "ENOENT" ? `there is no file ${path}` : `${path} cannot be read: ${code}`, { cause });
  }
}

/** Judges the whole. Throws ConfigError with one line. */
export function loadConfig<S extends z.ZodObject>(schema: S, input: ConfigInput): LoadedConfig<z.output<S>> {
  const sources = new Map<string, Source>();
  const values = input.file === undefined ? {} : parseFile(schema, input.file, sources);
  for (const [kind, layer] of [["environment", input.environment], ["flag", input.flags]] as const) {
    for (const [path, { name, text }] of layer) {
      put(values, path.split("."), text);
      sources.set(path, { kind, name });
    }
  }
  const judged = schema.safeParse(values);
  if (!judged.success) throw new ConfigError(describe(judged.error.issues[0], { values, sources, file: input.file?.name }));
  return { config: judged.data, sources };
}

/** The setting of each SIGNET_* variable: SIGNET_ and the dotted path in capitals. Lists have no variable. */
export function settingPaths(schema: z.ZodObject): readonly string[] {
  return Object.entries(schema.shape).flatMap(([name, field]) => {
    const inner = objectOf(field as z.ZodType);
    return inner === undefined ? [name] : settingPaths(inner).map((path) => `${name}.${path}`);
  });
}

export function variableName(path: string): string {
  return `SIGNET_${path.replaceAll(".", "_").toUpperCase()}`;
}

/**
 * Picks the settings out of the environment. An unknown SIGNET_* is refused with the nearest one; `others` are
 * variables that are no settings, or settings of another process that inherits the same environment.
 */
export function environmentSettings(
  schema: z.ZodObject,
  env: Readonly<Record<string, string | undefined>>,
  others: readonly string[],
): ReadonlyMap<string, { readonly name: string; readonly text: string }> {
  const byName = new Map(settingPaths(schema).map((path) => [variableName(path), path]));
  const found = new Map<string, { readonly name: string; readonly text: string }>();
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith("SIGNET_") || text === undefined || text === "") continue;
    const path = byName.get(name);
    if (path !== undefined) found.set(path, { name, text });
    else if (!others.includes(name)) {
      const near = nearest(name, [...byName.keys(), ...others]);
      throw new ConfigError(`unknown variable ${foreign(name)}${near === undefined ? "" : `: the nearest is ${near}`}`);
    }
  }
  return found;
}

function parseFile(
  schema: z.ZodObject,
  file: { readonly name: string; readonly text: string },
  sources: Map<string, Source>,
): Record<string, unknown> {
  const lines = new LineCounter();
  const at = (offset: number): string => `${file.name} line ${lines.linePos(offset).line}`;
  const fail = (offset: number, message: string): never => {
    throw new ConfigError(`${at(offset)}: ${printable(message)}`);
  };
  const parsed = parseAllDocuments(file.text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [document, second] = Array.isArray(parsed) ? parsed : [];
  if (second !== undefined) fail(second.range[0], "a second document begins here, one is taken");
  if (document === undefined) return {};
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) {
    const key = /^[\w-]+/.exec(file.text.slice(problem.pos[0]))?.[0];
    const what = problem.code === "DUPLICATE_KEY" && key !== undefined ? `${key} is there twice` : lowerFirst(problem.message);
    fail(problem.pos[0], problem.code.startsWith("TAG") ? `a tag is not taken: ${what}` : what);
  }
  visit(document, {
    Alias: (_key, node) => fail(node.range?.[0] ?? 0, "an alias is not taken here, write the value out"),
  });
  if (document.contents === null) return {};
  if (!isMap(document.contents)) fail(0, "the file is a mapping of settings to values, this is not one");
  checkKeys(schema, document.contents as Node, { path: [], at, sources });
  return document.toJS() as Record<string, unknown>;
}

interface Walk {
  readonly path: readonly string[];
  readonly at: (offset: number) => string;
  readonly sources: Map<string, Source>;
}

/** Refuses unknown keys by name, and notes the line of each setting. */
function checkKeys(schema: z.ZodType, node: Node | null | undefined, walk: Walk): void {
  if (node === null || node === undefined || isAlias(node)) return;
  walk.sources.set(pathText(walk.path), { kind: "file", name: walk.at(node.range?.[0] ?? 0) });
  const item = itemOf(schema);
  if (item !== undefined && isSeq(node)) {
    for (const [index, child] of node.items.entries()) {
      checkKeys(item, child as Node, { ...walk, path: [...walk.path, String(index)] });
    }
  }
  const object = objectOf(schema);
  if (object === undefined || !isMap(node)) return;
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value) : "";
    const field = Object.hasOwn(object.shape, name) ? (object.shape[name] as z.ZodType) : undefined;
    if (field === undefined) {
      const where = walk.at((key as Node).range?.[0] ?? 0);
      throw new ConfigError(`${where}: ${pathText([...walk.path, foreign(name)])}: ${unknownKey(name, Object.keys(object.shape))}`);
    }
    checkKeys(field, value as Node, { ...walk, path: [...walk.path, name] });
  }
}

function unknownKey(name: string, known: readonly string[]): string {
  const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll("-", "_");
  if (snake !== name && known.includes(snake)) return `this file is snake_case: ${snake}`;
  const near = nearest(name, known);
  return near === undefined ? `unknown key, known are ${known.join(", ")}` : `unknown key, the nearest is ${near}`;
}

function describe(
  issue: z.core.$ZodIssue | undefined,
  seen: { readonly values: unknown; readonly sources: ReadonlyMap<string, Source>; readonly file: string | undefined },
): string {
  if (issue === undefined) return "the configuration is not valid";
  const path = issue.path.map(String);
  const value = path.reduce<unknown>((at, key) => (isRecord(at) ? at[key] : undefined), seen.values);
  const source = seen.sources.get(pathText(path)) ?? seen.sources.get(path.join("."));
  const where = source === undefined ? (seen.file === undefined ? "" : `${seen.file}: `) : `${source.name}: `;
  if (value === undefined && issue.code === "invalid_type") {
    return `${where}${pathText(path)} is missing`;
  }
  const shown = value === undefined || isRecord(value) ? "" : `, got ${foreign(typeof value === "string" ? value : JSON.stringify(value))}`;
  const names: Readonly<Record<string, string>> = { array: "a list", string: "text", object: "a mapping", record: "a mapping", number: "a number", int: "a whole number" };
  if (issue.code === "invalid_type") return `${where}${pathText(path)} must be ${names[issue.expected] ?? issue.expected}${shown}`;
  return `${where}${pathText(path)}: ${printable(issue.message)}${issue.message.includes("got ") ? "" : shown}`;
}

/** The object behind optional and default, or undefined. */
function objectOf(schema: z.ZodType): z.ZodObject | undefined {
  const inner = innermost(schema);
  return inner instanceof z.ZodObject ? inner : undefined;
}

function itemOf(schema: z.ZodType): z.ZodType | undefined {
  const inner = innermost(schema);
  return inner instanceof z.ZodArray ? (inner.element as z.ZodType) : undefined;
}

function innermost(schema: z.ZodType): z.ZodType {
  let at = schema;
  for (;;) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodDefault || at instanceof z.ZodPrefault) at = at.unwrap() as z.ZodType;
    else if (at instanceof z.ZodPipe) at = at.in as z.ZodType;
    else return at;
  }
}

/** identities, 0, dir → identities[0].dir */
function pathText(path: readonly string[]): string {
  return path.reduce((text, key) => (/^\d+$/.test(key) ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`), "");
}

function put(values: Record<string, unknown>, path: readonly string[], text: string): void {
  const [head = "", ...rest] = path;
  if (rest.length === 0) {
    values[head] = text;
    return;
  }
  if (!isRecord(values[head])) values[head] = {};
  put(values[head] as Record<string, unknown>, rest, text);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function lowerFirst(text: string): string {
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}
