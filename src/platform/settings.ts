// What a configuration may hold: settings declared once, each with what it means, its default and its check. The same
// declaration reads files, variables and flags, lists what is in force, and makes the JSON Schema. (A schema library
// would do the half of this and cost a hundred milliseconds of every start.)
import { foreign, printable } from "./foreign-text.ts";

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

/** The parts of a text with commas between. */
export function commaParts(text: string): readonly string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** What was written, in a few words. */
export function named(raw: Raw): string {
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
