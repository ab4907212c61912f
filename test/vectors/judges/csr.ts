// Judges rows of the kind csr: text layer, parser with proof of possession, and the decision for the row's entry.

import { csrDerFromPem, type ParsedCsr, parseCsr } from "../../../src/x509/csr.ts";
import { X509Error } from "../../../src/x509/errors.ts";
import type { GeneralNameKind } from "../../../src/x509/general-name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { inputOf, type Judgement, type Row } from "../table.ts";

/** All names that the holder of an entry may have. */
interface Entry {
  readonly id: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

/** Accepts what comes through parsing and the decision; a refusal must come at the row's `stage` at the latest. */
export function judge(row: Row, dir: string): Judgement {
  try {
    const input = inputOf(row, dir);
    const isPem = row["stage"] === "pem" || row.file.endsWith(".pem");
    const csr = parseCsr(isPem ? csrDerFromPem(new TextDecoder("utf-8", { ignoreBOM: true }).decode(input)) : input);
    if (row.expect === "refuse" && row["stage"] !== "decide") return { ok: true };
    const objection = decideNames(csr, entryOf(row));
    return objection === undefined ? { ok: true } : { ok: false, error: new Error(objection) };
  } catch (error) {
    if (error instanceof X509Error) return { ok: false, error };
    throw error;
  }
}

function entryOf(row: Row): Entry {
  const entry: Partial<Entry> = row["entry"] ?? {};
  return { id: entry.id ?? "", dns: entry.dns ?? [], ip: entry.ip ?? [] };
}

/**
 * What the CSR asks for beyond the entry and the workload profile; undefined when nothing. This is the one place where
 * the rules of `src/issuing/policy` take over.
 */
function decideNames(csr: ParsedCsr, entry: Entry): string | undefined {
  const allowed: Readonly<Record<GeneralNameKind, readonly string[]>> = {
    uri: [entry.id],
    dns: entry.dns,
    ip: entry.ip,
    email: [],
    directory: [],
    other: [],
  };
  const name = csr.names.find(({ kind, value }) => !allowed[kind].includes(value));
  if (name !== undefined) return `the entry has no ${name.kind} name ${name.value}`;
  if (csr.basicConstraints?.ca === true) return "the CSR asks for a CA certificate";
  const usages = csr.publicKey.type.startsWith("rsa") ? ["digitalSignature", "keyEncipherment"] : ["digitalSignature"];
  const usage = [...(csr.keyUsage ?? [])].find((each) => !usages.includes(each));
  if (usage !== undefined) return `the CSR asks for the key usage ${usage}`;
  const purposes: readonly string[] = [OID.serverAuth, OID.clientAuth];
  const purpose = csr.extendedKeyUsage?.find((each) => !purposes.includes(each));
  if (purpose !== undefined) return `the CSR asks for the purpose ${purpose}`;
  const unknown = csr.unknownExtensions.find(({ critical }) => critical);
  return unknown && `the CSR asks for the critical extension ${unknown.oid}`;
}
