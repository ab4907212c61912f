// Methods of the admin protocol that have no function yet.
import type { AdminServiceServer } from "../../../proto/gen/signet/v1/admin.ts";
import { CaError } from "../../registry/ca-error.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import type { AdminDeps } from "./handler.ts";

type NotYet = "createAdmin" | "listAdmins" | "deleteAdmin";

export function methodsNotYet(deps: AdminDeps): Pick<AdminServiceServer, NotYet> {
  const refuse = (): never => {
    throw new CaError("not_supported", "this server does not do that yet");
  };
  return {
    createAdmin: unary(deps, grpcTable, async () => refuse()),
    listAdmins: unary(deps, grpcTable, async () => refuse()),
    deleteAdmin: unary(deps, grpcTable, async () => refuse()),
  };
}
