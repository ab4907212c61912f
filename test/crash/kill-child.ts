// A server over a level store that works until it is killed. Each answer goes to the pipe once it was given, one line each.
import { createHash } from "node:crypto";
import { existsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { destroyRetiredKeys, prepareIntermediate, rotateWhatIsDue } from "../../src/authority/rotation.ts";
import { diskKeys } from "../../src/keys/disk.ts";
import { systemRandom } from "../../src/platform/random.ts";
import { createLevelStore, openLevelStore } from "../../src/store/level.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import { buildServer, testActor } from "../fakes/build-server.ts";
import { fakeClock } from "../fakes/fake-clock.ts";
import { testKey } from "../unit/x509/signers.ts";
import { clientOf } from "./client.ts";

const [dir, life] = process.argv.slice(2);
if (dir === undefined || life === undefined) throw new Error("usage: kill-child.ts DIR LIFE");

const clock = fakeClock(new Date());
const path = join(dir, "store");
const store = existsSync(path) ? await openLevelStore(path, { clock }) : await createLevelStore(path, { clock });
const keys = await diskKeys({ dir: join(dir, "keys"), random: systemRandom, passphrase: undefined });
const config = { rotation: { prepareAt: 0.5, activateAt: 0.6, acknowledgeWaitSeconds: 0 } };
const server = await buildServer({ clock, store, keys, config });
await destroyRetiredKeys(server.rotation);

function given(
  certificate: { readonly serialHex: string; readonly chainDer: readonly Uint8Array[] } | undefined,
): Uint8Array {
  const leafDer = certificate?.chainDer[0];
  if (certificate === undefined || leafDer === undefined) throw new Error("an answer without a certificate");
  const leaf = Buffer.from(leafDer).toString("base64");
  writeSync(1, `${JSON.stringify({ serialHex: certificate.serialHex, leaf })}\n`);
  return new Uint8Array(leafDer);
}

/** One node after another: it joins, gets entries and identities, renews. */
async function nodesOf(worker: number): Promise<never> {
  for (let number = 0; ; number++) {
    const name = `n-${life}-${worker}-${number}`;
    const secret = await server.token(name);
    const key = testKey("ec-p256");
    const csrDer = Buffer.from(await buildCsr(key));
    const value = { spiffeId: server.agent(name), secret: Buffer.from(secret), csrDer };
    const client = clientOf(server);
    const { certificate } = await client.attest(async () => ({ step: { $case: "join", value } }));
    const leaf = given(certificate);
    await server.entry({ agent: name, path: `/svc/${name}` });
    const item = { spiffeId: server.id(`/svc/${name}`), csrDer: await buildCsr(testKey("ec-p256")) };
    given(await client.issue(leaf, item));
    for (const { result } of (await client.batch(leaf, [item, item, item])).results) {
      if (result?.$case === "certificate") given(result.value);
    }
    given(await client.renew(leaf, await buildCsr(testKey("ec-p256"))));
  }
}

async function rotations(): Promise<never> {
  for (;;) {
    await prepareIntermediate(server.rotation, { activateFrom: clock.now() }, testActor);
    await rotateWhatIsDue(server.rotation);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

writeSync(1, `${JSON.stringify({ ready: createHash("sha256").update(dir).digest("hex") })}\n`);
await Promise.all([nodesOf(0), nodesOf(1), nodesOf(2), rotations()]);
