import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import { it, until } from "./place.ts";

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function dial(address: string): Socket {
  const [host = "", port] = address.split(":");
  return connect({ host, port: Number(port) });
}

async function openFiles(pid: number): Promise<readonly string[]> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  return await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
}

it.concurrent("TERM drains agent and server, exit 0, and neither answers or runs afterwards", async ({ place }) => {
  await place.out("init", "--trust-domain", "stop.test");
  const server = await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "5s");
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  await agent.shown(/"event":"identity on disk"/);
  // The agent's stream is open: the server does not wait for it to end by itself.
  server.kill("SIGTERM");
  const { code, stderr } = await server.ended;
  expect(code).toBe(0);
  expect(stderr).toMatch(/"event":"draining".*\n(.*\n)*.*"event":"stopped"/);
  expect(isAlive(server.pid)).toBe(false);
  const [error] = (await once(
    dial(server.api).on("error", () => {}),
    "error",
  ).catch((thrown: unknown) => [thrown])) as [Error];
  expect(error.message).toMatch(/ECONNREFUSED/);
  expect((await place.run(["status"])).code).toBe(4);

  await agent.shown(/"event":"no server"/);
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
  expect(isAlive(agent.pid)).toBe(false);
  expect((await place.run(["agent", "status"])).code).toBe(4);
  // A stop is not a kill: the next start finds all of it in order.
  const again = await place.server();
  expect(again.api).toBe(server.api);
  expect(again.lines.filter((line) => line.includes('"level":"warn"'))).toEqual([]);
  await place.agent();
});

it.concurrent("an INT drains like TERM, and a second one stops at once with 130", async ({ place }) => {
  await place.out("init", "--trust-domain", "stop.test");
  const calm = await place.server();
  calm.kill("SIGINT");
  expect((await calm.ended).code).toBe(0);

  const server = await place.server();
  // A call that keeps the server waiting: a stream of which nothing more comes.
  const session = connectHttp2(`https://${server.api}`, { rejectUnauthorized: false });
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": "/signet.v1.IssuanceService/Attest",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  await new Promise<void>((resolve) => session.ping(() => resolve()));
  server.kill("SIGINT");
  await server.shown(/"event":"draining"/);
  server.kill("SIGINT");
  expect((await server.ended).code).toBe(130);
  session.destroy();
  // What was cut off is found in order.
  await place.server();
});

it.concurrent("a signal while it starts ends a process too, and the next start finds all in order", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "stop.test");
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const server = place.signet(["server", "--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"]);
    await until(async () => ((await openFiles(server.pid)).some((name) => name.endsWith("/LOCK")) ? true : undefined));
    server.kill(signal);
    await server.ended;
    expect(isAlive(server.pid)).toBe(false);
  }
  await place.server();
});
