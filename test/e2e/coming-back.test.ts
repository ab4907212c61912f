import { expect } from "vitest";
import { fetchText, it, type Place, until } from "./place.ts";

interface Own {
  readonly serialHex: string;
  readonly key: string;
  readonly notAfter: string;
}

async function ownIdentity(place: Place): Promise<Own> {
  return (await place.json(".signet-agent/agent.json"))["identity"] as Own;
}

/** Waits until a certificate, which tells nobody, has been over for so long. */
function isOver({ notAfter }: Own, byMs: number = 0): Promise<true> {
  return until(() => (Date.now() > Date.parse(notAfter) + byMs ? true : undefined));
}

const shortLife = ["--lifetimes-agent", "5s"];

it.concurrent("an agent whose own certificate ended while the server was away comes back with a new key and no join string", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "back.test");
  const server = await place.server({ args: shortLife });
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "5s");
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  await agent.shown(/"event":"identity on disk"/);
  server.kill("SIGKILL");
  await server.ended;
  const ended = await ownIdentity(place);
  await isOver(ended);
  const before = agent.lines.length;
  await place.server({ env: { SIGNET_LIFETIMES_AGENT: "5s" } });
  await agent.shown(/"event":"came back by the key of the last certificate"/, before);
  await agent.shown(/"event":"identity on disk"/, before);
  const now = await ownIdentity(place);
  expect(now.serialHex).not.toBe(ended.serialHex);
  expect(now.key).not.toBe(ended.key);
  const known = await Promise.all(
    [ended, now].map(({ serialHex }) => place.run(["cert", "show", serialHex, "-o", "json"])),
  );
  for (const { code, stdout } of known) {
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ spiffeId: "spiffe://back.test/agent/one", profile: "agent" });
  }
});

it.concurrent("an agent that was away longer than agent_grace is refused with the reason, and needs a new join string", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "back.test");
  await place.server({ args: [...shortLife, "--agent-grace", "1s"] });
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  agent.kill("SIGTERM");
  expect((await agent.ended).code).toBe(0);
  const ended = await ownIdentity(place);
  await isOver(ended, 1500);
  const late = await place.agent();
  const refusal = await late.shown(/"event":"no server"/);
  expect(refusal).toMatch(/too long ago \(on the server: signet token create --agent one\)/);
  expect(await place.out("agent", "status")).toMatch(/too long ago/);
  expect((await ownIdentity(place)).serialHex).toBe(ended.serialHex);
  late.kill("SIGTERM");
  expect((await late.ended).code).toBe(0);
  const rejoined = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  await rejoined.shown(/"event":"joined anew by the join string"/);
  await rejoined.shown(/"event":"server reached"/);
});

it.concurrent("an agent that slept through the end of its own certificate comes back when it wakes", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "back.test");
  await place.server({ args: shortLife });
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  await agent.shown(/"event":"server reached"/);
  agent.kill("SIGSTOP");
  await isOver(await ownIdentity(place));
  const before = agent.lines.length;
  agent.kill("SIGCONT");
  // It does not wait for its next report, which is due after 30 s.
  const late = new Promise((resolve) => AbortSignal.timeout(15_000).addEventListener("abort", () => resolve("late")));
  expect(
    await Promise.race([late, agent.shown(/"event":"came back by the key of the last certificate"/, before)]),
  ).not.toBe("late");
});

it.concurrent("the join string that an agent has joined with is not tried again when it may not come back", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "back.test");
  const server = await place.server({ args: [...shortLife, "--agent-grace", "1s"] });
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  await agent.shown(/"event":"server reached"/);
  agent.kill("SIGSTOP");
  await isOver(await ownIdentity(place), 1500);
  agent.kill("SIGCONT");
  await agent.shown(/too long ago \(on the server: signet token create --agent one\)/);
  expect((await fetchText(server.ops, "/metrics")).text).toMatch(/^signet_token_reused_total 0$/m);
  expect(JSON.parse(await place.out("token", "list", "-o", "json"))).toMatchObject([{ state: "used", reused: 0 }]);
});
