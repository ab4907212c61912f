import { readFileSync } from "node:fs";
import { join } from "node:path";
import { judgeAgentConfig } from "../../../agent/config.ts";
import { ConfigError } from "../../../src/platform/config-file.ts";
import { judgeServerConfig } from "../../../src/server/config.ts";

export interface ConfigRow {
  readonly file: string;
  readonly program?: "server" | "agent";
  readonly error_names?: readonly string[];
  readonly confidence?: string;
}

/** Judges a configuration file as its program would. An error that does not name what the row wants is none of ours. */
export function judge(row: ConfigRow, dir: string): { readonly ok: true } | { readonly ok: false; readonly error: unknown } {
  const input = {
    file: { name: row.file, text: readFileSync(join(dir, row.file), "utf8") },
    environment: new Map(),
    flags: new Map(),
  };
  try {
    if (row.program === "agent") judgeAgentConfig(input);
    else judgeServerConfig(input);
    return { ok: true };
  } catch (error) {
    if (!(error instanceof ConfigError)) return { ok: false, error };
    const text = error.message.toLowerCase();
    const missing = (row.error_names ?? []).filter((name) => !text.includes(name.toLowerCase()) && !text.includes(name.toLowerCase().replace("[0]", ".0")));
    if (missing.length > 0 && row.confidence !== "low") {
      return { ok: false, error: new TypeError(`the error does not name ${missing.join(", ")}: ${error.message}`) };
    }
    return { ok: false, error };
  }
}
