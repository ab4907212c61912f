import { join } from "node:path";
import { check, install, type Tally } from "./tally.ts";
import type { World } from "./world.ts";

const rotationWithinMs = 30_000;

/** nginx and HAProxy on the files of an agent: through a rotation, and through a change of the intermediate with CRLs on. */
export async function judgeByProxies(tally: Tally, world: World): Promise<void> {
  if (!(await install(tally, "proxies"))) return;
  const dir = world.identityDir("a");
  const files = ["tls.crt", "tls.key", "ca.crt"].map((name) => join(dir, name));
  const wait = String(rotationWithinMs / 1000);
  for (const proxy of ["nginx", "haproxy"]) {
    await world.nextIdentity("a", rotationWithinMs);
    await check(tally, "proxies", { args: [proxy, ...files, wait] });
    // The order that the product keeps: the CRL of the new intermediate is on disk before anything is signed by it, and a
    // service is reloaded for it (here the proxy starts then). The leaf is new, so it stays under the old one for a while.
    await world.nextIdentity("a", rotationWithinMs);
    const { authority } = await world.identity("a");
    const failure = await world.signet("authority", "rotate").catch((error: unknown) => error);
    await check(tally, "proxies", { args: [proxy, ...files, wait], env: { CRL: join(dir, "crl.pem") } });
    const now = (await world.identity("a"))["authority"];
    if (failure instanceof Error) tally.fail(`signet authority rotate: ${failure.message}`);
    else if (now === authority) tally.fail(`${proxy}: the new identity is by ${String(now)} still`);
    else tally.ok(`${proxy}: from ${String(authority)} to ${String(now)} with CRLs on`);
  }
}
