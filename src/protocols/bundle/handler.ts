// The bundle protocol: the trust bundle for everybody, also for who has not verified the server yet.
import type { BundleServiceServer } from "../../../proto/gen/signet/v1/bundle.ts";
import type { TrustState } from "../../authority/trust-state.ts";
import { type CallDeps, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { bundleToWire } from "../trust-to-wire.ts";

export function bundleHandler(deps: CallDeps & { readonly state: TrustState }): BundleServiceServer {
  return { getBundle: unary(deps, grpcTable, async () => ({ bundle: bundleToWire(deps.state.view().bundle) })) };
}
