import { expect, test } from "vitest";
import { getEntry } from "../../../src/registry/entries.ts";
import { findNode, liveNodes } from "../../../src/registry/nodes.ts";
import { createToken } from "../../../src/registry/tokens.ts";
import { banNode, evictNode } from "../../../src/revocation/cut-off.ts";
import { readDenyList } from "../../../src/revocation/deny-list.ts";
import { finishOpenRevocations } from "../../../src/revocation/open-revocations.ts";
import { maxRevokedTogether } from "../../../src/revocation/revoke.ts";
import { deleteEntryAndRevoke, revokeCertificates } from "../../../src/revocation/revoke-certificates.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import { type CertificateRecord, certificates } from "../../../src/store/collections/certificates.ts";
import { crls } from "../../../src/store/collections/crls.ts";
import { openRevocations } from "../../../src/store/collections/open-revocations.ts";
import { withFaults } from "../../../src/store/faults.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { type Op, putIfAbsent, type Store, StoreError } from "../../../src/store/store.ts";
import { parseCrl } from "../../../src/x509/crl.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { buildServer, sha256Hex, type TestServer, testActor } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { inProcess } from "../../fakes/in-process.ts";
import { type TestKey, testKey } from "../x509/signers.ts";

const by = { actor: testActor };

interface World {
  readonly server: TestServer;
  readonly own: { readonly key: TestKey; readonly record: CertificateRecord; readonly der: Uint8Array };
  readonly leaf: CertificateRecord;
  /** Of the same identity, by another agent. */
  readonly ofOther: CertificateRecord;
}

async function world(given: Parameters<typeof buildServer>[0] = {}): Promise<World> {
  const server = await buildServer(given);
  const { key, recorded } = await server.join();
  await server.entry();
  await server.join("two");
  await server.entry({ agent: "two" });
  return {
    server,
    own: { key, record: recorded.record, der: recorded.record.der },
    leaf: (await server.issue("one", "/svc/a")).record,
    ofOther: (await server.issue("two", "/svc/a")).record,
  };
}

async function deniedSerials({ server }: Pick<World, "server">): Promise<readonly string[]> {
  const list = await readDenyList(server.store, await server.state.reload(), server.clock.now());
  const crl = parseCrl((await server.store.get(crls, "int-1"))?.value.der ?? new Uint8Array());
  const serials = list.denied.map(({ serialHex }) => serialHex).sort();
  // The CRL says the same to proxies as the list does to everybody else.
  expect(crl.revoked.map(({ serialHex }) => serialHex).sort()).toEqual(serials);
  return serials;
}

const serials = (records: readonly CertificateRecord[]): readonly string[] =>
  records.map(({ serialHex }) => serialHex).sort();

const actions = async ({ store }: Pick<TestServer, "store">): Promise<readonly string[]> =>
  (await Array.fromAsync(store.scan(auditEvents, "key"))).map(({ value }) => value.action);

test("banNode() revokes what the node holds, nothing of others, and twice is the same as once", async () => {
  const it = await world();
  const { server, own, leaf } = it;
  const first = await banNode(server.rotation, server.agent("one"), by);
  expect(first.already).toBe(false);
  expect(serials(first.revoked)).toEqual(serials([own.record, leaf]));
  expect(await deniedSerials(it)).toEqual(serials([own.record, leaf]));
  expect((await findNode(server.store, server.agent("one")))?.value.state).toBe("banned");
  const sequence = server.state.view().trust.value.deniedSequence;
  const again = await banNode(server.rotation, server.agent("one"), by);
  expect(again).toMatchObject({ already: true, deniedSequence: sequence });
  expect(serials(again.revoked)).toEqual(serials([own.record, leaf]));
  expect((await actions(server)).filter((action) => action === "node.ban")).toHaveLength(1);
  expect((await liveNodes(server.store, server.clock.now())).map(({ node }) => node.agentId)).toEqual([
    server.agent("two"),
  ]);
});

test("a banned node gets nothing: no identity, no renewal, no way back, no join string, for ever", async () => {
  const { server, own } = await world();
  const calls = inProcess(server);
  const open = await server.token("one"); // Made before the ban.
  await banNode(server.rotation, server.agent("one"), by);
  const last = { id: server.agent("one"), serialHex: own.record.serialHex, key: own.key };
  const refused = { code: "denied", rule: "node_banned" };
  await expect(calls.renew(own.der, testKey("ec-p256"))).rejects.toMatchObject(refused);
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ facts: { rule: "node_banned" } });
  await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject(refused);
  await expect(calls.join(open, server.agent("one"), testKey("ec-p256"))).rejects.toMatchObject(refused);
  const wanted = {
    subject: server.agent("one"),
    ttlSeconds: 60,
    addresses: ["ca.test:1"],
    rootPins: [],
    replace: true,
  };
  await expect(createToken(server.nouns, wanted, testActor)).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "node_banned" },
  });
  await expect(evictNode(server.rotation, server.agent("one"), by)).rejects.toMatchObject({
    facts: { rule: "node_banned" },
  });
});

test("evictNode() revokes the node's own certificate alone; a new join string lets it join anew, its key does not", async () => {
  const it = await world();
  const { server, own, leaf } = it;
  const calls = inProcess(server);
  const cut = await evictNode(server.rotation, server.agent("one"), by);
  expect(serials(cut.revoked)).toEqual([own.record.serialHex]);
  expect(await deniedSerials(it)).toEqual([own.record.serialHex]);
  expect((await evictNode(server.rotation, server.agent("one"), by)).already).toBe(true);
  const last = { id: server.agent("one"), serialHex: own.record.serialHex, key: own.key };
  await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject({ rule: "node_unknown" });
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ facts: { rule: "node_unknown" } });
  const back = await calls.join(await server.token("one"), server.agent("one"), testKey("ec-p256"));
  expect(back.certificate?.serialHex).not.toBe(own.record.serialHex);
  expect((await server.issue("one", "/svc/a")).record.serialHex).not.toBe(leaf.serialHex);
  // Banned it can be all the same, and then nothing is left.
  expect((await banNode(server.rotation, server.agent("one"), by)).revoked.length).toBe(4);
});

test("the join string by which an evicted node had come is of no use to it: what it gave was revoked", async () => {
  const server = await buildServer();
  const secret = await server.token("one");
  const key = testKey("ec-p256");
  const calls = inProcess(server);
  await calls.join(secret, server.agent("one"), key);
  await evictNode(server.rotation, server.agent("one"), by);
  await expect(calls.join(secret, server.agent("one"), key)).rejects.toMatchObject({
    code: "token_used",
    rule: "certificate_revoked",
  });
});

test.each(["ban", "evict"] as const)(
  "%s of a node that never joined is not_found, and a dry run changes nothing",
  async (verb) => {
    const { server } = await world();
    const cut = verb === "ban" ? banNode : evictNode;
    await expect(cut(server.rotation, server.agent("nobody"), by)).rejects.toMatchObject({ code: "not_found" });
    const before = await actions(server);
    const dry = await cut(server.rotation, server.agent("one"), { ...by, dryRun: true });
    expect(dry.revoked).toHaveLength(verb === "ban" ? 2 : 1);
    expect(await actions(server)).toEqual(before);
    expect((await findNode(server.store, server.agent("one")))?.value.state).toBe("member");
  },
);

/** A store in which something happens just before the first commit that `is` the one. */
function meanwhile(inner: Store, is: (ops: readonly Op[]) => boolean, happens: () => Promise<unknown>): Store {
  let due = true;
  return {
    kind: inner.kind,
    get: (collection, key) => inner.get(collection, key),
    scan: (collection, index, range, options) => inner.scan(collection, index, range, options),
    stats: () => inner.stats(),
    health: () => inner.health(),
    close: () => inner.close(),
    commit: async (ops) => {
      if (due && is(ops)) {
        due = false;
        await happens();
      }
      return inner.commit(ops);
    },
  };
}

const touches = (name: string) => (ops: readonly Op[]) => ops.some((op) => op.collection.name === name);

test("banNode() also revokes what was issued between its look and its commit, before it answers", async () => {
  const clock = fakeClock();
  const seen: { late?: CertificateRecord; server?: TestServer } = {};
  const store = meanwhile(createMemoryStore({ clock }), touches(openRevocations.name), async () => {
    const issued = await seen.server?.issue("one", "/svc/a");
    if (issued !== undefined) seen.late = issued.record;
  });
  const it = await world({ clock, store });
  const { server } = it;
  seen.server = server;
  const cut = await banNode(server.rotation, server.agent("one"), by);
  expect(seen.late).toBeDefined();
  expect(serials(cut.revoked)).toContain(seen.late?.serialHex);
  expect(await deniedSerials(it)).toContain(seen.late?.serialHex);
  expect((await server.store.stats()).counts[openRevocations.name] ?? 0).toBe(0);
});

test("a ban of more certificates than one commit takes is whole, and goes on after a kill in its middle", async () => {
  const clock = fakeClock();
  let failing = false;
  let commits = 0;
  const inner = createMemoryStore({ clock });
  const store = withFaults(inner, {
    before: (call) => {
      if (!failing || call.operation !== "commit") return undefined;
      return ++commits > 1 ? new StoreError("unavailable", "killed") : undefined;
    },
  });
  const it = await world({ clock, store });
  const { server, leaf } = it;
  const many = Array.from({ length: maxRevokedTogether + 50 }, (_, i): CertificateRecord => {
    const serialHex = `50${i.toString(16).padStart(30, "0")}`;
    return { ...leaf, serialHex, spkiSha256: sha256Hex(Buffer.from(serialHex)) };
  });
  for (let start = 0; start < many.length; start += 100) {
    await inner.commit(many.slice(start, start + 100).map((record) => putIfAbsent(certificates, record)));
  }
  failing = true;
  await expect(banNode(server.rotation, server.agent("one"), by)).rejects.toMatchObject({ code: "unavailable" });
  failing = false;
  expect(await deniedSerials(it)).toHaveLength(maxRevokedTogether);
  expect((await findNode(server.store, server.agent("one")))?.value.state).toBe("banned");
  const restarted = await buildServer({ clock, store: inner, keys: server.keys });
  expect(await finishOpenRevocations(restarted.rotation)).toBe(1);
  expect(await deniedSerials({ server: restarted })).toHaveLength(many.length + 2);
  expect(await finishOpenRevocations(restarted.rotation)).toBe(0);
  expect((await banNode(restarted.rotation, server.agent("one"), by)).revoked).toHaveLength(many.length + 2);
});

test("revokeCertificates() of an agent's own: it is let in no more, and comes back once by that key, with a new one", async () => {
  const { server, own } = await world();
  const calls = inProcess(server);
  const last = { id: server.agent("one"), serialHex: own.record.serialHex, key: own.key };
  await revokeCertificates(server.rotation, [own.record], { reason: "superseded", ...by });
  await expect(calls.renew(own.der, testKey("ec-p256"))).rejects.toMatchObject({
    code: "unauthenticated",
    rule: "certificate_revoked",
  });
  expect(await liveNodes(server.store, server.clock.now())).toHaveLength(1);
  const { certificate } = await calls.recover(last, testKey("ec-p256"));
  expect(certificate?.serialHex).not.toBe(own.record.serialHex);
  expect(await liveNodes(server.store, server.clock.now())).toHaveLength(2);
  await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject({ rule: "certificate_replaced" });
});

test.each(["keyCompromise", "privilegeWithdrawn", "cessationOfOperation"] as const)(
  "an agent whose own certificate was revoked for %s does not come back by that key, and a plain join string lets it in",
  async (reason) => {
    const { server, own } = await world();
    const calls = inProcess(server);
    await revokeCertificates(server.rotation, [own.record], { reason, ...by });
    const last = { id: server.agent("one"), serialHex: own.record.serialHex, key: own.key };
    await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject({ rule: "key_revoked" });
    await calls.join(await server.token("one"), server.agent("one"), testKey("ec-p256"));
  },
);

test("a call that was let in before its certificate was revoked gets nothing after it: Issue, Renew", async () => {
  for (const call of ["issue", "renew"] as const) {
    const clock = fakeClock();
    let happens = (): Promise<unknown> => Promise.resolve();
    const isIssue = (ops: readonly Op[]): boolean => isDue && touches(certificates.name)(ops);
    let isDue = false;
    const store = meanwhile(createMemoryStore({ clock }), isIssue, () => happens());
    const { server, own } = await world({ clock, store });
    const issued = (await server.store.stats()).counts["certificates"];
    isDue = true;
    happens = () => revokeCertificates(server.rotation, [own.record], { reason: "superseded", ...by });
    const calls = inProcess(server);
    const csrDer = Buffer.from(await buildCsr(testKey("ec-p256")));
    const asked =
      call === "renew"
        ? calls.renew(own.der, testKey("ec-p256"))
        : calls.issue(own.der, { spiffeId: server.id("/svc/a"), csrDer, ttlSeconds: 0 });
    await expect(asked).rejects.toMatchObject({ code: "denied", rule: "certificate_revoked" });
    expect((await server.store.stats()).counts["certificates"]).toBe(issued);
  }
});

test("deleteEntryAndRevoke() deletes the entry and revokes what its agent holds by it, not what another one holds", async () => {
  const it = await world();
  const { server, leaf } = it;
  const held = await getEntry(server.nouns, "e-1");
  const dry = await deleteEntryAndRevoke(server.rotation, held, { ...by, dryRun: true });
  expect(serials(dry.revoked)).toEqual([leaf.serialHex]);
  expect(await deniedSerials(it)).toEqual([]);
  const done = await deleteEntryAndRevoke(server.rotation, held, { ...by, dryRun: false });
  expect(done.entry.value.deletedAt).toBeDefined();
  expect(await deniedSerials(it)).toEqual([leaf.serialHex]);
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ facts: { rule: "not_parent" } });
  await expect(deleteEntryAndRevoke(server.rotation, held, { ...by, dryRun: false })).rejects.toMatchObject({
    code: "conflict",
  });
});

test("a join string made with replace cuts the former node off in the commit by which the new one joins", async () => {
  const it = await world();
  const { server, own, leaf } = it;
  const calls = inProcess(server);
  await expect(calls.join(await server.token("one"), server.agent("one"), testKey("ec-p256"))).rejects.toMatchObject({
    code: "agent_alive",
  });
  const secret = await server.token("one", 600, { replace: true });
  const key = testKey("ec-p256");
  const joined = await calls.join(secret, server.agent("one"), key);
  const serialHex = joined.certificate?.serialHex ?? "";
  expect(await deniedSerials(it)).toEqual(serials([own.record, leaf]));
  expect(joined.denyList?.denied.map((each) => each.serialHex).sort()).toEqual(serials([own.record, leaf]));
  await expect(calls.renew(own.der, testKey("ec-p256"))).rejects.toMatchObject({ code: "unauthenticated" });
  const last = { id: server.agent("one"), serialHex: own.record.serialHex, key: own.key };
  await expect(calls.recover(last, testKey("ec-p256"))).rejects.toMatchObject({ rule: "certificate_replaced" });
  // The new one is as good as any, also when its answer was lost.
  expect((await calls.join(secret, server.agent("one"), key)).certificate?.serialHex).toBe(serialHex);
  await calls.renew(Buffer.from(joined.certificate?.chainDer[0] ?? ""), testKey("ec-p256"));
  expect(await deniedSerials(it)).toEqual(serials([own.record, leaf]));
  expect((await server.store.stats()).counts[openRevocations.name] ?? 0).toBe(0);
});
