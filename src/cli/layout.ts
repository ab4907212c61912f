// Lines, tables and facts that fit a terminal. What comes in is foreign: control and bidi characters leave as escapes.
import { printable } from "../platform/foreign-text.ts";

export type Tone = "good" | "warn" | "bad" | "dim";

/** Colours a word, or leaves it as it is where no colour is wanted. */
export type Paint = (text: string, tone: Tone | undefined) => string;

export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => string;
  readonly tone?: (row: Row) => Tone | undefined;
  /** Columns with a number may be left out where it is narrow; the highest goes first. */
  readonly drop?: number;
  /** Aligned to the right. */
  readonly right?: boolean;
}

export interface TableText {
  readonly lines: readonly string[];
  /** Heads of the columns that did not fit. */
  readonly dropped: readonly string[];
}

/** Escapes what could move a cursor, hide or reverse text; keeps everything else, at any length. */
export const plain: (text: string) => string = printable;

/** A table whose columns are as wide as their widest cell; the last one is wrapped, others left out, where it is narrow. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { readonly width: number; readonly paint: Paint },
): TableText {
  const dropped: string[] = [];
  let shown = columns.map((column) => {
    const cells = rows.map((row) => plain(column.cell(row)) || "-");
    return { column, cells, width: Math.max(column.head.length, ...cells.map((cell) => cell.length)) };
  });
  const total = (): number => shown.reduce((sum, { width }) => sum + width + 2, -2);
  while (total() > options.width) {
    const next = shown
      .filter(({ column }) => column.drop !== undefined)
      .sort((one, other) => (other.column.drop ?? 0) - (one.column.drop ?? 0))[0];
    if (next === undefined) break;
    dropped.push(next.column.head);
    shown = shown.filter((each) => each !== next);
  }
  const before = shown.slice(0, -1).reduce((sum, { width }) => sum + width + 2, 0);
  const room = Math.max(options.width - before, leastWrap);
  const lines: string[] = [];
  const line = (cells: readonly string[], tones: readonly (Tone | undefined)[]): void => {
    const lastIndex = cells.length - 1;
    const parts = wrap(cells[lastIndex] ?? "", room);
    const head = cells.slice(0, -1).map((cell, index) => {
      const { column, width } = shown[index] ?? { column: undefined, width: 0 };
      const space = " ".repeat(width - cell.length);
      const painted = options.paint(cell, tones[index]);
      return column?.right === true ? space + painted : painted + space;
    });
    lines.push([...head, options.paint(parts[0] ?? "", tones[lastIndex])].join("  ").trimEnd());
    for (const part of parts.slice(1)) lines.push(" ".repeat(before) + options.paint(part, tones[lastIndex]));
  };
  line(
    shown.map(({ column }) => column.head),
    [],
  );
  rows.forEach((row, index) => {
    line(
      shown.map(({ cells }) => cells[index] ?? "-"),
      shown.map(({ column }) => column.tone?.(row)),
    );
  });
  return { lines, dropped };
}

const leastWrap = 16;

/** Breaks text at spaces so that no line is longer than `width`; a word that is longer stays whole. */
export function wrap(text: string, width: number): readonly string[] {
  if (text.length <= width) return [text];
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Lines `  label  text`, wrapped under the text; facts without a text are left out. */
export function facts(
  pairs: readonly (readonly [label: string, text: string | undefined])[],
  options: { readonly width: number; readonly indent?: number },
): readonly string[] {
  const held = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== undefined && pair[1] !== "");
  const indent = " ".repeat(options.indent ?? 2);
  const labelWidth = Math.max(...held.map(([label]) => label.length), 0);
  return held.flatMap(([label, text]) => {
    const room = Math.max(options.width - indent.length - labelWidth - 2, leastWrap);
    return wrap(plain(text), room).map((part, index) =>
      `${indent}${(index === 0 ? label : "").padEnd(labelWidth)}  ${part}`.trimEnd(),
    );
  });
}

/** `[########....]`, filled to `done` of `total`. */
export function bar(done: number, total: number, cells = 20): string {
  const filled = total <= 0 ? cells : Math.max(0, Math.min(cells, Math.round((done / total) * cells)));
  return `[${"#".repeat(filled)}${".".repeat(cells - filled)}]`;
}

/** 48211 as 48,211, in any locale. */
export function grouped(value: number | bigint): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** `1 problem`, `2 problems`. */
export function counted(count: number | bigint, noun: string, plural = `${noun}s`): string {
  return `${grouped(count)} ${BigInt(count) === 1n ? noun : plural}`;
}

/** Octets as KiB, MiB or GiB without a fraction. */
export function octets(count: number | bigint): string {
  let value = Number(count);
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return `${grouped(Math.round(value))} ${unit}`;
    value /= 1024;
  }
  return "";
}
