// The kinds of text that a setting can have, and how each is read and described.
import { AddressError, parseAddress } from "./address.ts";
import { DurationError, parseDuration, writeDuration } from "./durations.ts";
import { foreign } from "./foreign-text.ts";
import { nearest } from "./nearest.ts";
import { commaParts, type JsonSchema, type Kind, named, type Raw } from "./settings.ts";

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
        const isNamed = error.message.includes(text) || / got \d+$/.test(error.message);
        return complain(isNamed ? error.message : `${error.message}, got ${foreign(text)}`);
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

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A size such as `256MiB`, in octets. */
export function size(range: { readonly leastOctets: number; readonly mostOctets: number }): Kind<number> {
  const { leastOctets, mostOctets } = range;
  return {
    json: { type: "string", pattern: "^(0|\\d+(B|KiB|MiB|GiB))$", examples: ["64MiB", "1GiB"] },
    read: (raw, complain) => {
      const text = scalarText(raw, complain, "a size such as 256MiB");
      const [, digits = "", unit = "B"] = /^(\d{1,12})(B|KiB|MiB|GiB)$/.exec(text === "0" ? "0B" : text) ?? [];
      if (digits === "") return complain(`must be a size such as 256MiB, in B, KiB, MiB or GiB, got ${foreign(text)}`);
      const octets = Number(digits) * (units[unit] ?? 1);
      if (octets < leastOctets) return complain(`must be ${writeSize(leastOctets)} at least, got ${text}`);
      if (octets > mostOctets) return complain(`must be ${writeSize(mostOctets)} at most, got ${text}`);
      return octets;
    },
  };
}

function writeSize(octets: number): string {
  const [unit = "B", octetsOfUnit = 1] =
    Object.entries(units).findLast(([, each]) => octets >= each && octets % each === 0) ?? [];
  return octets === 0 ? "0" : `${octets / octetsOfUnit}${unit}`;
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
      if (raw.kind !== "scalar" || raw.type === "boolean") {
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
