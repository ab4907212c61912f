import { CaError } from "../../registry/ca-error.ts";
import { wholeId } from "../../registry/entries.ts";
import type { SpiffeId, TrustDomain } from "../../spiffe/id.ts";
import { agentId } from "../../spiffe/kind.ts";

/** An agent by its full SPIFFE ID, its path or its name. */
export function agentIdOf(deps: { readonly trustDomain: TrustDomain }, text: string): SpiffeId {
  if (text === "") throw new CaError("bad_request", "no agent is named");
  if (text.startsWith("spiffe://") || text.startsWith("/")) return wholeId(deps.trustDomain, text);
  try {
    return agentId(deps.trustDomain, text);
  } catch (error) {
    throw new CaError("bad_request", error instanceof Error ? error.message : "not a name of an agent", {
      cause: error,
    });
  }
}
