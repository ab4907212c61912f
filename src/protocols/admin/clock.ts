// The clock of the server, when it cannot tell by itself what time it is.
import type { AdminServiceServer } from "../../../proto/gen/signet/v1/admin.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { actorOf } from "./actor.ts";
import type { AdminDeps } from "./handler.ts";

export function clockMethods(deps: AdminDeps): Pick<AdminServiceServer, "acceptClock"> {
  return {
    acceptClock: unary(deps, grpcTable, async ({ reason, dryRun }, call) => {
      const actor = actorOf(deps, call, reason);
      const { clockWatch } = deps;
      if (dryRun) {
        const was = clockWatch.doubt();
        const now = clockWatch.clock.now();
        return {
          serverTime: new Date(now.getTime() + (was?.offMs ?? 0)),
          already: was === undefined,
          wasUnsureBecause: was?.detail ?? "",
        };
      }
      const { time, was } = await clockWatch.accept(actor);
      if (was !== undefined) deps.lookNow();
      return { serverTime: time, already: was === undefined, wasUnsureBecause: was?.detail ?? "" };
    }),
  };
}
