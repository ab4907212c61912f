import { readFileSync } from "node:fs";
import { join } from "node:path";
import { judgeAgentConfig } from "../../../agent/config.ts";
import { ConfigError } from "../../../src/platform/settings.ts";
import { judgeServerConfig } from "../../../src/server/config.ts";

export interface ConfigRow {
  readonly file: string;
  readonly program?: unknown;
}

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** A row of kind `config`: the file as its program would read it, without variables and flags. */
export async function judge(row: ConfigRow, dir: string): Promise<Verdict> {
  const input = { file: { name: row.file, text: readFileSync(join(dir, row.file), "utf8") }, env: {}, flags: {} };
  try {
    await (row.program === "agent" ? judgeAgentConfig(input) : judgeServerConfig(input));
    return { ok: true };
  } catch (error) {
    if (error instanceof ConfigError) return { ok: false, error };
    throw error;
  }
}
