// By hand, as in the README: init, server, token, entry, agent; then each of the two processes is killed.
import { copyFile, readdir, rm } from "node:fs/promises";
import { expect } from "vitest";
import { fetchText, it, type Place, until } from "./place.ts";
import { readSet, watchIdentity } from "./watch-identity.ts";

const identityDir = ".signet-agent/identities/svc/a";

/** A trust domain with one entry; answers the join string for its agent. */
async function prepare(place: Place, { ttl }: { readonly ttl: string }): Promise<string> {
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", ttl);
  return await place.out("token", "create", "--agent", "one", "-q");
}

it.concurrent("the server is killed by SIGKILL twice while the agent rotates: each serial is known, none twice, nothing torn", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "away.test");
  let server = await place.server();
  const agent = await place.agent({ join: await prepare(place, { ttl: "6s" }) });
  const watch = watchIdentity(place.path(identityDir));
  await watch.after(1);
  for (const round of [2, 3]) {
    server.kill("SIGKILL");
    expect((await server.ended).code).toBeNull();
    const { api } = server;
    server = await place.server();
    expect(server.api, "port 0 finds its last port again").toBe(api);
    await watch.after(round * 2 - 1);
  }
  await watch.stop();
  expect(watch.torn).toEqual([]);
  const serials = watch.seen.map(({ serialHex }) => serialHex);
  expect(new Set(serials).size).toBe(serials.length);
  const shown = await Promise.all(serials.map((serial) => place.run(["cert", "show", serial, "-o", "json"])));
  for (const [index, { code, stdout, stderr }] of shown.entries()) {
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ serialHex: serials[index], spiffeId: "spiffe://away.test/svc/a" });
  }
  expect((await place.run(["cert", "show", "4".repeat(32)])).code).toBe(1);
  const listed = JSON.parse(await place.out("cert", "list", "-o", "json")) as readonly { readonly serialHex: string }[];
  expect(new Set(listed.map(({ serialHex }) => serialHex)).size).toBe(listed.length);
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
  // What is checked all the time does tell a torn set from a good one.
  const [older = "", newer = ""] = (await readdir(place.path(identityDir))).filter((name) => name.startsWith("..v-"));
  await copyFile(place.path(identityDir, older, "tls.key"), place.path(identityDir, newer, "tls.key"));
  await expect(readSet(place.path(identityDir, newer))).rejects.toThrow("the key is not the certificate's");
});

it.concurrent("the agent is killed by SIGKILL and starts without a server: the same identity is written out again", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "away.test");
  const server = await place.server();
  const agent = await place.agent({ join: await prepare(place, { ttl: "1h" }) });
  const before = watchIdentity(place.path(identityDir));
  const { serialHex } = await before.after(0);
  await before.stop();
  agent.kill("SIGKILL");
  server.kill("SIGKILL");
  await Promise.all([agent.ended, server.ended]);
  // Where identities live in memory (/run) nothing is left after a restart of the host.
  await rm(place.path(identityDir), { recursive: true });
  const again = await place.agent();
  // Started means written out: nobody was asked before, and nobody could be.
  const after = watchIdentity(place.path(identityDir));
  expect(await after.after(0)).toMatchObject({ serialHex });
  await after.stop();
  expect(after.torn).toEqual([]);
  expect((await fetchText(again.ops, "/readyz")).status).toBe(200);
  expect((await place.run(["agent", "healthcheck"])).code).toBe(0);
  expect(await place.out("agent", "status")).toMatch(/no server/);
});

it.concurrent("without a server the agent is ready until an identity has ended, says since when, and recovers by itself", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "away.test");
  const server = await place.server();
  const agent = await place.agent({ join: await prepare(place, { ttl: "5s" }) });
  const watch = watchIdentity(place.path(identityDir));
  await watch.after(0);
  server.kill("SIGKILL");
  await server.ended;
  await agent.shown(/"event":"no server"/);
  const last = watch.seen.at(-1);
  const ready = await fetchText(agent.ops, "/readyz");
  // A probe of the last moment may fall on either side of the end; this one is about the server's absence.
  if (Date.now() < (last?.notAfter.getTime() ?? 0)) expect(ready.status).toBe(200);
  const notReady = await until(async () => {
    const answer = await fetchText(agent.ops, "/readyz?verbose");
    return answer.status === 200 ? undefined : answer;
  });
  const ended = last?.notAfter.toISOString() ?? "";
  expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(ended));
  expect(notReady.status).toBe(503);
  expect(notReady.text).toContain(`spiffe://away.test/svc/a ended at ${ended}`);
  const status = await place.run(["agent", "status"]);
  expect(status.stdout).toMatch(/ended/);
  expect((await place.run(["agent", "healthcheck"])).code).toBe(1);
  const count = watch.seen.length;
  await place.server();
  await watch.after(count);
  await until(async () => ((await fetchText(agent.ops, "/readyz")).status === 200 ? true : undefined));
  await watch.stop();
  expect(watch.torn).toEqual([]);
});
