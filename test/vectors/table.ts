// A table of vectors: rows of an index.json, their inputs, and the verdict on what a judge said.

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** One row. Fields that only one kind has are read by that kind's judge, narrowed there. */
export interface Row {
  readonly file: string;
  readonly kind: string;
  readonly expect: "accept" | "refuse" | "table";
  readonly reason: string;
  readonly rule: string;
  readonly confidence?: "medium" | "low";
  readonly max_ms?: number;
  readonly generate?: Recipe;
  readonly error_names?: readonly string[];
  readonly [field: string]: unknown;
}

interface Recipe {
  readonly concat: readonly Part[];
}

type Part = { readonly hex: string } | { readonly text: string } | { readonly repeat: string; readonly times: number };

/** What a judge answers. It throws only when something came out that is no error of ours. */
export type Judgement = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

export type Judge = (row: Row, dir: string) => Judgement | Promise<Judgement>;

/** What came of one row, as it crosses the border of the process that judged it. */
export type Outcome =
  | { readonly kind: "accepted" }
  | { readonly kind: "refused"; readonly message: string }
  | { readonly kind: "foreign"; readonly message: string }
  | { readonly kind: "missing"; readonly message: string }
  | { readonly kind: "hang"; readonly message: string }
  | { readonly kind: "crash"; readonly message: string }
  | { readonly kind: "no_judge" };

/** Reads and checks the shape of an index.json. */
export function readTable(path: string): readonly Row[] {
  const rows: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(rows)) throw new Error(`${path} is not an array of rows`);
  return rows.map((row, i) => {
    if (!isRow(row)) throw new Error(`row ${i} of ${path} lacks file, kind or expect`);
    return row;
  });
}

function isRow(value: unknown): value is Row {
  if (typeof value !== "object" || value === null) return false;
  const { file, kind, expect } = value as Partial<Row>;
  return typeof file === "string" && typeof kind === "string" && ["accept", "refuse", "table"].includes(expect ?? "");
}

/** The octets of a row: its file under `dir`, or what `generate` makes. */
export function inputOf(row: Row, dir: string): Uint8Array {
  if (row.generate === undefined) return new Uint8Array(readFileSync(join(dir, row.file)));
  return new Uint8Array(Buffer.concat(row.generate.concat.map(partOctets)));
}

function partOctets(part: Part): Buffer {
  if ("hex" in part) return Buffer.from(part.hex, "hex");
  if ("text" in part) return Buffer.from(part.text, "utf8");
  const once = Buffer.from(part.repeat, "hex");
  return Buffer.alloc(once.length * part.times, once);
}

/** What is wrong with the outcome of a row; undefined when it is as expected. */
export function mismatch(row: Row, outcome: Exclude<Outcome, { kind: "no_judge" }>): string | undefined {
  switch (outcome.kind) {
    case "foreign":
    case "missing":
    case "hang":
    case "crash":
      return `${outcome.kind}: ${outcome.message}`;
    case "accepted":
      return row.confidence === "low" || row.expect !== "refuse" ? undefined : "accepted, must be refused";
    case "refused": {
      if (row.confidence === "low") return undefined;
      if (row.expect !== "refuse") return `refused, must be accepted: ${outcome.message}`;
      const lower = outcome.message.toLowerCase();
      const absent = (row.error_names ?? []).find((name) => !namedIn(lower, name.toLowerCase()));
      return absent === undefined ? undefined : `the error does not name ${absent}: ${outcome.message}`;
    }
  }
}

/** `identities[0].dir` may also be written `identities.0.dir`. */
function namedIn(message: string, name: string): boolean {
  return message.includes(name) || message.includes(name.replace(/\[(\d+)\]/g, ".$1"));
}

/** How a row is named in reports. */
export function rowName(row: Row): string {
  return `${row.file}: ${row.reason}`;
}
