// Judges rows of the kind csr: text layer, parser with proof of possession, and the decision for the row's entry.

import { decide } from "../../../src/issuing/policy/decide.ts";
import type { Facts } from "../../../src/issuing/policy/facts.ts";
import { parseSpiffeId, trustDomainOf } from "../../../src/spiffe/id.ts";
import { agentId } from "../../../src/spiffe/kind.ts";
import { csrDerFromPem, parseCsr } from "../../../src/x509/csr.ts";
import { X509Error } from "../../../src/x509/errors.ts";
import { entryOf, factsOf as goodFacts, nodeOf } from "../../unit/issuing/facts.ts";
import { inputOf, type Judgement, type Row } from "../table.ts";

/** Accepts what comes through parsing and the decision; a refusal must come at the row's `stage` at the latest. */
export function judge(row: Row, dir: string): Judgement {
  try {
    const input = inputOf(row, dir);
    const isPem = row["stage"] === "pem" || row.file.endsWith(".pem");
    const csr = parseCsr(isPem ? csrDerFromPem(new TextDecoder("utf-8", { ignoreBOM: true }).decode(input)) : input);
    if (row.expect === "refuse" && row["stage"] !== "decide") return { ok: true };
    const decision = decide(csr, factsOf(row));
    return decision.allow ? { ok: true } : { ok: false, error: new Error(`${decision.rule}: ${decision.detail}`) };
  } catch (error) {
    if (error instanceof X509Error) return { ok: false, error };
    throw error;
  }
}

/** What is true when the agent of the row's entry asks for its identity. */
function factsOf(row: Row): Facts {
  const entry: { readonly id?: string; readonly dns?: readonly string[]; readonly ip?: readonly string[] } =
    row["entry"] ?? {};
  const id = parseSpiffeId(entry.id ?? "spiffe://prod.example/svc/web");
  const agent = agentId(trustDomainOf(id), "one");
  const held = { entryId: "e-1", spiffeId: id, agentId: agent, dnsNames: entry.dns ?? [], ipAddresses: entry.ip ?? [] };
  return {
    ...goodFacts({ caller: { kind: "agent", id: agent, serialHex: "", authorityKeyId: "" } }),
    trustDomain: trustDomainOf(id),
    id,
    entry: entryOf(held),
    node: nodeOf({ agentId: agent }),
    serverNames: new Set(),
  };
}
