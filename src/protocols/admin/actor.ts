import type { Actor } from "../../audit/audit.ts";
import { CaError } from "../../registry/ca-error.ts";
import type { AdmittedCall } from "../gate.ts";
import type { AdminDeps } from "./handler.ts";

const maxReason = 512;

/** Who makes this call and why, for the audit event. Throws "bad_request" for a reason that is too long. */
export function actorOf(deps: Pick<AdminDeps, "nameOfCaller">, call: AdmittedCall, reason: string): Actor {
  if (reason.length > maxReason) {
    throw new CaError("bad_request", `a reason has at most ${maxReason} characters, got ${reason.length}`);
  }
  return { name: deps.nameOfCaller(call), reason };
}
