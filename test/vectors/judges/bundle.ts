import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type BundleDocument, parseBundleDocument } from "../../../src/spiffe/bundle.ts";
import { parseTrustDomain, SpiffeError } from "../../../src/spiffe/id.ts";

export interface BundleRow {
  readonly file: string;
  readonly trust_domain: string;
  readonly x509_authorities?: number;
  readonly jwt_authorities?: number;
  readonly sequence?: string;
}

export type Verdict = { readonly ok: true } | { readonly ok: false; readonly error: unknown };

/** A row of kind `bundle`: the document must be read, and hold what the row says. */
export function judge(row: BundleRow, dir: string): Verdict {
  try {
    const json = readFileSync(join(dir, row.file), "utf8");
    const document = parseBundleDocument(json, parseTrustDomain(row.trust_domain));
    const difference = differs(row, document);
    return difference === undefined ? { ok: true } : { ok: false, error: new SpiffeError("bad_bundle", difference) };
  } catch (error) {
    if (error instanceof SpiffeError) return { ok: false, error };
    throw error;
  }
}

function differs(row: BundleRow, { bundle, jwtAuthorities }: BundleDocument): string | undefined {
  const found = { x509: bundle.roots.length, jwt: jwtAuthorities, sequence: String(bundle.sequence) };
  if (found.x509 !== (row.x509_authorities ?? found.x509)) return `${found.x509} X.509 authorities remain`;
  if (found.jwt !== (row.jwt_authorities ?? found.jwt)) return `${found.jwt} JWT authorities remain`;
  if (found.sequence !== (row.sequence ?? found.sequence)) return `the sequence is ${found.sequence}`;
  return undefined;
}
