// Configuration: a YAML file, SIGNET_* variables and flags, laid over each other and read by one declaration. Every error
// is one line that names the place, the setting, its value, and what would be right.
import type { Document, LineCounter, Node } from "yaml";
import { FileError, readTrustedFile } from "./atomic-file.ts";
import { foreign } from "./foreign-text.ts";
import { nearest } from "./nearest.ts";
import {
  ConfigError,
  faulty,
  named,
  type Raw,
  type RawEntry,
  type RawGroup,
  type Setting,
  type Settings,
  type Shown,
  type Source,
} from "./settings.ts";

/** A file as it was read, and how messages call it. */
export interface ConfigText {
  readonly name: string;
  readonly text: string;
}

export interface ConfigInput {
  readonly file?: ConfigText | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** SIGNET_* variables that mean something elsewhere: to the command line, or to another process that inherits them. */
  readonly otherVariables: readonly string[];
  /** Dotted path to text. */
  readonly flags: Readonly<Record<string, string>>;
}

/** A setting in force. */
export interface ListedSetting {
  /** Dotted, such as `listen.api`, `identities[0].dir`. */
  readonly path: string;
  /** As it would be written; undefined: not set and without default. */
  readonly value: Shown;
  readonly source: Source;
}

export interface LoadedConfig<T> {
  readonly config: T;
  readonly settings: readonly ListedSetting[];
}

const maxFileBytes = 1024 * 1024;
const maxDepth = 16;
const prefix = "SIGNET_";

/** Reads a configuration file. Refused when others may write it. Throws ConfigError. */
export async function readConfigFile(path: string): Promise<ConfigText> {
  try {
    const octets = await readTrustedFile(path, { maxBytes: maxFileBytes });
    return { name: path, text: new TextDecoder("utf-8", { fatal: true }).decode(octets) };
  } catch (error) {
    if (error instanceof FileError) throw new ConfigError(error.message, { cause: error });
    if (error instanceof TypeError) throw new ConfigError(`${path} is not text in UTF-8`, { cause: error });
    throw error;
  }
}

/** Reads the whole: flags over variables over the file over defaults. Throws ConfigError. */
export async function loadConfig<T>(root: Setting<T>, input: ConfigInput): Promise<LoadedConfig<T>> {
  const fromFile = input.file === undefined ? undefined : await parseFile(input.file);
  if (fromFile !== undefined) refuseUnknownKeys(root, fromFile, "");
  const layered = overlay(fromFile, [
    ...variablesOf(root, input),
    ...Object.entries(input.flags).map(([path, text]) => flagOf(root, path, text)),
  ]);
  const settings: ListedSetting[] = [];
  const config = root.read(layered, "", {
    fileName: input.file?.name,
    note: (path, value, source) => {
      settings.push({ path, value, source });
    },
  });
  return { config, settings };
}

/** Dotted paths of all settings that one text can give: those that are variables and flags too. */
export function textPaths(root: Pick<Setting<unknown>, "settings">): readonly string[] {
  return Object.entries(root.settings ?? {}).flatMap(([name, setting]) => {
    if (setting.settings !== undefined) return textPaths(setting).map((path) => `${name}.${path}`);
    return setting.isOneText ? [name] : [];
  });
}

/** `listen.api` as SIGNET_LISTEN_API. */
export function variableName(path: string): string {
  return `${prefix}${path.replaceAll(".", "_").toUpperCase()}`;
}

interface Given {
  readonly path: string;
  readonly text: string;
  readonly source: Source;
}

function variablesOf(root: Setting<unknown>, { env, otherVariables }: ConfigInput): readonly Given[] {
  const byName = new Map(textPaths(root).map((path) => [variableName(path), path]));
  const given: Given[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(prefix) || text === undefined) continue;
    const path = byName.get(name);
    if (path === undefined) {
      if (!otherVariables.includes(name)) throw unknownVariable(name, [...byName.keys(), ...otherVariables]);
    } else if (text !== "") {
      given.push({ path, text, source: { kind: "environment", name } });
    }
  }
  return given;
}

function unknownVariable(name: string, known: readonly string[]): ConfigError {
  // What all of them begin with says nothing about nearness.
  const withoutPrefix = known.map((each) => each.slice(prefix.length));
  const near = known.includes(`${name}_FILE`)
    ? `${name.slice(prefix.length)}_FILE`
    : nearest(name.slice(prefix.length), withoutPrefix);
  const hint = near === undefined ? "signet help environment lists them" : `the nearest is ${prefix}${near}`;
  return new ConfigError(`unknown variable ${foreign(name)}: ${hint}`);
}

function flagOf(root: Setting<unknown>, path: string, text: string): Given {
  const name = `--${path.replaceAll(/[._]/g, "-")}`;
  if (!textPaths(root).includes(path)) throw new ConfigError(`unknown setting ${foreign(path)}`);
  return { path, text, source: { kind: "flag", name } };
}

/** Lays texts over what the file says; a later one wins. */
function overlay(file: RawGroup | undefined, given: readonly Given[]): RawGroup | undefined {
  let whole = file;
  for (const { path, text, source } of given) {
    whole = put(whole, path.split("."), { kind: "scalar", text, type: "any", source });
  }
  return whole;
}

/** `at` is the path that led to `into`. What the file has in the place of a group is refused, not replaced. */
function put(into: Raw | undefined, [head = "", ...rest]: readonly string[], value: Raw, at: string = ""): RawGroup {
  if (into !== undefined && into.kind !== "group")
    throw faulty(into.source, at, `must be a mapping, got ${named(into)}`);
  const entries = new Map<string, RawEntry>(into?.kind === "group" ? into.entries : []);
  const inner =
    rest.length === 0 ? value : put(entries.get(head)?.value, rest, value, at === "" ? head : `${at}.${head}`);
  entries.set(head, { value: inner, source: value.source });
  return { kind: "group", entries, source: into?.source ?? value.source };
}

/** Unknown keys come before anything else: a slip in a name explains what seems to be missing. */
function refuseUnknownKeys(setting: Setting<unknown>, raw: Raw | undefined, path: string): void {
  if (raw?.kind === "list" && setting.item !== undefined) {
    const { item } = setting;
    for (const [index, each] of raw.items.entries()) refuseUnknownKeys(item, each, `${path}[${index}]`);
  }
  if (raw?.kind !== "group" || setting.settings === undefined) return;
  for (const [name, { value, source }] of raw.entries) {
    const below = path === "" ? name : `${path}.${name}`;
    if (!Object.hasOwn(setting.settings, name))
      throw faulty(source, shortPath(path, name), unknownKey(name, setting.settings));
    const known = setting.settings[name];
    if (known !== undefined) refuseUnknownKeys(known, value, below);
  }
}

function shortPath(path: string, name: string): string {
  return path === "" ? foreign(name) : `${path}.${foreign(name)}`;
}

function unknownKey(name: string, known: Settings): string {
  const names = Object.keys(known);
  const snake = name
    .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    .replaceAll("-", "_")
    .replace(/^_/, "");
  if (snake !== name && names.includes(snake)) return `this file is snake_case: ${snake}`;
  const near = nearest(name, names);
  return near === undefined ? `unknown key; known here are ${names.join(", ")}` : `unknown key, the nearest is ${near}`;
}

/** The file as raw values with their lines; undefined when it is empty. Throws ConfigError. */
async function parseFile({ name, text }: ConfigText): Promise<RawGroup | undefined> {
  const yaml = await import("yaml");
  const lines = new yaml.LineCounter();
  try {
    const documents = yaml.parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: true,
      version: "1.2",
      schema: "core",
      merge: false,
      logLevel: "silent",
    });
    const [document, second] = Array.isArray(documents) ? documents : [];
    const place: Place = { yaml, name, lines, text };
    if (second !== undefined && second.errors[0]?.code !== "UNEXPECTED_TOKEN") {
      throw at(place, second.range[0], "a second YAML document begins before this line, a file holds one");
    }
    return document === undefined ? undefined : rootOf(document as Document, place);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    // The library's own limits, such as the call stack at a thousand nested brackets.
    throw new ConfigError(`${name} cannot be read as YAML`, { cause: error });
  }
}

interface Place {
  readonly yaml: typeof import("yaml");
  readonly name: string;
  readonly lines: LineCounter;
  readonly text: string;
}

function at(place: Place, offset: number, fault: string): ConfigError {
  return faulty(sourceOf(place, offset), "", fault);
}

function sourceOf({ name, lines, text }: Place, offset: number): Source {
  return { kind: "file", name: `${name} line ${lines.linePos(Math.min(offset, text.length)).line}` };
}

function rootOf(document: Document, place: Place): RawGroup | undefined {
  const { yaml } = place;
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw at(place, problem.pos[0], faultOf(problem, place.text));
  yaml.visit(document, {
    Alias: (_key, node) => {
      throw at(place, node.range?.[0] ?? 0, `an alias (*${foreign(node.source)}) is not taken: write the value out`);
    },
  });
  if (document.contents === null) return undefined;
  const raw = rawOf(document.contents as Node, place, 0);
  if (raw === undefined) return undefined;
  if (raw.kind !== "group") {
    throw at(
      place,
      (document.contents as Node).range?.[0] ?? 0,
      "the file must be a mapping of settings, such as trust_domain: prod.example",
    );
  }
  return raw;
}

function faultOf(
  problem: { readonly code: string; readonly message: string; readonly pos: readonly [number, number] },
  text: string,
): string {
  const word = /^[\w.-]{1,64}/.exec(text.slice(problem.pos[0], problem.pos[0] + 64))?.[0];
  if (problem.code === "DUPLICATE_KEY") return `${word ?? "a key"} is there twice`;
  if (problem.code === "TAB_AS_INDENT") return "a tab stands where YAML wants spaces";
  if (problem.message.includes("call stack")) return "not YAML that can be read: nested too deeply";
  const first = (problem.message.split("\n")[0] ?? "").replace(/\.$/, "");
  const message = `${first.charAt(0).toLowerCase()}${first.slice(1)}`;
  return problem.code === "TAG_RESOLVE_FAILED" ? `a tag is not taken here: ${message}` : `not YAML: ${message}`;
}

function rawOf(node: Node | null | undefined, place: Place, depth: number): Raw | undefined {
  const { yaml } = place;
  if (node === null || node === undefined) return undefined;
  const offset = node.range?.[0] ?? 0;
  const source = sourceOf(place, offset);
  if (depth > maxDepth) throw at(place, offset, `more than ${maxDepth} levels deep`);
  if (yaml.isSeq(node)) {
    return { kind: "list", items: node.items.map((item) => rawOf(item as Node | null, place, depth + 1)), source };
  }
  if (yaml.isMap(node)) {
    const entries = new Map<string, RawEntry>();
    for (const { key, value } of node.items) {
      if (!yaml.isScalar(key)) throw at(place, (key as Node | null)?.range?.[0] ?? offset, "a key must be a word");
      const keySource = sourceOf(place, key.range?.[0] ?? offset);
      entries.set(String(key.value), { value: rawOf(value as Node | null, place, depth + 1), source: keySource });
    }
    return { kind: "group", entries, source };
  }
  if (!yaml.isScalar(node)) return undefined;
  const { value } = node;
  if (value === null) return undefined;
  if (typeof value === "string") return { kind: "scalar", text: value, type: "text", source };
  const type = typeof value === "boolean" ? "boolean" : "number";
  return { kind: "scalar", text: node.source ?? "", type, source };
}
