import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { check, install, type Tally } from "./tally.ts";
import type { World } from "./world.ts";

const rotationWithinMs = 30_000;

/** What the agent runs after each change of `a`: a proxy that the check has up takes the new CRLs. */
export function reloadOfProxies(world: World): readonly string[] {
  return ["/bin/bash", join(import.meta.dirname, "reload-proxy.sh"), runFolder(world), world.identityDir("a")];
}

/** nginx and HAProxy on the files of an agent: through a rotation, and through a change of the intermediate with CRLs on. */
export async function judgeByProxies(tally: Tally, world: World): Promise<void> {
  if (!(await install(tally, "proxies"))) return;
  const dir = world.identityDir("a");
  const files = ["tls.crt", "tls.key", "ca.crt"].map((name) => join(dir, name));
  const wait = String(rotationWithinMs / 1000);
  const env = { TMPDIR: runFolder(world) };
  await mkdir(env.TMPDIR);
  for (const proxy of ["nginx", "haproxy"]) {
    await world.nextIdentity("a", rotationWithinMs);
    await check(tally, "proxies", { args: [proxy, ...files, wait], env });
    // A leaf that is new now lives under the old intermediate for a while. The proxy runs all through: the agent has it
    // take the CRL of the new intermediate, and only then does the server let the new intermediate sign.
    await world.nextIdentity("a", rotationWithinMs);
    const { authority } = await world.identity("a");
    let rotated: Promise<unknown> = Promise.resolve();
    await check(tally, "proxies", {
      args: [proxy, ...files, wait],
      env: { ...env, CRL: join(dir, "crl.pem") },
      onLine: (line) => {
        if (line.includes("mutual TLS 1.3"))
          rotated = world.signet("authority", "rotate").catch((error: unknown) => error);
      },
    });
    const failure = await rotated;
    await endReloadedProxy(world);
    const now = (await world.identity("a"))["authority"];
    if (failure instanceof Error) tally.fail(`signet authority rotate: ${failure.message}`);
    else if (now === authority) tally.fail(`${proxy}: the new identity is by ${String(now)} still`);
    else tally.ok(`${proxy}: from ${String(authority)} to ${String(now)} with CRLs on`);
  }
}

/** The check ends the process that it started, not the one that followed it at a reload. */
async function endReloadedProxy(world: World): Promise<void> {
  const file = join(runFolder(world), "haproxy.pid");
  const pid = await readFile(file, "utf8").catch(() => undefined);
  if (pid === undefined) return;
  await rm(file);
  process.kill(Number(pid.trim()));
}

function runFolder(world: World): string {
  return join(world.folder, "proxies");
}
