import { readdir, readFile, unlink } from "node:fs/promises";
import { expect } from "vitest";
import { fetchText, it, type Place, until } from "./place.ts";
import { watchIdentity } from "./watch-identity.ts";

async function agentWith(
  place: Place,
  reload: string,
  ttl: string = "5s",
): Promise<Awaited<ReturnType<Place["agent"]>>> {
  const file = await place.write(
    "agent.yaml",
    `data_dir: ${place.path(".signet-agent")}\nidentities:\n  - spiffe_id: spiffe://load.test/svc/a\n    dir: ${place.path("a")}\n    reload: ${reload}\n`,
  );
  await place.out("init", "--trust-domain", "load.test");
  await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", ttl);
  const join = await place.out("token", "create", "--agent", "one", "-q");
  return await place.agent({ join, args: ["-c", file] });
}

function lines(place: Place, name: string): Promise<readonly string[]> {
  return readFile(place.path(name), "utf8").then(
    (text) => text.trim().split("\n"),
    () => [],
  );
}

async function reloads(ops: string, result: string): Promise<number> {
  const { text } = await fetchText(ops, "/metrics");
  return Number(new RegExp(`^signet_agent_reloads_total{result="${result}"} (\\d+)`, "m").exec(text)?.[1]);
}

it.concurrent("a reload command runs without a shell at every rotation and finds the new identity", async ({
  place,
}) => {
  const script = await place.write(
    "reload.mjs",
    `import { appendFileSync, readFileSync } from "node:fs";
     const { serialHex } = JSON.parse(readFileSync(${JSON.stringify(place.path("a/identity.json"))}, "utf8"));
     appendFileSync(${JSON.stringify(place.path("serials"))}, serialHex + "\\n");
     appendFileSync(${JSON.stringify(place.path("given"))}, JSON.stringify([process.argv.slice(2), Object.keys(process.env).sort()]) + "\\n");`,
  );
  const agent = await agentWith(place, `{command: ["${process.execPath}", "${script}", "$HOME; touch x"]}`);
  const watch = watchIdentity(place.path("a"));
  await watch.after(2);
  await watch.stop();
  const serials = watch.seen.slice(0, 3).map(({ serialHex }) => serialHex);
  const told = await until(async () => {
    const now = await lines(place, "serials");
    return serials.every((serial) => now.includes(serial)) ? now : undefined;
  });
  expect(told.slice(0, 3)).toEqual(serials);
  // Nothing was made of the argument, and nothing of the agent's environment was given on.
  for (const given of await lines(place, "given"))
    expect(JSON.parse(given)).toEqual([["$HOME; touch x"], ["LANG", "PATH"]]);
  await until(async () => ((await reloads(agent.ops, "ok")) >= 3 ? true : undefined));
  expect(await reloads(agent.ops, "failed")).toBe(0);
});

it.concurrent("a reload signal reaches the process of the pid file at every rotation", async ({ place }) => {
  const service = place.program(process.execPath, [
    "-e",
    'let n = 0; process.on("SIGHUP", () => console.log("reloaded", ++n)); setInterval(() => {}, 1e6); console.log("up");',
  ]);
  await service.shown(/^up$/);
  const pidFile = await place.write("service.pid", `${service.pid}\n`, 0o644);
  await agentWith(place, `{signal: HUP, pid_file: ${pidFile}}`);
  await service.shown(/^reloaded 3$/);
});

it.concurrent("a reload that fails is retried, counted and shown by agent status, and the identity is used all the same", async ({
  place,
}) => {
  const broken = place.path("broken");
  const script = await place.write(
    "reload.sh",
    `if [ -e ${broken} ]; then echo "the service does not answer" >&2; exit 3; fi\n`,
  );
  await place.write("broken", "");
  const agent = await agentWith(place, `{command: [/bin/sh, "${script}"]}`, "1h");
  // One rotation, so the second try is a retry.
  await until(async () => ((await reloads(agent.ops, "failed")) >= 2 ? true : undefined));
  const status = await place.out("agent", "status");
  expect(status).toMatch(/reload failed: \/bin\/sh ended with 3: the service does not answer\n/);
  const state = JSON.parse(await place.out("agent", "status", "-o", "json")) as {
    readonly identities: readonly object[];
  };
  expect(state.identities).toMatchObject([{ spiffeId: "spiffe://load.test/svc/a", state: "reload_failed" }]);
  expect((await fetchText(agent.ops, "/readyz")).status).toBe(200);
  expect(await readdir(place.path("a"))).toContain("tls.pem");
  await unlink(place.path("broken"));
  await until(async () => ((await reloads(agent.ops, "ok")) >= 1 ? true : undefined));
  expect(await place.out("agent", "status")).not.toMatch(/does not answer/);
});
