import { status } from "@grpc/grpc-js";
import type { StatusTable } from "./grpc-call.ts";

/** The status of each code where a protocol has no reason for another. */
export const grpcTable: StatusTable = {
  denied: status.PERMISSION_DENIED,
  bad_request: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  exists: status.ALREADY_EXISTS,
  conflict: status.ABORTED,
  unauthenticated: status.UNAUTHENTICATED,
  unavailable: status.UNAVAILABLE,
  in_doubt: status.UNAVAILABLE,
  too_large: status.INVALID_ARGUMENT,
  not_supported: status.UNIMPLEMENTED,
  token_used: status.PERMISSION_DENIED,
  token_expired: status.PERMISSION_DENIED,
  token_unknown: status.PERMISSION_DENIED,
  agent_alive: status.FAILED_PRECONDITION,
  clock_unsure: status.UNAVAILABLE,
  internal: status.INTERNAL,
};
