// What a configuration may hold: settings declared once, each with what it means, its default and its check. The same
// declaration reads files, variables and flags, lists what is in force, and makes the JSON Schema. (A schema library
// would do the half of this and cost a hundred milliseconds of every start.)
import { AddressError, parseAddress } from "./address.ts";
import { DurationError, parseDuration, writeDuration } from "./durations.ts";
import { foreign, printable } from "./foreign-text.ts";
import { nearest } from "./nearest.ts";

/** A configuration that cannot be used: one line with where, which setting, its value, and what would be right. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Where a setting came from. `name` is for people: `server.yaml line 3`, `SIGNET_LISTEN_API`, `--data-dir`. */
export interface Source {
  readonly kind: "file" | "environment" | "flag" | "default";
  readonly name: string;
}

/** A value as it was written, before anything is known of its meaning. `any`: a variable or flag, which has no type. */
export interface RawScalar {
  readonly kind: "scalar";
  readonly text: string;
  readonly type: "text" | "number" | "boolean" | "any";
  readonly source: Source;
}

export interface RawList {
  readonly kind: "list";
  readonly items: readonly (Raw | undefined)[];
  readonly source: Source;
}

export interface RawGroup {
  readonly kind: "group";
  readonly entries: ReadonlyMap<string, RawEntry>;
  readonly source: Source;
}

export interface RawEntry {
  /** Undefined when nothing was written after the key. */
  readonly value: Raw | undefined;
  /** Of the key. */
  readonly source: Source;
}

export type Raw = RawScalar | RawList | RawGroup;

/** A value as it stands in a listing. */
export type Shown = string | readonly string[] | undefined;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Takes notes while settings are read. */
export interface Reading {
  /** The file, as messages call it. */
  readonly fileName: string | undefined;
  /** What is in force at a dotted path, and where it came from. */
  note(path: string, shown: Shown, source: Source): void;
}

/** How the text of one setting is read. `complain` throws. */
export interface Kind<T> {
  readonly json: JsonSchema;
  /** True where the characters count as they were written, whatever type YAML sees in them: `0600`, `1000`. */
  readonly asWritten?: boolean;
  read(raw: Raw, complain: (fault: string) => never): T;
}

/** One setting, or a group or list of them. */
export interface Setting<T> {
  readonly help: string;
  readonly json: JsonSchema;
  readonly isRequired: boolean;
  /** The settings of a group. */
  readonly settings?: Settings;
  /** The group that a list holds. */
  readonly item?: Setting<unknown>;
  /** Given by one text: it can be a variable or a flag. */
  readonly isOneText: boolean;
  read(raw: Raw | undefined, path: string, reading: Reading): T;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [Name in keyof S]: S[Name] extends Setting<infer T> ? T : never };

const byDefaultSource: Source = { kind: "default", name: "default" };

/** A setting that must be there. */
export function required<T>(kind: Kind<T>, help: string): Setting<T> {
  return {
    ...oneText(kind, help),
    isRequired: true,
    read: (raw, path, reading) => {
      if (raw === undefined) throw missing(path, reading);
      return readKind(kind, raw, { path, reading });
    },
  };
}

/** A setting that need not be there. */
export function optional<T>(kind: Kind<T>, help: string): Setting<T | undefined> {
  return {
    ...oneText(kind, help),
    read: (raw, path, reading) => {
      if (raw !== undefined) return readKind(kind, raw, { path, reading });
      reading.note(path, undefined, byDefaultSource);
      return undefined;
    },
  };
}

/** A setting with a default, written as in a file. */
export function withDefault<T>(kind: Kind<T>, byDefault: string, help: string): Setting<T> {
  const raw: RawScalar = { kind: "scalar", text: byDefault, type: "any", source: byDefaultSource };
  const setting = oneText(kind, help);
  const value = kind.json["type"] === "number" || kind.json["type"] === "integer" ? Number(byDefault) : byDefault;
  return {
    ...setting,
    json: { ...setting.json, default: value },
    read: (given, path, reading) => readKind(kind, given ?? raw, { path, reading }),
  };
}

function oneText<T>(kind: Kind<T>, help: string): Omit<Setting<T>, "read"> {
  return { help, json: { description: help, ...kind.json }, isRequired: false, isOneText: true };
}

function readKind<T>(kind: Kind<T>, raw: Raw, at: { readonly path: string; readonly reading: Reading }): T {
  const value = kind.read(raw, (fault) => {
    throw faulty(raw.source, at.path, fault);
  });
  at.reading.note(at.path, shownOf(raw, kind), raw.source);
  return value;
}

function shownOf(raw: Raw, kind: Kind<unknown>): Shown {
  if (raw.kind === "scalar") return kind.json["type"] === "array" ? commaParts(raw.text) : raw.text;
  return raw.kind === "list" ? raw.items.map((item) => (item?.kind === "scalar" ? item.text : "")) : undefined;
}

export interface GroupOptions<T> {
  readonly help: string;
  /** Looks at the whole once each setting is right. `complain` takes the path below the group, or an empty one. */
  readonly check?: (value: T, complain: (below: string, fault: string) => never) => void;
}

/** A mapping of settings. One that is not there counts as empty. */
export function group<S extends Settings>(settings: S, options: GroupOptions<Values<S>>): Setting<Values<S>> {
  const requiredNames = Object.keys(settings).filter((name) => settings[name]?.isRequired === true);
  return {
    help: options.help,
    json: {
      description: options.help,
      type: "object",
      properties: Object.fromEntries(Object.entries(settings).map(([name, { json }]) => [name, json])),
      ...(requiredNames.length > 0 ? { required: requiredNames } : {}),
      additionalProperties: false,
    },
    isRequired: requiredNames.length > 0,
    isOneText: false,
    settings,
    read: (raw, path, reading) => {
      if (raw !== undefined && raw.kind !== "group")
        throw faulty(raw.source, path, `must be a mapping, got ${named(raw)}`);
      const values: Record<string, unknown> = {};
      for (const [name, setting] of Object.entries(settings)) {
        values[name] = setting.read(raw?.entries.get(name)?.value, path === "" ? name : `${path}.${name}`, reading);
      }
      const value = values as Values<S>;
      options.check?.(value, (below, fault) => {
        throw faulty(sourceAt(raw, below), joined(path, below), fault);
      });
      return value;
    },
  };
}

/** A group that may be left out as a whole. */
export function optionalGroup<T>(inner: Setting<T>): Setting<T | undefined> {
  return {
    ...inner,
    isRequired: false,
    read: (raw, path, reading) => (raw === undefined ? undefined : inner.read(raw, path, reading)),
  };
}

/** A list of groups; empty when it is not there. */
export function list<T>(
  item: Setting<T>,
  options: GroupOptions<readonly T[]> & { readonly most: number },
): Setting<readonly T[]> {
  return {
    help: options.help,
    json: { description: options.help, type: "array", items: item.json, maxItems: options.most },
    isRequired: false,
    isOneText: false,
    item,
    read: (raw, path, reading) => {
      if (raw === undefined) return [];
      if (raw.kind !== "list") throw faulty(raw.source, path, `must be a list, got ${named(raw)}`);
      if (raw.items.length > options.most) {
        throw faulty(raw.source, path, `has ${raw.items.length} items, ${options.most} are taken at most`);
      }
      const values = raw.items.map((each, index) => {
        if (each === undefined) throw faulty(raw.source, `${path}[${index}]`, "is empty");
        return item.read(each, `${path}[${index}]`, reading);
      });
      options.check?.(values, (below, fault) => {
        throw faulty(sourceAt(raw, below), joined(path, below), fault);
      });
      return values;
    },
  };
}

/** Text that `parse` understands; it throws an Error whose message says what is wrong and names the text or not. */
export function parsed<T>(parse: (text: string) => T, json: JsonSchema = {}): Kind<T> {
  return {
    json: { type: "string", ...json },
    read: (raw, complain) => {
      const text = textOf(raw, complain);
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        return complain(error.message.includes(text) ? error.message : `${error.message}, got ${foreign(text)}`);
      }
    },
  };
}

/** Any text but an empty one. */
export const anyText: Kind<string> = {
  json: { type: "string", minLength: 1 },
  read: (raw, complain) => textOf(raw, complain),
};

/** Text whose characters count as they were written: `0600`, a user's number. `pattern` says what it must look like. */
export function written(pattern: RegExp, meaning: string): Kind<string> {
  return {
    json: { type: ["string", "integer"], pattern: pattern.source },
    asWritten: true,
    read: (raw, complain) => {
      const text = scalarText(raw, complain, "text");
      return pattern.test(text) ? text : complain(`must be ${meaning}, got ${foreign(text)}`);
    },
  };
}

/** One of a closed list of words. */
export function oneOf<Word extends string>(words: readonly Word[]): Kind<Word> {
  return {
    json: { type: "string", enum: [...words] },
    read: (raw, complain) => {
      const text = textOf(raw, complain);
      const found = words.find((word) => word === text);
      if (found !== undefined) return found;
      const near = nearest(text, words);
      const hint = near === undefined ? `, got ${foreign(text)}` : `, got ${foreign(text)}: the nearest is ${near}`;
      return complain(`must be ${words.length === 1 ? "" : "one of "}${words.join(", ")}${hint}`);
    },
  };
}

/** A duration such as `1h30m`, in whole seconds. */
export function duration(range: { readonly leastSeconds?: number; readonly mostSeconds?: number } = {}): Kind<number> {
  const { leastSeconds = 1, mostSeconds = Number.POSITIVE_INFINITY } = range;
  return {
    json: {
      type: "string",
      pattern: "^(0|(\\d+d)?(\\d+h)?(\\d+m)?(\\d+s)?)$",
      examples: ["90s", "10m", "1h30m", "30d"],
    },
    asWritten: true,
    read: (raw, complain) => {
      const text = scalarText(raw, complain, "a duration such as 1h30m");
      try {
        const seconds = parseDuration(text);
        if (seconds < leastSeconds) return complain(`must be ${writeDuration(leastSeconds)} at least, got ${text}`);
        if (seconds > mostSeconds) return complain(`must be ${writeDuration(mostSeconds)} at most, got ${text}`);
        return seconds;
      } catch (error) {
        if (!(error instanceof DurationError)) throw error;
        return complain(error.message);
      }
    },
  };
}

/** `host:port`, kept as text. */
export const address: Kind<string> = {
  json: { type: "string", examples: ["127.0.0.1:7443", "[::1]:7443", "ca.prod.example:7443"] },
  read: (raw, complain) => {
    const text = textOf(raw, complain);
    try {
      parseAddress(text);
      return text;
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      return complain(error.message);
    }
  },
};

export interface NumberRange {
  readonly least: number;
  readonly most: number;
  /** Whole numbers only; true by default. */
  readonly whole?: boolean;
}

export function number({ least, most, whole = true }: NumberRange): Kind<number> {
  return {
    json: { type: whole ? "integer" : "number", minimum: least, maximum: most },
    read: (raw, complain) => {
      const what = whole ? "a whole number" : "a number";
      if (raw.kind !== "scalar" || raw.type === "boolean" || raw.type === "text") {
        return complain(`must be ${what}, got ${named(raw)}`);
      }
      const value = Number(raw.text);
      const isNumber = /^-?\d{1,15}(\.\d{1,15})?$/.test(raw.text) && (!whole || Number.isInteger(value));
      if (!isNumber) return complain(`must be ${what}, got ${foreign(raw.text)}`);
      if (value < least || value > most) return complain(`must be from ${least} to ${most}, got ${raw.text}`);
      return value;
    },
  };
}

/** A list of texts; in a variable or a flag with commas between. */
export function texts<T>(item: Kind<T>, range: { readonly least?: number; readonly most: number }): Kind<readonly T[]> {
  const { least = 0, most } = range;
  return {
    json: { type: "array", items: item.json, minItems: least, maxItems: most },
    read: (raw, complain) => {
      const items =
        raw.kind === "scalar" && raw.type === "any"
          ? commaParts(raw.text).map((text) => ({ ...raw, text }))
          : undefined;
      if (items === undefined && raw.kind !== "list") return complain(`must be a list, got ${named(raw)}`);
      const given = items ?? (raw.kind === "list" ? raw.items : []);
      if (given.length < least || given.length > most) {
        return complain(`must have ${least} to ${most} items, got ${given.length}`);
      }
      return given.map((each) => (each === undefined ? complain("has an empty item") : item.read(each, complain)));
    },
  };
}

function commaParts(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function textOf(raw: Raw, complain: (fault: string) => never): string {
  if (raw.kind === "scalar" && (raw.type === "number" || raw.type === "boolean")) {
    return complain(`must be text, got the ${raw.type} ${foreign(raw.text)}: put it in quotes if it is meant`);
  }
  return scalarText(raw, complain, "text");
}

function scalarText(raw: Raw, complain: (fault: string) => never, what: string): string {
  if (raw.kind !== "scalar") return complain(`must be ${what}, got ${named(raw)}`);
  if (raw.text === "") return complain("is empty");
  return raw.text;
}

function named(raw: Raw): string {
  switch (raw.kind) {
    case "group":
      return "a mapping";
    case "list":
      return "a list";
    case "scalar":
      return raw.type === "number" || raw.type === "boolean"
        ? `the ${raw.type} ${foreign(raw.text)}`
        : foreign(raw.text);
  }
}

/** The error of a setting, with where it stands. */
export function faulty(source: Source | undefined, path: string, fault: string): ConfigError {
  const where = source === undefined || source.kind === "default" ? "" : `${source.name}: `;
  return new ConfigError(printable(`${where}${path === "" ? "" : `${path}: `}${fault}`));
}

function missing(path: string, reading: Reading): ConfigError {
  return new ConfigError(`${reading.fileName === undefined ? "" : `${reading.fileName}: `}${path} is missing`);
}

function joined(path: string, below: string): string {
  if (below === "") return path;
  return path === "" || below.startsWith("[") ? `${path}${below}` : `${path}.${below}`;
}

/** Where what is at a path below `raw` was written; where `raw` was, when there is nothing. */
function sourceAt(raw: Raw | undefined, below: string): Source | undefined {
  let at = raw;
  let source = raw?.source;
  for (const step of below.match(/[^.[\]]+/g) ?? []) {
    if (at?.kind === "group") {
      const entry = at.entries.get(step);
      source = entry?.source ?? source;
      at = entry?.value;
    } else {
      at = at?.kind === "list" ? at.items[Number(step)] : undefined;
      source = at?.source ?? source;
    }
  }
  return source;
}
