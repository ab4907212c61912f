import type { IssuanceServiceService } from "../../../proto/gen/signet/v1/issuance.ts";
import type { MayCallTable } from "../gate.ts";

/** Who may call which method. Attest is open: it proves who the caller is. */
export const issuanceMayCall: MayCallTable<IssuanceServiceService> = {
  attest: "anyone",
  renew: "holder",
  issue: "agent",
  batchIssue: "agent",
  sync: "agent",
};
