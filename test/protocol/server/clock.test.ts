// The clock rule in the real wiring: nobody signs by a clock that jumped, nobody is lost by it, and three things end it.
import { once } from "node:events";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AgentReport } from "../../../proto/gen/signet/v1/issuance.ts";
import { getNodeView } from "../../../src/registry/nodes.ts";
import { readiness } from "../../../src/server/readiness.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import { clockKey, clocks } from "../../../src/store/collections/clock.ts";
import { type NodeRecord, nodes } from "../../../src/store/collections/nodes.ts";
import { update } from "../../../src/store/store.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { buildServer } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { attested, called, type Presented, refusal, type Served, serve } from "./served.ts";

let served: Served;
let one: Presented;
let joinTwo: { readonly spiffeId: string; readonly secret: Buffer; readonly csrDer: Buffer };
const hour = 3_600_000;

beforeEach(async () => {
  served = await serve();
  one = await served.agentNamed("one");
  await served.entry();
  joinTwo = { spiffeId: served.agent("two"), secret: Buffer.from(await served.token("two")), csrDer: await csr() };
  await served.clockWatch.look();
});
afterEach(() => served.close());

const csr = async (): Promise<Buffer> => Buffer.from(await buildCsr(testKey("ec-p256")));

const renew = async (presented = one): Promise<unknown> => {
  const client = served.issuance(presented);
  return called(client.renew.bind(client), { csrDer: await csr() });
};

/** The client's side of a stream that is open. */
async function synced(presented: Presented): Promise<(agentTime: Date) => Promise<void>> {
  const stream = served.issuance(presented).sync();
  stream.on("error", () => {});
  await once(stream, "data");
  return async (agentTime) => {
    const seen = new Promise<void>((resolve) => {
      const stop = served.announcements.subscribe(({ kind }) => {
        if (kind !== "report") return;
        stop();
        resolve();
      });
    });
    stream.write({ report: AgentReport.fromPartial({ agentTime }) });
    await seen;
  };
}

async function audits(action: string): Promise<readonly unknown[]> {
  const all = await Array.fromAsync(served.store.scan(auditEvents, "key"), ({ value }) => value);
  return all.filter((event) => event.action === action);
}

const problem = async (): Promise<string> => {
  const found = await called(served.admin.getStatus.bind(served.admin), {});
  return found.problems[0]?.what ?? "";
};

const clockLine = async (): Promise<{ readonly ok: boolean } | undefined> =>
  (await readiness(served)).find(({ name }) => name === "clock");

describe.each([
  ["6 h forward", 6 * hour],
  ["a day forward", 24 * hour],
  ["a minute and a second forward", 61_000],
  ["an hour back", -hour],
])("after the clock went %s", (_, jumpMs) => {
  beforeEach(() => served.clock.jump(jumpMs));

  test("nothing is signed: Renew, Issue, BatchIssue, Attest and a rotation are refused by clock_unsure", async () => {
    const { counts } = await served.store.stats();
    const client = served.issuance(one);
    const item = { spiffeId: served.id("/svc/a"), csrDer: await csr(), ttlSeconds: 0 };
    const refused = await Promise.all([
      refusal(renew()),
      refusal(called(client.issue.bind(client), { item })),
      refusal(attested(served.issuance(), { step: { $case: "join", value: joinTwo } })),
      refusal(
        once(
          served.admin.rotateAuthority({
            rootKeyPem: Buffer.alloc(0),
            watch: false,
            reason: "",
            keyType: "",
            serves: "",
          }),
          "data",
        ),
      ),
    ]);
    for (const each of refused) {
      expect(each).toMatchObject({ grpcCode: status.UNAVAILABLE, code: "clock_unsure" });
      expect(each.detail).toMatchObject({ cure: expect.stringContaining("accept-clock"), retryAfterSeconds: 5 });
    }
    const { results } = await called(client.batchIssue.bind(client), { items: [item] });
    expect(results[0]?.result).toMatchObject({ $case: "error", value: { code: "clock_unsure" } });
    expect((await served.store.stats()).counts["certificates"]).toBe(counts["certificates"]);
    expect((await served.store.stats()).counts["authorities"]).toBe(counts["authorities"]);
    // The join string is not spent: it works once the clock is right again.
    served.clock.jump(-jumpMs);
    const answer = await attested(served.issuance(), { step: { $case: "join", value: joinTwo } });
    expect(answer.step?.$case).toBe("result");
  });

  test("it is shown: readyz, status with its cure, the doubt that the metric is made of", async () => {
    expect(await clockLine()).toMatchObject({ ok: false });
    const found = await called(served.admin.getStatus.bind(served.admin), {});
    expect(found.problems[0]).toEqual({
      what: expect.stringMatching(/^not issuing: the server's clock went .* (forward|back) at \d{4}-\d\d-\d\dT[\d:]+Z/),
      cure: "mend the clock, or if it is right: signet server accept-clock",
    });
    expect(served.clockWatch.doubt()?.offMs).toBeCloseTo(jumpMs, -2);
  });

  test("no agent is lost: it is answered, its stream stays, its report is kept; the bundle is given to anybody", async () => {
    const said = await synced(one);
    await said(new Date(served.clock.now().getTime() - jumpMs));
    expect((await getNodeView(served.store, served.agent("one"))).report).toBeDefined();
    const client = served.bundle();
    const { bundle } = await called(client.getBundle.bind(client), {});
    expect(bundle?.rootsDer).toHaveLength(1);
    const found = await called(served.admin.getStatus.bind(served.admin), {});
    expect(found).toMatchObject({ agentsLive: 1, agentsGone: 0, agentsLate: 0 });
    await served.clock.advance(2000);
    await served.clockWatch.look();
    expect(await problem()).toMatch(/; 1 of 1 agents still say \d\d:\d\d$/);
    expect(await refusal(renew())).toMatchObject({ code: "clock_unsure" });
  });

  test("it issues again by itself once the clock is back", async () => {
    expect(await refusal(renew())).toMatchObject({ code: "clock_unsure" });
    served.clock.jump(-jumpMs + 20_000);
    await renew();
    expect(await clockLine()).toMatchObject({ ok: true });
    expect(await problem()).not.toMatch(/clock/);
  });

  test("it issues again once most live agents' clocks agree with it, and says so in the audit trail", async () => {
    served.clock.jump(-jumpMs);
    const [two] = await Promise.all([served.agentNamed("two"), served.agentNamed("three")]);
    served.clock.jump(jumpMs);
    await refusal(renew());
    const wall = (): Date => new Date(served.clock.now().getTime() + 30_000);
    await (await synced(one))(wall());
    await served.clockWatch.look();
    expect(await refusal(renew())).toMatchObject({ code: "clock_unsure" });
    await (await synced(two))(wall());
    await served.clock.advance(2000);
    await served.clockWatch.look();
    await served.issue("one", "/svc/a");
    expect(await audits("clock.agents_agree")).toMatchObject([{ actor: "server", after: { agents: 2, live: 3 } }]);
  });

  test("AcceptClock takes it as it is: audited with what was held against it; a dry run does nothing", async () => {
    const accept = (dryRun: boolean): Promise<object> =>
      called(served.admin.acceptClock.bind(served.admin), { reason: "the NTP server was wrong before", dryRun });
    const because = expect.stringMatching(/^the server's clock went/);
    const wall = served.clock.now();
    const dry = await accept(true);
    expect(dry).toEqual({ serverTime: wall, already: false, wasUnsureBecause: because });
    expect(await refusal(renew())).toMatchObject({ code: "clock_unsure" });
    expect(await accept(false)).toEqual({ serverTime: wall, already: false, wasUnsureBecause: because });
    expect(await audits("clock.accept")).toMatchObject([
      {
        actor: "local",
        reason: "the NTP server was wrong before",
        before: { because },
        after: { time: wall.toISOString() },
      },
    ]);
    expect(await clockLine()).toMatchObject({ ok: true });
    expect(await accept(false)).toEqual({ serverTime: wall, already: true, wasUnsureBecause: "" });
    expect(await audits("clock.accept")).toHaveLength(1);
    const issued = await served.issue("one", "/svc/a");
    expect(issued.record.issuedAt).toBe(wall.getTime());
    // The next jump is found again, from there.
    served.clock.jump(hour);
    await expect(served.issue("one", "/svc/a")).rejects.toMatchObject({ code: "clock_unsure" });
  });

  test("a restart does not make it sure, whether or not the machine was started again", async () => {
    await refusal(renew());
    await served.clockWatch.look();
    for (const clock of [served.clock, fakeClock(served.clock.now())]) {
      const again = await buildServer({ store: served.store, keys: served.keys, clock });
      expect(again.clockWatch.doubt()).toBeDefined();
      await expect(again.issue("one", "/svc/a")).rejects.toMatchObject({ code: "clock_unsure" });
    }
  });
});

test("a jump of up to a minute goes unnoticed", async () => {
  for (const ms of [59_000, -59_000, -60_000, 60_000]) {
    served.clock.jump(ms);
    await renew();
  }
});

test("a week goes by with the server off: its clock is sure, in the same boot and in another", async () => {
  const week = 7 * 24 * hour;
  const later = fakeClock(new Date(served.clock.now().getTime() + week));
  const again = await buildServer({ store: served.store, keys: served.keys, clock: later });
  expect(again.clockWatch.doubt()).toBeUndefined();
  served.clock.pass(week / 1000);
  expect(served.clockWatch.doubt()).toBeUndefined();
});

test("a start before the latest time that was used is not sure; its own certificate is for the time that it expects", async () => {
  await served.clockWatch.close();
  const at = served.clock.now().getTime();
  expect((await served.store.get(clocks, clockKey))?.value.latest).toBe(at);
  const early = fakeClock(new Date(at - 61_000));
  const again = await serve({ store: served.store, keys: served.keys, clock: early });
  expect((await again.renewOwn()).record.issuedAt).toBe(at);
  await expect(again.issue("one", "/svc/a")).rejects.toMatchObject({ code: "clock_unsure" });
  // Set right by NTP, however long the machine was off.
  early.jump(36 * hour);
  await again.issue("one", "/svc/a");
  await again.close();
});

test("the time is kept ten seconds after it was used to issue, and once a minute else: no commit each second", async () => {
  const kept = async (): Promise<number> => (await served.store.get(clocks, clockKey))?.value.latest ?? 0;
  const seconds = async (count: number): Promise<number> => {
    const seen = new Set<number>();
    for (let second = 0; second < count; second++) {
      served.clock.pass(1);
      await served.clockWatch.look();
      seen.add(await kept());
    }
    return seen.size;
  };
  expect(await seconds(120)).toBeLessThanOrEqual(4);
  await renew();
  await seconds(11);
  expect(served.clock.now().getTime() - (await kept())).toBeLessThanOrEqual(10_000);
});

test("a store that takes no write leaves the clock unsure, and the next try goes through", async () => {
  served.clock.jump(6 * hour);
  await refusal(renew());
  const commit = served.store.commit.bind(served.store);
  Object.defineProperty(served.store, "commit", {
    value: () => Promise.reject(new Error("planted")),
    configurable: true,
  });
  const refused = await refusal(called(served.admin.acceptClock.bind(served.admin), { reason: "", dryRun: false }));
  expect(refused.grpcCode).toBe(status.INTERNAL);
  Object.defineProperty(served.store, "commit", { value: commit, configurable: true });
  expect(await refusal(renew())).toMatchObject({ code: "clock_unsure" });
  await called(served.admin.acceptClock.bind(served.admin), { reason: "", dryRun: false });
  await renew();
});

test("a banned agent and one whose certificate ended have no say", async () => {
  await served.agentNamed("two");
  const two = await served.store.get(nodes, served.agent("two"));
  if (two === undefined) throw new Error("two did not join");
  await served.store.commit([update<NodeRecord>(nodes, { ...two.value, state: "banned" }, two.revision)]);
  served.clock.pass(24 * 3600 + 5);
  await served.agentNamed("three");
  served.clock.jump(6 * hour);
  for (const name of ["one", "two"]) served.clockWatch.heard(served.agent(name), served.clock.now());
  await served.clockWatch.look();
  expect(served.clockWatch.doubt()).toBeDefined();
  served.clockWatch.heard(served.agent("three"), served.clock.now());
  await served.clock.advance(2000);
  await served.clockWatch.look();
  expect(served.clockWatch.doubt()).toBeUndefined();
});
