import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseSpiffeId, parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";

export interface SpiffeIdTableRow {
  readonly file: string;
}

interface TableEntry {
  readonly text: string;
  readonly of: "id" | "trust-domain";
  readonly valid: boolean;
  readonly reason: string;
  readonly confidence?: "medium" | "low";
}

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** A row of kind `spiffe-id-table`: a file that is a table itself; every line of it must come out as it says. */
export function judge(row: SpiffeIdTableRow, dir: string): Verdict {
  const table = JSON.parse(readFileSync(join(dir, row.file), "utf8")) as readonly TableEntry[];
  const wrong = table.filter((entry) => entry.confidence !== "low" && isTaken(entry) !== entry.valid);
  if (table.length > 0 && wrong.length === 0) return { ok: true };
  const reasons = wrong.map((entry) => entry.reason).join("; ");
  return { ok: false, error: new SpiffeError("bad_id", `${wrong.length} of ${table.length} differ: ${reasons}`) };
}

function isTaken(entry: TableEntry): boolean {
  try {
    if (entry.of === "id") parseSpiffeId(entry.text);
    else parseTrustDomain(entry.text);
    return true;
  } catch (error) {
    if (error instanceof SpiffeError) return false;
    throw error;
  }
}
