// Step 2 of the issuing line: ordered pure rules over caller, entry, profile and CSR.
import type { ParsedCsr } from "../../x509/csr.ts";
import type { Allowed, AllowedFields } from "../stages.ts";
import type { Facts } from "./facts.ts";
import { lifeOf } from "./life.ts";
import { type Objection, type RuleName, rules } from "./rules.ts";

export interface Denial extends Objection {
  readonly allow: false;
  readonly rule: RuleName;
}

export type Decision = { readonly allow: true; readonly allowed: Allowed } | Denial;

/** The first rule that objects denies; else the names of the entry and a life within the issuer's. */
export function decide(csr: ParsedCsr, facts: Facts): Decision {
  for (const rule of rules) {
    const objection = rule.judge(facts, csr);
    if (objection !== undefined) return { allow: false, rule: rule.name, ...objection };
  }
  const { issuer, entry } = facts;
  const life = lifeOf(facts);
  if (issuer === undefined || life === undefined) throw new TypeError("the rule no_authority let through no authority");
  const fields: AllowedFields = {
    csr,
    profile: facts.profile,
    issuer,
    id: facts.id,
    dnsNames: entry?.value.dnsNames ?? facts.ownDnsNames,
    ipAddresses: entry?.value.ipAddresses ?? facts.ownIpAddresses,
    ttlSeconds: life.grantedSeconds,
    notBefore: life.notBefore,
    notAfter: life.notAfter,
    limitedBy: life.grantedSeconds < life.wantedSeconds ? "authority" : undefined,
    entry,
    node: facts.node,
    device: facts.device?.record,
  };
  return { allow: true, allowed: fields as Allowed };
}

/** What a rule said, for people. */
export interface ExplainedRule {
  readonly rule: RuleName;
  readonly passed: boolean;
  readonly detail: string;
  readonly cure: string | undefined;
}

/** Without these nothing later has a meaning: there is no ID, no right to it, or no entry to compare with. */
const first: ReadonlySet<RuleName> = new Set(["name_space", "not_parent", "no_entry"]);

/**
 * What every rule would say, also those after the first that objects, as far as they have a meaning then. Without a CSR
 * those about it have no say.
 */
export function explain(csr: ParsedCsr | undefined, facts: Facts): readonly ExplainedRule[] {
  const said: ExplainedRule[] = [];
  for (const rule of rules) {
    if (rule.needsCsr === true && csr === undefined) continue;
    const objection = rule.judge(facts, csr);
    said.push({
      rule: rule.name,
      passed: objection === undefined,
      detail: objection?.detail ?? rule.holds,
      cure: objection?.cure,
    });
    if (objection !== undefined && first.has(rule.name)) break;
  }
  return said;
}
