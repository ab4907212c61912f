import { expect, test } from "vitest";
import type { Announcement } from "../../../src/registry/announcements.ts";
import {
  createEntry,
  deleteEntry,
  entriesOfAgent,
  findEntry,
  getEntry,
  updateEntry,
} from "../../../src/registry/entries.ts";
import { spiffeId } from "../../../src/spiffe/id.ts";
import { type AuditEvent, auditEvents } from "../../../src/store/collections/audit-events.ts";
import { buildServer, type TestServer, testActor } from "../../fakes/build-server.ts";

const trail = async (server: TestServer): Promise<readonly AuditEvent[]> =>
  (await Array.fromAsync(server.store.scan(auditEvents, "key")))
    .map(({ value }) => value)
    .filter(({ action }) => action.startsWith("entry."));

test("createEntry() numbers entries, fills in defaults, audits, announces and can be found at once", async () => {
  const server = await buildServer();
  const heard: Announcement[] = [];
  server.announcements.subscribe((change) => heard.push(change));
  const made = await server.entry({ dnsNames: ["A.prod.Example", "a.prod.example"], ipAddresses: ["2001:DB8::0:1"] });
  expect(made.value).toMatchObject({
    entryId: "e-1",
    dnsNames: ["a.prod.example"],
    ipAddresses: ["2001:db8::1"],
    ttlSeconds: 3600,
    createdBy: "local",
  });
  await server.clock.advance(1); // The trail is in the order of its milliseconds.
  expect((await server.entry({ path: "/svc/b" })).value.entryId).toBe("e-2");
  expect(await findEntry(server.store, server.agent("one"), server.id("/svc/a"))).toEqual(made);
  expect(await getEntry(server.nouns, "e-1")).toMatchObject(made);
  expect(await getEntry(server.nouns, "/svc/b")).toMatchObject({ value: { entryId: "e-2" } });
  expect(heard).toEqual([
    { kind: "entries", agentId: server.agent("one") },
    { kind: "entries", agentId: server.agent("one") },
  ]);
  expect(await trail(server)).toMatchObject([
    { action: "entry.create", subject: "e-1", actor: "local", reason: "a test", after: made.value },
    { action: "entry.create", subject: "e-2" },
  ]);
});

test("createEntry() refuses a second entry of the same agent and ID, and takes the ID for another agent", async () => {
  const server = await buildServer();
  await server.entry();
  await expect(server.entry()).rejects.toMatchObject({
    code: "exists",
    facts: { cure: "signet entry update e-1 --help" },
  });
  await server.entry({ agent: "two" });
  await expect(getEntry(server.nouns, "/svc/a")).rejects.toMatchObject({
    code: "conflict",
    message: expect.stringContaining("e-1, e-2"),
  });
});

test.each([
  { path: "/signet/server", code: "denied" },
  { path: "/signet/admin/eve", code: "denied" },
  { path: "/signet", code: "denied" },
  { path: "/agent/two", code: "denied" },
  { path: "/agent", code: "denied" },
  { path: "/agent/x509pop/aa", code: "denied" },
  { path: "/device/printer/7", code: "denied" },
])("createEntry() refuses an entry for $path by name_space", async ({ path, code }) => {
  const server = await buildServer();
  await expect(server.entry({ path })).rejects.toMatchObject({
    code,
    facts: { rule: "name_space", value: server.id(path) },
  });
  expect(await trail(server)).toEqual([]);
});

test("createEntry() refuses IDs of another trust domain and parents that are no agents", async () => {
  const server = await buildServer();
  const other = spiffeId("other.example" as never, "/svc/a");
  const create = (spiffeId: never, agentId: never): Promise<unknown> =>
    createEntry(server.nouns, { spiffeId, agentId }, testActor);
  await expect(create(other as never, server.agent("one") as never)).rejects.toMatchObject({ code: "bad_request" });
  await expect(create(server.id("/svc/a") as never, server.id("/svc/b") as never)).rejects.toMatchObject({
    code: "bad_request",
  });
  await expect(create(server.id("/svc/a") as never, server.id("/signet/server") as never)).rejects.toMatchObject({
    code: "bad_request",
  });
});

test.each([
  { what: "a ttl below 5 s", fields: { ttlSeconds: 4 }, code: "bad_request" },
  { what: "a ttl that is no number", fields: { ttlSeconds: Number.NaN }, code: "bad_request" },
  { what: "a ttl of parts of seconds", fields: { ttlSeconds: 10.5 }, code: "bad_request" },
  {
    what: "a ttl over a quarter of the intermediate's life",
    fields: { ttlSeconds: 7.5 * 86_400 + 1 },
    code: "denied",
    rule: "ttl_over_authority",
  },
  { what: "an empty DNS name", fields: { dnsNames: [""] }, code: "bad_request" },
  { what: "a DNS name with two dots", fields: { dnsNames: ["a..test"] }, code: "bad_request" },
  { what: "a DNS name with a final dot", fields: { dnsNames: ["a.test."] }, code: "bad_request" },
  { what: "a DNS name with a NUL", fields: { dnsNames: ["a\0.test"] }, code: "bad_request" },
  { what: "a DNS name that is an address", fields: { dnsNames: ["192.0.2.1"] }, code: "bad_request" },
  { what: "a DNS name in another alphabet", fields: { dnsNames: ["b\u00fccher.test"] }, code: "bad_request" },
  { what: "a wildcard in the middle", fields: { dnsNames: ["a.*.test"] }, code: "bad_request" },
  { what: "a wildcard alone", fields: { dnsNames: ["*"] }, code: "bad_request" },
  { what: "an address with a prefix", fields: { ipAddresses: ["192.0.2.0/24"] }, code: "bad_request" },
  { what: "an address with a zone", fields: { ipAddresses: ["fe80::1%eth0"] }, code: "bad_request" },
  {
    what: "a hundred names",
    fields: { dnsNames: Array.from({ length: 100 }, (_, i) => `n${i}.test`) },
    code: "bad_request",
  },
  { what: "a selector of a kind that nothing attests", fields: { selectors: ["uid:1000"] }, code: "bad_request" },
  { what: "a selector without a value", fields: { selectors: ["unix:"] }, code: "bad_request" },
  { what: "a selector with a line break", fields: { selectors: ["unix:uid:1\n"] }, code: "bad_request" },
  { what: "a hint with a line break", fields: { hint: "a\nb" }, code: "bad_request" },
])("createEntry() refuses $what", async ({ fields, code, rule }) => {
  const server = await buildServer();
  await expect(server.entry(fields)).rejects.toMatchObject({
    name: "CaError",
    code,
    facts: rule === undefined ? {} : { rule },
  });
  expect((await server.store.stats()).counts["entries"] ?? 0).toBe(0);
});

test("createEntry() refuses the server's own names, a wildcard over them too, and takes loopback names", async () => {
  const server = await buildServer();
  const nouns = { ...server.nouns, serverNames: new Set(["ca.prod.example", "192.0.2.100"]) };
  const create = (dnsNames: readonly string[], ipAddresses: readonly string[] = []): Promise<unknown> =>
    createEntry(
      nouns,
      { spiffeId: server.id("/svc/a"), agentId: server.agent("one"), dnsNames, ipAddresses },
      testActor,
    );
  await expect(create(["ca.prod.example"])).rejects.toMatchObject({ facts: { rule: "server_name" } });
  await expect(create(["CA.prod.example"])).rejects.toMatchObject({ facts: { rule: "server_name" } });
  await expect(create(["*.prod.example"])).rejects.toMatchObject({ facts: { rule: "server_name" } });
  await expect(create([], ["192.0.2.100"])).rejects.toMatchObject({ facts: { rule: "server_name" } });
  await create(["localhost"], ["127.0.0.1", "::1"]);
});

test("createEntry() by a hundred admins at once gives a hundred numbers", async () => {
  const server = await buildServer();
  const made = await Promise.all(Array.from({ length: 100 }, (_, i) => server.entry({ path: `/svc/n${i}` })));
  expect(new Set(made.map(({ value }) => value.entryId)).size).toBe(100);
  expect(new Set((await trail(server)).map(({ subject }) => subject)).size).toBe(100);
});

test("createEntry() of one entry by ten admins at once: one makes it, the others hear that it exists", async () => {
  const server = await buildServer();
  const all = await Promise.allSettled(Array.from({ length: 10 }, () => server.entry()));
  expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const each of all) if (each.status === "rejected") expect(each.reason).toMatchObject({ code: "exists" });
  expect(await trail(server)).toHaveLength(1);
});

test("updateEntry() changes what is named, raises the revision, and audits before and after", async () => {
  const server = await buildServer();
  const made = await server.entry({ dnsNames: ["a.test"] });
  await server.clock.advance(5000);
  const changed = await updateEntry(server.nouns, made, { ttlSeconds: 60 }, testActor);
  expect(changed.revision).toBeGreaterThan(made.revision);
  expect(changed.value).toEqual({ ...made.value, ttlSeconds: 60, updatedAt: made.value.updatedAt + 5000 });
  expect((await trail(server)).at(-1)).toMatchObject({
    action: "entry.update",
    before: made.value,
    after: changed.value,
  });
});

test("updateEntry() of two admins who read the same revision: one wins, the other hears of a conflict", async () => {
  const server = await buildServer();
  const made = await server.entry();
  const both = await Promise.allSettled([
    updateEntry(server.nouns, made, { hint: "first" }, testActor),
    updateEntry(server.nouns, made, { hint: "second" }, testActor),
  ]);
  expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  expect(both[1]).toMatchObject({
    reason: { code: "conflict", facts: { retry: "later", cure: "signet entry show e-1" } },
  });
  expect((await getEntry(server.nouns, "e-1")).value.hint).toBe("first");
  expect(await trail(server)).toHaveLength(2);
});

test("updateEntry() checks what createEntry() checks", async () => {
  const server = await buildServer();
  const made = await server.entry();
  await expect(updateEntry(server.nouns, made, { ttlSeconds: 1 }, testActor)).rejects.toMatchObject({
    code: "bad_request",
  });
  await expect(updateEntry(server.nouns, made, { dnsNames: ["a..b"] }, testActor)).rejects.toMatchObject({
    code: "bad_request",
  });
});

test("deleteEntry() takes the right away and remembers the deletion with a higher revision", async () => {
  const server = await buildServer();
  await server.join();
  const made = await server.entry();
  await server.clock.advance(1);
  const deleted = await deleteEntry(server.nouns, made, testActor);
  expect(deleted.revision).toBeGreaterThan(made.revision);
  expect(await findEntry(server.store, server.agent("one"), server.id("/svc/a"))).toBeUndefined();
  await expect(getEntry(server.nouns, "e-1")).rejects.toMatchObject({
    code: "not_found",
    facts: { cure: "signet entry list" },
  });
  expect(await entriesOfAgent(server.store, server.agent("one"))).toMatchObject([
    { revision: deleted.revision, value: { entryId: "e-1", deletedAt: server.clock.now().getTime() } },
  ]);
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ facts: { rule: "no_entry" } });
  expect((await trail(server)).at(-1)).toMatchObject({ action: "entry.delete", before: made.value });
});

test("createEntry() after a deletion makes a new number over the same key, with a revision above the deletion's", async () => {
  const server = await buildServer();
  const deleted = await deleteEntry(server.nouns, await server.entry(), testActor);
  const again = await server.entry();
  expect(again.value.entryId).toBe("e-2");
  expect(again.value.deletedAt).toBeUndefined();
  expect(again.revision).toBeGreaterThan(deleted.revision);
  expect(await entriesOfAgent(server.store, server.agent("one"))).toHaveLength(1);
});

test("deleteEntry() of what was changed or deleted meanwhile is a conflict", async () => {
  const server = await buildServer();
  const made = await server.entry();
  await deleteEntry(server.nouns, made, testActor);
  await expect(deleteEntry(server.nouns, made, testActor)).rejects.toMatchObject({ code: "conflict" });
  await expect(updateEntry(server.nouns, made, { hint: "back" }, testActor)).rejects.toMatchObject({
    code: "conflict",
  });
  expect(await findEntry(server.store, server.agent("one"), server.id("/svc/a"))).toBeUndefined();
});

test("entries with IDs of 2,048 octets are kept and found", async () => {
  const server = await buildServer();
  const path = `/${"a".repeat(1000)}/${"b".repeat(1000)}`;
  const made = await server.entry({ path });
  expect(await findEntry(server.store, server.agent("one"), server.id(path))).toEqual(made);
  expect(await findEntry(server.store, server.agent("one"), server.id(`${path}c`))).toBeUndefined();
});
