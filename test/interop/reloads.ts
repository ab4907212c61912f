import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readFile, realpath, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { install, type Tally } from "./tally.ts";
import type { Endpoints, World } from "./world.ts";

const rotations = 5;
const rotationsWithinMs = 90_000;
const proxies = ["nginx", "haproxy"] as const;
type Proxy = (typeof proxies)[number];

/** The identities that the sample proxies serve, each with the reload action of its sample. */
export function servedByProxies(
  world: World,
): readonly { readonly name: string; readonly ttl: string; readonly reload: readonly string[] }[] {
  return proxies.map((proxy) => ({
    name: proxy,
    ttl: "8s",
    reload: ["/bin/bash", join(import.meta.dirname, "reload-samples.sh"), proxy, runFolder(world)],
  }));
}

/**
 * nginx and HAProxy by the configurations of deploy/samples, through five leaves and one change of the intermediate,
 * with CRLs on. One reload fails on purpose; not one handshake does.
 */
export async function judgeReloads(tally: Tally, world: World, agent: Endpoints): Promise<void> {
  if (!(await install(tally, "proxies"))) return;
  await mkdir(runFolder(world));
  for (const proxy of proxies) {
    const running = await start(world, proxy);
    try {
      await judgeOne(tally, world, { proxy, port: running.port, agent });
    } finally {
      running.child.kill("SIGTERM");
    }
  }
}

async function judgeOne(
  tally: Tally,
  world: World,
  { proxy, port, agent }: { readonly proxy: Proxy; readonly port: number; readonly agent: Endpoints },
): Promise<void> {
  const deadline = Date.now() + rotationsWithinMs;
  const failedBefore = await failedReloads(agent);
  const served = new Set<string>();
  const failures: string[] = [];
  let handshakes = 0;
  let rotated: Promise<unknown> | undefined;
  const once = async (): Promise<void> => {
    handshakes += 1;
    await handshake(world, port).then(
      (serial) => served.add(serial),
      (error: Error) => failures.push(error.message),
    );
    await sleep(40);
  };
  while (served.size <= rotations && Date.now() < deadline) {
    await once();
    if (rotated === undefined && served.size === 2) {
      await writeFile(join(runFolder(world), `${proxy}.fail`), "");
      rotated = world.signet("authority", "rotate").catch((error: unknown) => error);
    }
  }
  const answer = await rotated;
  for (let more = 0; more < 20; more++) await once();
  const failedReload = (await failedReloads(agent)) - failedBefore;
  const say = (held: boolean, text: string): void => (held ? tally.ok(text) : tally.fail(text));
  say(served.size > rotations, `${proxy}: ${served.size - 1} rotations served, wanted ${rotations}`);
  say(
    !(answer instanceof Error),
    `${proxy}: the intermediate changed${answer instanceof Error ? `: ${answer.message}` : ""}`,
  );
  say(failedReload >= 1, `${proxy}: ${failedReload} reload failed on purpose, counted, and was tried again`);
  say(failures.length === 0, `${proxy}: ${handshakes} handshakes, ${failures.length} failed ${failures[0] ?? ""}`);
}

/** One TLS 1.3 handshake with identity `a`, and a request; gives the serial that was served. Rejects with what went wrong. */
async function handshake(world: World, port: number): Promise<string> {
  const set = await realpath(join(world.identityDir("a"), "..data"));
  const [pem, roots] = await Promise.all(["tls.pem", "ca.crt"].map((name) => readFile(join(set, name))));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({
    host: "127.0.0.1",
    port,
    cert: pem,
    key: pem,
    ca: roots,
    minVersion: "TLSv1.3",
    checkServerIdentity: () => undefined,
  });
  socket.setTimeout(5000, () => socket.destroy(new Error("no answer in 5 s")));
  let answer = "";
  let serial = "";
  socket.once("secureConnect", () => {
    serial = socket.getPeerCertificate().serialNumber.toLowerCase();
    socket.write("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
  });
  socket.on("data", (octets) => {
    answer += octets.toString();
  });
  socket.once("error", reject);
  socket.once("close", () => {
    if (answer.includes("SUCCESS")) resolve(serial);
    else reject(new Error(`closed with ${JSON.stringify(answer.slice(0, 60))}`));
  });
  return promise;
}

async function start(world: World, proxy: Proxy): Promise<{ readonly child: ChildProcess; readonly port: number }> {
  const folder = runFolder(world);
  const port = await freePort();
  const sample = { nginx: "nginx/nginx.conf", haproxy: "haproxy/haproxy.cfg" }[proxy];
  const text = (await readFile(join(import.meta.dirname, "../../deploy/samples", sample), "utf8"))
    .replaceAll("127.0.0.1:8443", `127.0.0.1:${port}`)
    .replaceAll("/run/signet/web", world.identityDir(proxy))
    .replaceAll("/run/nginx.pid", join(folder, "nginx.pid"))
    .replaceAll("/var/log/nginx/error.log", join(folder, "nginx.log"));
  const config = join(folder, sample.split("/")[1] ?? "");
  await writeFile(config, text);
  const args = {
    nginx: ["-c", config, "-e", join(folder, "nginx.log"), "-g", "daemon off;"],
    haproxy: ["-W", "-f", config, "-p", join(folder, "haproxy.pid")],
  }[proxy];
  const child = spawn(proxy, args, {
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
    stdio: "ignore",
  });
  for (let attempt = 0; attempt < 100; attempt++) {
    if (
      await handshake(world, port).then(
        () => true,
        () => false,
      )
    )
      return { child, port };
    await sleep(100);
  }
  child.kill("SIGTERM");
  throw new Error(`${proxy} does not serve with its sample configuration`);
}

async function failedReloads({ ops }: Endpoints): Promise<number> {
  const page = await (await fetch(`http://${ops}/metrics`)).text();
  return Number(/^signet_agent_reloads_total\{result="failed"\} (\d+)$/m.exec(page)?.[1] ?? "0");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

function runFolder(world: World): string {
  return join(world.folder, "samples");
}
