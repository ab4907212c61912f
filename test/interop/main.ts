// Programs of others judge a running trust domain: `node tool/run.mjs test/interop/main.ts [openssl lint mtls ...]`.
// Ends with `N passed, N failed, N skipped`.
import { judgeGrpc } from "./grpc.ts";
import { judgeByLinters } from "./lint.ts";
import { judgeMtls } from "./mtls.ts";
import { judgeByOpenssl } from "./openssl.ts";
import { judgeMetrics } from "./prom.ts";
import { judgeByProxies, reloadOfProxies } from "./proxies.ts";
import { judgeReloads, servedByProxies } from "./reloads.ts";
import { judgeBySystemd } from "./systemd.ts";
import { checksFolder, Tally } from "./tally.ts";
import { World } from "./world.ts";

const ttl = "20s";
const keyTypes = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];

const tally = new Tally();
const asked = process.argv.slice(2);
const wanted = (name: string): boolean => asked.length === 0 || asked.includes(name);
if (checksFolder() === undefined) tally.skip("everything but openssl: there is no folder of checks (SHARED)");

if (wanted("systemd")) await judgeBySystemd(tally);
for (const keyType of keyTypes) {
  const first = keyType === keyTypes[0];
  if (!first && !wanted("lint") && !wanted("openssl")) continue;
  if (asked.length > 0 && asked.every((name) => name === "systemd")) continue;
  const world = await World.open();
  const stop = (): void => world.crew.kill();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    tally.say(`=== authorities with ${keyType} keys`);
    const server = await world.startServer({ keyType });
    const agent = await world.startAgent([
      { name: "a", ttl, reload: reloadOfProxies(world) },
      { name: "b", ttl },
      { name: "mallory", ttl: "10m" },
      ...(first && wanted("reloads") ? servedByProxies(world) : []),
    ]);
    if (wanted("openssl")) await judgeByOpenssl(tally, world);
    if (wanted("lint")) await judgeByLinters(tally, world, server);
    if (!first) continue;
    if (wanted("grpc")) await judgeGrpc(tally, world, server);
    if (wanted("prom")) await judgeMetrics(tally, { server, agent });
    if (wanted("mtls")) await judgeMtls(tally, world, server);
    if (wanted("proxies")) await judgeByProxies(tally, world);
    if (wanted("reloads")) await judgeReloads(tally, world, agent);
  } catch (error) {
    tally.fail(`${keyType}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    for (const lost of world.lost) tally.fail(lost);
    await world.close();
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
tally.say(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exitCode = tally.failed === 0 ? 0 : 1;
