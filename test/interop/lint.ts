import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { agentIdentity } from "./held-keys.ts";
import { shownChain, splitPem } from "./pem-files.ts";
import { check, install, type Tally } from "./tally.ts";
import type { Endpoints, World } from "./world.ts";

const strict = { STRICT: "1" };

/** zlint and pkilint, warnings too, on every kind of certificate and CRL that there is. */
export async function judgeByLinters(tally: Tally, world: World, server: Endpoints): Promise<void> {
  if (!(await install(tally, "lint"))) return;
  const dir = world.identityDir("a");
  const files = join(world.folder, "lint");
  await mkdir(files, { recursive: true });
  const root = await readFile(join(dir, "ca.crt"), "utf8");
  const chains = {
    workload: await readFile(join(dir, "tls.crt"), "utf8"),
    server: await shownChain(server.api),
    agent: (await agentIdentity(world)).chainPem,
  };
  for (const [name, chain] of Object.entries(chains)) {
    const file = join(files, `${name}.pem`);
    await writeFile(file, chain.includes(root.trim()) ? chain : `${chain}${root}`);
    await check(tally, "lint", { args: ["chain", file], env: strict });
  }
  const crls = await splitPem(join(dir, "crl.pem"), { label: "X509 CRL", into: files });
  if (crls.length < 2) tally.fail(`crl.pem holds ${crls.length} CRLs, one for each root and intermediate is wanted`);
  for (const crl of crls) await check(tally, "lint", { args: ["crl", crl], env: strict });
}
