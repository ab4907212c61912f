// What the server sends of entries, read into the agent's own types; what does not fit is refused.
import type * as wire from "../proto/gen/signet/v1/issuance.ts";
import { WireError } from "../src/sdk/from-wire.ts";
import { parseSpiffeId, SpiffeError, type SpiffeId, type TrustDomain, trustDomainOf } from "../src/spiffe/id.ts";
import { kindOf } from "../src/spiffe/kind.ts";
import type { AgentEntry } from "./identities/held-identity.ts";

/** Reads an entry of this agent. Throws WireError when it is not one. */
export function entryFromWire(entry: wire.Entry, agentId: SpiffeId): AgentEntry {
  const spiffeId = workloadId(entry.spiffeId, trustDomainOf(agentId));
  if (entry.agentId !== agentId) throw new WireError("an entry is of another agent");
  if (entry.ttlSeconds < 1) throw new WireError("an entry has no lifetime");
  return {
    entryId: entry.entryId,
    spiffeId,
    selectors: entry.selectors,
    dnsNames: entry.dnsNames,
    ipAddresses: entry.ipAddresses,
    ttlSeconds: entry.ttlSeconds,
    hint: entry.hint,
    revision: entry.revision,
  };
}

/** Reads the ID of a workload of our trust domain. Throws WireError. */
export function workloadId(text: string, trustDomain: TrustDomain): SpiffeId {
  try {
    const id = parseSpiffeId(text);
    if (trustDomainOf(id) === trustDomain && kindOf(id) === "workload") return id;
  } catch (cause) {
    if (!(cause instanceof SpiffeError)) throw cause;
  }
  throw new WireError("an entry is not for a workload of this trust domain");
}
