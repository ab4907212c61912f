import { once } from "node:events";
import { type ClientDuplexStream, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import {
  AgentReport,
  IdentityState,
  type SyncRequest,
  type SyncResponse,
} from "../../../proto/gen/signet/v1/issuance.ts";
import { prepareIntermediate, rotateWhatIsDue } from "../../../src/authority/rotation.ts";
import { deleteEntry, updateEntry } from "../../../src/registry/entries.ts";
import { findNode, getNodeView } from "../../../src/registry/nodes.ts";
import { type NodeRecord, nodes } from "../../../src/store/collections/nodes.ts";
import { update } from "../../../src/store/store.ts";
import { testActor } from "../../fakes/build-server.ts";
import { type Presented, type Served, serve } from "./served.ts";

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

type Stream = ClientDuplexStream<SyncRequest, SyncResponse>;

async function synced(): Promise<{
  readonly served: Served;
  readonly one: Presented;
  readonly stream: Stream;
  readonly next: () => Promise<SyncResponse>;
}> {
  const served = await serve();
  open.push(served);
  const one = await served.agentNamed("one");
  const stream = served.issuance(one).sync();
  stream.on("error", () => undefined);
  const waiting: SyncResponse[] = [];
  let wake = (): void => undefined;
  stream.on("data", (message: SyncResponse) => {
    waiting.push(message);
    wake();
  });
  const next = async (): Promise<SyncResponse> => {
    for (;;) {
      const first = waiting.shift();
      if (first !== undefined) return first;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { served, one, stream, next };
}

const reportOf = (fields: Partial<AgentReport> = {}): SyncRequest => ({ report: AgentReport.fromPartial(fields) });

test("Sync begins with the full state: entries, bundle, deny list with CRLs, addresses", async () => {
  const { served, stream, next } = await synced();
  stream.write(reportOf());
  const first = await next();
  expect(first.entries).toMatchObject({ full: true, entries: [], deleted: [], revision: 0n });
  expect(first.bundle).toMatchObject({ trustDomain: "prod.example", sequence: 1n, refreshHintSeconds: 300 });
  expect(first.denyList).toMatchObject({ sequence: 1n, denied: [] });
  expect(first.denyList?.crlsDer).toHaveLength(2);
  expect(first.addresses?.addresses).toEqual([served.api.address]);
  expect(first.renewNow).toBeUndefined();
});

test("Sync pushes a new entry at once, its change with a higher revision, its deletion by name with a higher one, and no other agent's", async () => {
  const { served, next } = await synced();
  await next();
  await served.entry({ agent: "two", path: "/svc/two" });
  const made = await served.entry({ dnsNames: ["a.test"] });
  const created = await next();
  expect(created.bundle).toBeUndefined();
  expect(created.entries).toMatchObject({
    full: true,
    revision: BigInt(made.revision),
    entries: [
      {
        entryId: "e-2",
        spiffeId: served.id("/svc/a"),
        dnsNames: ["a.test"],
        ttlSeconds: 3600,
        revision: BigInt(made.revision),
      },
    ],
  });
  const changed = await updateEntry(served.nouns, made, { ttlSeconds: 60 }, testActor);
  expect((await next()).entries?.entries).toMatchObject([{ ttlSeconds: 60, revision: BigInt(changed.revision) }]);
  const gone = await deleteEntry(served.nouns, changed, testActor);
  expect((await next()).entries).toMatchObject({
    entries: [],
    deleted: [{ entryId: "e-2", spiffeId: served.id("/svc/a"), revision: BigInt(gone.revision) }],
    revision: BigInt(gone.revision),
  });
  expect(gone.revision).toBeGreaterThan(changed.revision);
});

test("Sync brings a prepared authority's CRL with a higher sequence, and asks to renew after an activation", async () => {
  const { served, stream, next } = await synced();
  await next();
  await prepareIntermediate(served.rotation, { activateFrom: served.clock.now() }, testActor);
  const prepared = await next();
  expect(prepared.denyList).toMatchObject({ sequence: 2n });
  expect(prepared.denyList?.crlsDer).toHaveLength(3);
  expect(prepared.renewNow).toBeUndefined();
  const heard = new Promise<void>((resolve) => {
    served.announcements.subscribe(({ kind }) => kind === "report" && resolve());
  });
  stream.write(reportOf({ deniedSequence: 2n }));
  await heard;
  expect((await rotateWhatIsDue(served.rotation)).done).toEqual(["int-2 active"]);
  expect((await next()).renewNow?.spiffeIds).toEqual([served.agent("one")]);
});

test("Sync keeps what an agent reports, cut to size, with the server's time", async () => {
  const { served, stream, next } = await synced();
  await next();
  const heard = new Promise<void>((resolve) => {
    served.announcements.subscribe(({ kind }) => kind === "report" && resolve());
  });
  const agentTime = new Date(served.clock.now().getTime() - 7000);
  const notAfter = new Date(served.clock.now().getTime() + 1000);
  stream.write(
    reportOf({
      bundleSequence: 1n,
      deniedSequence: 2n ** 64n - 1n,
      entryRevision: 9n,
      agentTime,
      version: "v".repeat(1000),
      heldBackBy: "h".repeat(1000),
      identities: [
        {
          spiffeId: served.id("/svc/a"),
          serialHex: "ab",
          notAfter,
          renewAt: notAfter,
          state: IdentityState.IDENTITY_STATE_WRITE_FAILED,
          lastError: "e".repeat(1000),
          entryRevision: 3n,
        },
        { spiffeId: "x", serialHex: "", state: 77 as IdentityState, lastError: "", entryRevision: 0n },
      ],
    }),
  );
  await heard;
  const { report } = await getNodeView(served.store, served.agent("one"));
  expect(report).toMatchObject({
    seenAt: served.clock.now().getTime(),
    bundleSequence: 1n,
    deniedSequence: 2n ** 64n - 1n,
    entryRevision: 9,
    clockOffsetMs: -7000,
    version: "v".repeat(64),
    heldBackBy: "h".repeat(512),
    identities: [
      { state: "write_failed", notAfter: notAfter.getTime(), lastError: "e".repeat(512), entryRevision: 3 },
      { state: "memory", notAfter: 0, renewAt: 0 },
    ],
  });
});

test("Sync reads everything anew after the configured time", async () => {
  const { served, next } = await synced();
  await next();
  await served.clock.sleepers(1);
  await served.clock.advance(served.config.fullReadSeconds * 1000);
  const again = await next();
  expect(again.entries?.full).toBe(true);
  expect(again.bundle).toBeDefined();
  expect(again.denyList).toBeDefined();
});

test("Sync gives a slow reader the newest state once it reads again, and not all in between", async () => {
  const { served, stream, next } = await synced();
  await next();
  const bulk = Array.from({ length: 99 }, (_, i) => `${"n".repeat(60)}.${"m".repeat(60)}.host-${i}.test`);
  const made = await Promise.all(
    Array.from({ length: 60 }, (_, i) => served.entry({ path: `/svc/bulk-${i}`, dnsNames: bulk })),
  );
  stream.pause();
  let last = made[0];
  if (last === undefined) throw new Error("no entry");
  const changes = 100;
  for (let i = 1; i <= changes; i++) {
    last = await updateEntry(served.nouns, last, { hint: `change ${i}` }, testActor);
    await new Promise((resolve) => setTimeout(resolve, 2)); // Time to send, were there room.
  }
  stream.resume();
  let messages = 0;
  for (;;) {
    const { entries } = await next();
    messages++;
    if (entries !== undefined && entries.revision === BigInt(last.revision)) break;
  }
  expect(messages).toBeLessThan(changes / 2);
});

test("Sync keeps only the newest of many reports that come faster than the store", async () => {
  const { served, stream, next } = await synced();
  await next();
  for (let sequence = 1n; sequence <= 200n; sequence++) stream.write(reportOf({ bundleSequence: sequence }));
  const last = async (): Promise<bigint | undefined> =>
    (await getNodeView(served.store, served.agent("one"))).report?.bundleSequence;
  await expect.poll(last).toBe(200n);
});

test("Sync ends for a banned agent at the next word, with the rule", async () => {
  const { served, stream, next } = await synced();
  await next();
  const node = await findNode(served.store, served.agent("one"));
  if (node === undefined) throw new Error("no node");
  const banned: NodeRecord = { ...node.value, state: "banned" };
  await served.store.commit([update(nodes, banned, node.revision)]);
  const ended = once(stream, "error");
  await served.entry();
  const [error] = (await ended) as [ServiceError];
  expect(error.code).toBe(status.PERMISSION_DENIED);
});

test("Sync ends well when the agent ends it, and when the server stops", async () => {
  const first = await synced();
  await first.next();
  first.stream.end();
  await once(first.stream, "end");
  const second = await synced();
  await second.next();
  const over = once(second.stream, "status");
  open.splice(open.indexOf(second.served), 1);
  await second.served.close();
  expect(await over).toMatchObject([{ code: status.OK }]);
});
