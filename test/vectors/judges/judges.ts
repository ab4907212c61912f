// The judge of each kind of row. A kind that is not here is skipped, and named.

import { existsSync } from "node:fs";
import type { Judge } from "../table.ts";

const FILES: Readonly<Record<string, string>> = {
  csr: "csr",
  chain: "chain",
  "spiffe-id-table": "spiffe-id",
  bundle: "bundle",
  config: "config",
};

async function loadJudges(): Promise<ReadonlyMap<string, Judge>> {
  const found = new Map<string, Judge>();
  for (const [kind, file] of Object.entries(FILES)) {
    const url = new URL(`./${file}.ts`, import.meta.url);
    if (!existsSync(url)) continue;
    const module: { readonly judge: Judge } = await import(url.href);
    found.set(kind, module.judge);
  }
  return found;
}

export const judges: ReadonlyMap<string, Judge> = await loadJudges();
