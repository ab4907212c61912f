import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { called, serve } from "./served.ts";

test("drain() lets a call that is under way finish, takes no new connection, and ends", async () => {
  const clock = fakeClock(new Date());
  let holding = false;
  let release = (): void => undefined;
  const held = new Promise<undefined>((resolve) => {
    release = () => resolve(undefined);
  });
  let reached = (): void => undefined;
  const committing = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const store = createMemoryStore({
    clock,
    faults: {
      before: (call) => {
        if (call.operation !== "commit" || !holding) return undefined;
        reached();
        return held;
      },
    },
  });
  const served = await serve({ clock, store });
  const one = await served.agentNamed("one");
  await served.entry();
  const client = served.issuance(one);
  holding = true;
  const item = {
    spiffeId: served.id("/svc/a"),
    csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))),
    ttlSeconds: 0,
  };
  const underWay = called(client.issue.bind(client), { item });
  await committing;
  const drained = served.api.drain(5000);
  const late = served.bundle();
  await expect(called(late.getBundle.bind(late), {})).rejects.toMatchObject({
    code: expect.toSatisfy((code) => code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED),
  });
  release();
  expect((await underWay).certificate?.spiffeId).toBe(served.id("/svc/a"));
  await drained;
  await served.close();
});

test("drain() ends a call that does not finish in time", async () => {
  const clock = fakeClock(new Date());
  let armed = false;
  const never = new Promise<undefined>(() => undefined);
  const store = createMemoryStore({
    clock,
    faults: { before: (call) => (armed && call.operation === "commit" ? never : undefined) },
  });
  const served = await serve({ clock, store });
  const one = await served.agentNamed("one");
  await served.entry();
  armed = true;
  const client = served.issuance(one);
  const item = {
    spiffeId: served.id("/svc/a"),
    csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))),
    ttlSeconds: 0,
  };
  const failed = expect(called(client.issue.bind(client), { item })).rejects.toMatchObject({
    code: expect.toSatisfy((code) => code === status.UNAVAILABLE || code === status.CANCELLED),
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await served.api.drain(100);
  await failed;
  await served.close();
});
