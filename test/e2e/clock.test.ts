import { join } from "node:path";
import { expect } from "vitest";
import { fetchText, it, type Place, until } from "./place.ts";
import { watchIdentity } from "./watch-identity.ts";

/** An environment in which the wall clock of a process is off by what is set. */
async function shiftable(
  place: Place,
  name: string,
): Promise<{ readonly env: Readonly<Record<string, string>>; set(ms: number): Promise<unknown> }> {
  const file = await place.write(`${name}.shift`, "0");
  const preload = join(import.meta.dirname, "shifted-clock.ts");
  return {
    env: { NODE_OPTIONS: `--import=${preload}`, SHIFT_FILE: file },
    set: (ms) => place.write(`${name}.shift`, String(ms)),
  };
}

const hour = 3_600_000;

it("the server's clock jumps 6 h forward: nothing is signed, nobody is lost, and accept-clock or the clock itself ends it", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "clock.test");
  const shift = await shiftable(place, "server");
  const server = await place.server({ env: shift.env });
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "10s");
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  const watch = watchIdentity(place.path(".signet-agent/identities/svc/a"));
  await watch.after(0);

  await shift.set(6 * hour);
  const readyz = await until(async () => {
    const answer = await fetchText(server.ops, "/readyz?verbose");
    return answer.status === 503 ? answer.text : undefined;
  });
  expect(readyz).toMatch(/clock.*the server's clock went 6 h forward at/);
  expect((await fetchText(server.ops, "/metrics")).text).toMatch(/^signet_clock_unsure 1$/m);
  const issued = await place.out("cert", "list", "-q");
  const before = watch.seen.at(-1);
  await agent.shown(/not issuing: the server's clock went 6 h forward/, agent.lines.length);
  expect(await place.out("cert", "list", "-q")).toBe(issued);
  expect(watch.seen.at(-1)).toEqual(before);
  expect(await place.out("status")).toMatch(
    /problem +not issuing: the server's clock went 6 h forward at .*1 of 1 agents/s,
  );

  // Back by itself.
  const seen = watch.seen.length;
  await shift.set(0);
  await watch.after(seen);
  await until(async () => ((await fetchText(server.ops, "/readyz")).status === 200 ? true : undefined));
  expect((await fetchText(server.ops, "/metrics")).text).toMatch(/^signet_clock_unsure 0$/m);

  // An hour back, and an admin says that it is right. The agent keeps what it has: for it that time is wrong.
  await shift.set(-hour);
  await until(async () => ((await fetchText(server.ops, "/readyz")).status === 503 ? true : undefined));
  const refused = await place.run(["server", "accept-clock"]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/went 1 h back at/);
  expect(await place.out("server", "accept-clock", "--yes", "--reason", "a test")).toMatch(/^clock accepted: /);
  await until(async () => ((await fetchText(server.ops, "/readyz")).status === 200 ? true : undefined));
  await watch.stop();
  expect(watch.torn).toEqual([]);
});

it("a server that starts before the latest time it used is not sure, serves, and issues once its clock is right", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "clock.test");
  const shift = await shiftable(place, "server");
  const first = await place.server({ env: shift.env });
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "10s");
  const agent = await place.agent({ join: await place.out("token", "create", "--agent", "one", "-q") });
  const watch = watchIdentity(place.path(".signet-agent/identities/svc/a"));
  await watch.after(0);
  first.kill("SIGTERM");
  expect((await first.ended).code).toBe(0);
  await shift.set(-2 * hour);
  const again = await place.server({ env: shift.env });
  expect((await fetchText(again.ops, "/readyz?verbose")).text).toMatch(/clock.*went .* back/);
  await agent.shown(/not issuing: the server's clock went/, agent.lines.length);
  const seen = watch.seen.length;
  await shift.set(0);
  await watch.after(seen);
  await watch.stop();
});

it("an agent's clock goes an hour back, then a day forward: its identities go on, renewed when due, none lost", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", "clock.test");
  const shift = await shiftable(place, "agent");
  await place.server();
  await place.out("entry", "create", "--id", "/svc/a", "--agent", "one", "--ttl", "8s");
  const join = await place.out("token", "create", "--agent", "one", "-q");
  const agent = await place.agent({ join, env: shift.env });
  const watch = watchIdentity(place.path(".signet-agent/identities/svc/a"));
  await watch.after(0);
  for (const ms of [-hour, 24 * hour]) {
    const from = agent.lines.length;
    const seen = watch.seen.length;
    const startedMs = performance.now();
    await shift.set(ms);
    // Two renewals, each at its time: by the wall clock they would all be due at once, or not for an hour.
    await watch.after(seen);
    await watch.after(seen + 1);
    const tookMs = performance.now() - startedMs;
    expect(watch.seen.length - seen).toBe(2);
    expect(tookMs).toBeGreaterThan(2000);
    expect((await fetchText(agent.ops, "/readyz")).status).toBe(200);
    const lines = agent.lines.slice(from);
    expect(lines.filter((line) => line.includes("identity not renewed"))).toEqual([]);
    expect(lines.filter((line) => line.includes("identity obtained")).length).toBeLessThanOrEqual(3);
    // What it says of its clock is the clock of its host, for who has to mend it.
    await until(async () => {
      const offset = /^signet_agent_clock_offset_seconds (-?[\d.]+)/m.exec(
        (await fetchText(agent.ops, "/metrics")).text,
      );
      return Math.abs(Number(offset?.[1]) - ms / 1000) < 60 ? true : undefined;
    });
  }
  await watch.stop();
  expect(watch.torn).toEqual([]);
});
