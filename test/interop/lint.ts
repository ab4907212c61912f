import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { IssuanceServiceClient } from "../../proto/gen/signet/v1/issuance.ts";
import { generateKey } from "../../src/keys/generate.ts";
import type { KeyType } from "../../src/keys/key-manager.ts";
import { handleOf } from "../../src/keys/pkcs8.ts";
import { callUnary } from "../../src/sdk/rpc.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import { encodePem } from "../../src/x509/pem.ts";
import { agentIdentity } from "./held-keys.ts";
import { shownChain, splitPem } from "./pem-files.ts";
import { check, install, type Tally } from "./tally.ts";
import { type Endpoints, trustDomain, type World } from "./world.ts";

const leafKeyTypes: readonly KeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];
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
  const leaves = await leavesOfEveryKeyType(world, server);
  for (const [keyType, chain] of leaves) {
    const file = join(files, `leaf-${keyType}.pem`);
    await writeFile(file, `${chain}${root}`);
    await check(tally, "lint", { args: ["chain", file], env: strict });
  }
  const crls = await splitPem(join(dir, "crl.pem"), { label: "X509 CRL", into: files });
  if (crls.length < 2) tally.fail(`crl.pem holds ${crls.length} CRLs, one for each root and intermediate is wanted`);
  for (const crl of crls) await check(tally, "lint", { args: ["crl", crl], env: strict });
}

/** A workload's leaf over a key of each type, asked for with the agent's own certificate, each of an entry of its own. */
async function leavesOfEveryKeyType(world: World, server: Endpoints): Promise<readonly (readonly [KeyType, string])[]> {
  const held = await agentIdentity(world);
  const ca = await readFile(join(world.identityDir("a"), "ca.crt"));
  const tls = credentials.createSsl(ca, Buffer.from(held.keyPem), Buffer.from(held.chainPem), {
    checkServerIdentity: () => undefined,
  });
  const client = new IssuanceServiceClient(server.api.replace("127.0.0.1", "localhost"), tls);
  try {
    const leaves: [KeyType, string][] = [];
    for (const keyType of leafKeyTypes) {
      const id = `/keys/${keyType}`;
      await world.signet("entry", "create", "--id", id, "--agent", "one", "--dns", `${keyType}.${trustDomain}`);
      const csrDer = await buildCsr(handleOf(keyType, await generateKey(keyType)));
      const item = { spiffeId: `spiffe://${trustDomain}${id}`, csrDer: Buffer.from(csrDer), ttlSeconds: 0 };
      const answer = await callUnary(client.issue.bind(client), { item }, { deadlineMs: 10_000 });
      leaves.push([keyType, (answer.certificate?.chainDer ?? []).map((der) => encodePem("CERTIFICATE", der)).join("")]);
    }
    return leaves;
  } finally {
    client.close();
  }
}
