import type { Actor } from "../../audit/audit.ts";
import { CaError } from "../../registry/ca-error.ts";

/** Who speaks on the unix socket: whoever may enter the data directory. */
export function localActor(reason: string): Actor {
  if (reason.length > 512)
    throw new CaError("bad_request", `a reason has at most 512 characters, got ${reason.length}`);
  return { name: "local", reason };
}
