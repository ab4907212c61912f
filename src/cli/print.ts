// The only place of the command line (but the demo's screen) that writes to stdout. stdout carries data; hints, progress,
// warnings and errors go to stderr.
import { printable } from "../platform/foreign-text.ts";
import { type Column, type Paint, plain, type Tone, table, wrap } from "./layout.ts";

export type Format = "table" | "json" | "yaml";

/** A stream that text goes to. `columns` is undefined where nobody looks. */
export interface Output {
  write(text: string): void;
  readonly isTerminal: boolean;
  columns(): number | undefined;
}

export interface PrintOptions {
  readonly format: Format;
  /** The bare value, no hints. */
  readonly quiet: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Printer {
  readonly format: Format;
  readonly quiet: boolean;
  /** How wide lines may be; very large in a pipe, so that nothing is cut or left out there. */
  readonly width: number;
  readonly paint: Paint;
  /** True where the same place of the screen may be written again. */
  readonly canRedraw: boolean;
  /** A line of data. */
  line(text: string): void;
  /** Data that is not lines: a PEM file, octets as text. Written as it is. */
  raw(text: string): void;
  /** Text for people, wrapped to the width; lines after the first are indented by two. */
  sentence(text: string): void;
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): void;
  /** An object or list in the format asked for, which must not be "table". */
  value(value: unknown): Promise<void>;
  /** A warning or a fact about the run, to stderr, whatever the format. */
  note(text: string): void;
  /** A hint such as `next: signet server`, to stderr; silent under -q and -o json. */
  hint(text: string): void;
  /** Writes to stderr without a line break, for lines that are redrawn and for questions. */
  progress(text: string): void;
  /** Draws the whole picture anew over the one drawn before, on stdout; in a pipe just writes it. */
  redraw(lines: readonly string[]): void;
}

const colours: Readonly<Record<Tone, string>> = { good: "32", warn: "33", bad: "31", dim: "2" };

const colourCodes = /\u001b\[\d+m/g;

/** Width where there is no terminal: wide enough for anything. */
const pipeWidth = 10_000;
const leastWidth = 20;

/** A printer for one command. Nothing is written before it is asked to. */
export function createPrinter(streams: { readonly out: Output; readonly err: Output }, options: PrintOptions): Printer {
  const { out, err } = streams;
  const paint = paintFor(out, options.env);
  const width = out.isTerminal ? Math.max(out.columns() || 80, leastWidth) : pipeWidth;
  const line = (text: string): void => out.write(`${text}\n`);
  const note = (text: string): void => err.write(`${text}\n`);
  let drawn = 0;
  return {
    format: options.format,
    quiet: options.quiet,
    width,
    paint,
    canRedraw: out.isTerminal && options.env["TERM"] !== "dumb",
    line,
    raw: (text) => out.write(text),
    sentence: (text) => {
      wrap(plain(text), width - 2).forEach((part, index) => line(index === 0 ? part : `  ${part}`));
    },
    table: (columns, rows) => {
      const text = table(columns, rows, { width, paint });
      for (const each of text.lines) line(each);
      if (text.dropped.length > 0 && !options.quiet) {
        note(`too narrow for ${text.dropped.join(", ")}; -o json has everything`);
      }
    },
    value: async (value) => {
      if (options.format === "yaml") {
        const { stringify } = await import("yaml");
        out.write(stringify(escaped(value), { aliasDuplicateObjects: false, lineWidth: 0 }));
      } else {
        line(jsonText(value));
      }
    },
    note,
    hint: (text) => {
      if (!options.quiet && options.format === "table") note(text);
    },
    progress: (text) => err.write(text),
    redraw: (lines) => {
      const up = drawn > 0 && out.isTerminal ? `\r\u001b[${drawn}A\u001b[J` : "";
      out.write(`${up}${lines.map((each) => `${each}\n`).join("")}`);
      drawn = lines.reduce(
        (sum, each) => sum + Math.max(1, Math.ceil(each.replace(colourCodes, "").length / width)),
        0,
      );
    },
  };
}

/** JSON whose text holds no character that a terminal would obey. */
export function jsonText(value: unknown, indent = 2): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function paintFor(out: Output, env: PrintOptions["env"]): Paint {
  return wantsColour(out, env)
    ? (text, tone) => (tone === undefined ? text : `\u001b[${colours[tone]}m${text}\u001b[0m`)
    : (text) => text;
}

/** Colour only repeats a word: on a terminal, unless NO_COLOR or TERM=dumb; FORCE_COLOR asks for it in a pipe too. */
export function wantsColour(out: Pick<Output, "isTerminal">, env: PrintOptions["env"]): boolean {
  const force = env["FORCE_COLOR"];
  if ((env["NO_COLOR"] ?? "") !== "" || force === "0" || force === "false") return false;
  if (force !== undefined && force !== "") return true;
  return out.isTerminal && env["TERM"] !== "dumb";
}

/** The two lines of a failure: `signet: WHAT: WHY`, and `try: COMMAND` where there is a cure. */
export function failureLines(message: string, cure: string): readonly string[] {
  return [`signet: ${plain(message)}`, ...(cure === "" ? [] : [`try: ${plain(cure)}`])];
}

/** A value with every text in it safe to print: foreign text must not move a cursor or hide what follows. */
function escaped(value: unknown): unknown {
  if (typeof value === "string") return printable(value);
  if (Array.isArray(value)) return value.map(escaped);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, escaped(each)]));
}
