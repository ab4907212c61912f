import { join } from "node:path";
import { check, install, type Tally } from "./tally.ts";
import type { Endpoints, World } from "./world.ts";

const root = join(import.meta.dirname, "../..");

/** buf on the protocol; health, unknown methods and big messages against the api port; a small load. */
export async function judgeGrpc(tally: Tally, world: World, server: Endpoints): Promise<void> {
  if (!(await install(tally, "grpc"))) return;
  const ca = join(world.identityDir("a"), "ca.crt");
  await check(tally, "grpc", { args: ["server", server.api, ca, "localhost"] });
  const method = "signet.v1.BundleService/GetBundle";
  await check(tally, "grpc", {
    args: ["load", server.api, ca, "localhost", join(root, "proto/signet/v1/bundle.proto"), method, "{}"],
  });
}
