import { join } from "node:path";
import { agentIdentity, serverIdentity, writeIdentity } from "./held-keys.ts";
import { check, install, type Tally } from "./tally.ts";
import { type Endpoints, idOf, type World } from "./world.ts";

/** Service B under Go's TLS stack: A is let in, everybody else is not, whatever certificate of ours they show. */
export async function judgeMtls(tally: Tally, world: World, server: Endpoints): Promise<void> {
  if (!(await install(tally, "mtls"))) return;
  const address = await world.startServiceB("b");
  const dir = world.identityDir("a");
  const mallory = world.identityDir("mallory");
  const agent = await writeIdentity(world, "agent", await agentIdentity(world));
  const own = await writeIdentity(world, "server", await serverIdentity(world, server));
  const strangers = [
    `another workload=${join(mallory, "tls.crt")},${join(mallory, "tls.key")}`,
    `the agent's certificate=${agent.chain},${agent.key}`,
    `the server's certificate=${own.chain},${own.key}`,
  ];
  await check(tally, "mtls", {
    args: [
      address,
      join(dir, "ca.crt"),
      idOf("b"),
      join(dir, "tls.crt"),
      join(dir, "tls.key"),
      "/hello",
      strangers.join(";"),
    ],
  });
}
