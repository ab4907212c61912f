import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";
import { judgeSvid } from "../../../src/spiffe/svid.ts";
import { type Certificate, certificateDersFromPem, certificatesFromPem } from "../../../src/x509/certificate.ts";
import { X509Error } from "../../../src/x509/errors.ts";

export interface ChainRow {
  readonly file: string;
  readonly roots: string;
  readonly at: string;
  readonly id: string;
  readonly trust_domain: string;
  readonly purpose: "server" | "client";
}

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** A row of kind `chain`: the chain as a peer sends it, judged as `signet verify` would. */
export function judge(row: ChainRow, dir: string): Verdict {
  try {
    const trustDomain = parseTrustDomain(row.trust_domain);
    const rootsPem = readFileSync(join(dir, row.roots), "utf8");
    // An empty file is an empty bundle: it can be read, and nothing is trusted.
    const roots: readonly Certificate[] = rootsPem.trim() === "" ? [] : certificatesFromPem(rootsPem);
    const chain = certificateDersFromPem(readFileSync(join(dir, row.file), "utf8"));
    const verdict = judgeSvid(chain, {
      bundle: { trustDomain, sequence: 0n, refreshHintSeconds: 300, roots },
      at: new Date(row.at),
      purpose: row.purpose,
      allow: (id) => id === row.id,
    });
    return verdict.ok ? { ok: true } : { ok: false, error: new ChainRefused(verdict.reason, verdict.detail) };
  } catch (error) {
    if (error instanceof X509Error || error instanceof SpiffeError) return { ok: false, error };
    throw error;
  }
}

/** A refusal as a value of judgeSvid(), in the dress that the runner takes for our own errors. */
class ChainRefused extends X509Error {
  constructor(reason: string, detail: string) {
    super("bad_certificate", `${reason}: ${detail}`);
  }
}
