import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { activate, prepareIntermediate } from "../../../src/authority/rotation.ts";
import { openTrustState } from "../../../src/authority/trust-state.ts";
import type { Caller } from "../../../src/issuing/caller.ts";
import { type IssueRequest, issue } from "../../../src/issuing/issue.ts";
import { CaError } from "../../../src/registry/ca-error.ts";
import { deleteEntry, getEntry, updateEntry } from "../../../src/registry/entries.ts";
import { findNode } from "../../../src/registry/nodes.ts";
import { makeOwnCertificate } from "../../../src/server/own-certificate.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import { certificateKey, certificates } from "../../../src/store/collections/certificates.ts";
import { nodes } from "../../../src/store/collections/nodes.ts";
import { type RevocationRecord, revocations } from "../../../src/store/collections/revocations.ts";
import { createMemoryStore, type MemoryFaults } from "../../../src/store/memory.ts";
import { type Op, putIfAbsent, StoreError, update } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { validatePath } from "../../../src/x509/path.ts";
import { buildServer, sha256Hex, type TestServer, testActor } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { testKey } from "../x509/signers.ts";

/** A server whose store does as `faults` says once it is armed. */
async function faultyServer(faults: MemoryFaults): Promise<{ readonly server: TestServer; readonly arm: () => void }> {
  const clock = fakeClock();
  let armed = false;
  const store = createMemoryStore({
    clock,
    faults: {
      before: (call) => (armed ? faults.before?.(call) : undefined),
      after: (call) => (armed ? faults.after?.(call) : undefined),
      write: (number) => (armed ? faults.write?.(number) : undefined),
    },
  });
  const server = await buildServer({ clock, store });
  await server.join();
  await server.entry();
  return {
    server,
    arm: () => {
      armed = true;
    },
  };
}

async function joined(): Promise<TestServer> {
  const server = await buildServer();
  await server.join();
  await server.entry();
  return server;
}

const issueEvents = async (server: TestServer): Promise<readonly string[]> =>
  (await Array.fromAsync(server.store.scan(auditEvents, "key")))
    .filter(({ value }) => value.action === "certificate.issue")
    .map(({ value }) => value.subject);

const storedCount = async (server: TestServer): Promise<number> =>
  (await server.store.stats()).counts["certificates"] ?? 0;

async function requestOf(server: TestServer, more: Partial<IssueRequest> = {}): Promise<IssueRequest> {
  return {
    profile: "workload",
    protocol: "issuance",
    id: server.id("/svc/a"),
    csrDer: await buildCsr(testKey("ec-p256")),
    ...more,
  };
}

const agentCaller = (server: TestServer, name = "one"): Caller => ({
  kind: "agent",
  id: server.agent(name),
  serialHex: "",
  authorityKeyId: "",
});

test("issue() hands out what is recorded: the same bytes, verifiable, with its audit event in the same commit", async () => {
  const commits: (readonly Op[])[] = [];
  const { server, arm } = await faultyServer({
    before: (call) => {
      if (call.operation === "commit") commits.push(call.ops);
      return undefined;
    },
  });
  arm();
  const recorded = await server.issue("one", "/svc/a");
  const { serialHex } = recorded.record;
  expect(commits).toHaveLength(1);
  expect(commits[0]?.map(({ kind, collection }) => `${kind} ${collection.name}`)).toEqual([
    "put_if_absent certificates",
    "put_if_absent audit-events",
    "expect authorities",
    "expect entries",
    "expect nodes",
  ]);
  const held = await server.store.get(certificates, certificateKey(serialHex, "int-1"));
  expect(held?.value).toEqual(recorded.record);
  expect(held?.revision).toBe(recorded.revision);
  expect(await issueEvents(server)).toContain(serialHex);
  const [leafDer, intermediateDer, ...more] = recorded.chainDer;
  if (leafDer === undefined || intermediateDer === undefined) throw new Error("no chain");
  expect(more).toEqual([]);
  expect(leafDer).toEqual(held?.value.der);
  const leaf = parseCertificate(leafDer);
  const verdict = validatePath(leaf, {
    intermediates: [parseCertificate(intermediateDer)],
    roots: server.state.view().bundle.roots,
    at: server.clock.now(),
    purpose: "client",
  });
  expect(verdict).toMatchObject({ ok: true });
  expect(leaf.serialHex).toBe(serialHex);
  expect(leaf.names.map(({ value }) => value)).toEqual([server.id("/svc/a")]);
  expect(recorded.record).toMatchObject({
    spiffeId: server.id("/svc/a"),
    caller: server.agent("one"),
    protocol: "issuance",
    profile: "workload",
    ttlSeconds: 3600,
    entryId: "e-1",
    issuedAt: server.clock.now().getTime(),
    spkiSha256: createHash("sha256").update(leaf.publicKey.der).digest("hex"),
  });
});

test("issue() gives 100 concurrent requests 100 serials, each recorded with the same bytes", async () => {
  const server = await joined();
  for (let i = 0; i < 20; i++) await server.entry({ path: `/svc/n${i}` });
  const before = await storedCount(server);
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => server.issue("one", `/svc/n${i % 20}`)));
  expect(new Set(all.map(({ record }) => record.serialHex)).size).toBe(100);
  expect((await storedCount(server)) - before).toBe(100);
  const audited = new Set(await issueEvents(server));
  for (const { record, chainDer } of all) {
    const held = await server.store.get(certificates, certificateKey(record.serialHex, record.authority));
    expect(held?.value.der).toEqual(chainDer[0]);
    expect(audited.has(record.serialHex)).toBe(true);
  }
});

test("issue() is not idempotent: the same CSR again is a new serial", async () => {
  const server = await joined();
  const request = await requestOf(server);
  const first = await issue(server.issuing, agentCaller(server), request);
  const second = await issue(server.issuing, agentCaller(server), request);
  expect(second.record.serialHex).not.toBe(first.record.serialHex);
});

test("issue() decides anew when the entry changed before the commit, and grants what the entry says then", async () => {
  let change: (() => Promise<unknown>) | undefined;
  const { server, arm } = await faultyServer({
    before: async (call) => {
      if (call.operation !== "commit" || change === undefined) return undefined;
      const once = change;
      change = undefined;
      await once();
      return undefined;
    },
  });
  arm();
  const held = await getEntry(server.nouns, "e-1");
  change = () => updateEntry(server.nouns, held, { dnsNames: ["late.prod.example"], ttlSeconds: 60 }, testActor);
  const recorded = await server.issue("one", "/svc/a");
  expect(recorded.record).toMatchObject({ dnsNames: ["late.prod.example"], ttlSeconds: 60 });
  expect(parseCertificate(recorded.record.der).names.map(({ value }) => value)).toContain("late.prod.example");
  expect(await storedCount(server)).toBe(2); // The agent's own and this one: the first attempt left nothing.
});

test("issue() denies when the entry was deleted before the commit", async () => {
  let change: (() => Promise<unknown>) | undefined;
  const { server, arm } = await faultyServer({
    before: async (call) => {
      if (call.operation !== "commit" || change === undefined) return undefined;
      const once = change;
      change = undefined;
      await once();
      return undefined;
    },
  });
  const held = await getEntry(server.nouns, "e-1");
  arm();
  change = () => deleteEntry(server.nouns, held, testActor);
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ code: "denied", facts: { rule: "no_entry" } });
  expect(await storedCount(server)).toBe(1);
});

test("issue() answers conflict when what it was decided by changed twice", async () => {
  let busy = false;
  const { server, arm } = await faultyServer({
    before: async (call) => {
      if (call.operation !== "commit" || busy) return undefined;
      busy = true;
      const node = await findNode(server.store, server.agent("one"));
      if (node !== undefined) await server.store.commit([update(nodes, node.value, node.revision)]);
      busy = false;
      return undefined;
    },
  });
  arm();
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ code: "conflict", facts: { retry: "same" } });
  expect(await storedCount(server)).toBe(1);
});

test("issue() takes the authority that became active meanwhile, also when this process has not read that yet", async () => {
  const server = await joined();
  const made = await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  const view = server.state.view();
  // Another reading of the same store activates it: this server's own reading is old.
  const other = await openTrustState(server.store, { refreshHintSeconds: 300 });
  await activate({ ...server.rotation, state: other }, made, [], testActor);
  expect(server.state.view()).toBe(view);
  const recorded = await server.issue("one", "/svc/a");
  expect(recorded.record.authority).toBe("int-2");
  expect(recorded.chainDer[1]).toEqual(made.certificate.raw);
});

test.each([
  {
    what: "failed before anything was stored",
    fault: { before: () => new StoreError("unavailable", "planted") },
    code: "unavailable",
  },
  { what: "is full", fault: { before: () => new StoreError("overloaded", "planted") }, code: "unavailable" },
  { what: "is in doubt and stored nothing", fault: { write: () => "fail" }, code: "in_doubt" },
  { what: "is in doubt and stored it", fault: { write: () => "fail_stored" }, code: "in_doubt" },
] as const)("issue() hands out nothing when the store $what", async ({ fault, code }) => {
  const { server, arm } = await faultyServer({
    before: (call) => (call.operation === "commit" && "before" in fault ? fault.before() : undefined),
    write: () => ("write" in fault ? fault.write() : undefined),
  });
  arm();
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({ name: "CaError", code });
});

test("issue() refuses a ttl above the entry's and grants one below", async () => {
  const server = await joined();
  await expect(server.issue("one", "/svc/a", { ttlSeconds: 3601 })).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "ttl_over_profile", value: "3601 s", limit: "3600 s", retry: "never" },
  });
  expect((await server.issue("one", "/svc/a", { ttlSeconds: 30 })).record.ttlSeconds).toBe(30);
});

test("issue() never signs a key again of which a certificate was revoked", async () => {
  const server = await joined();
  const key = testKey("ec-p256");
  const revoked: RevocationRecord = {
    authorityKeyId: "aa",
    serialHex: "bb",
    spkiSha256: sha256Hex(key.spkiDer),
    notAfter: 0,
    revokedAt: 0,
    reason: "keyCompromise",
  };
  await server.store.commit([putIfAbsent(revocations, revoked)]);
  await expect(server.issue("one", "/svc/a", { key })).rejects.toMatchObject({ facts: { rule: "key_revoked" } });
  expect((await server.issue("one", "/svc/a")).record.spiffeId).toBe(server.id("/svc/a"));
});

test("issue() gives the server's own certificate the configured names, and no workload may have them", async () => {
  const names = ["ca.prod.example", "192.0.2.100", "localhost"];
  const server = await buildServer({ config: { names } });
  await server.join();
  await server.entry({ dnsNames: ["ca.prod.example"] }); // The room is told of no server names here: the line must object.
  await expect(server.issue("one", "/svc/a")).rejects.toMatchObject({
    facts: { rule: "server_name", value: "ca.prod.example" },
  });
  await server.entry({ path: "/svc/local", dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
  expect((await server.issue("one", "/svc/local")).record.dnsNames).toEqual(["localhost"]);
  const own = await makeOwnCertificate({ ...server.issuing, state: server.state, jitter: () => 1 });
  expect(own.record).toMatchObject({
    dnsNames: ["ca.prod.example", "localhost"],
    ipAddresses: ["192.0.2.100"],
    profile: "server",
  });
  expect(own.renewAt.getTime()).toBe(own.record.issuedAt + 0.6 * own.record.ttlSeconds * 1000);
});

test.each(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"] as const)(
  "issue() signs a CSR over a key of type %s",
  async (type) => {
    const server = await joined();
    const key = testKey(type);
    const { record } = await server.issue("one", "/svc/a", { key });
    expect(parseCertificate(record.der).publicKey.der).toEqual(key.spkiDer);
  },
);

test.each([
  { what: "nothing", csrDer: new Uint8Array(), code: "bad_request" },
  { what: "text", csrDer: new TextEncoder().encode("hello"), code: "bad_request" },
  { what: "10 MB", csrDer: new Uint8Array(10_000_000), code: "too_large" },
])("issue() refuses $what as a CSR with $code and asks the store for nothing", async ({ csrDer, code }) => {
  const calls: string[] = [];
  const { server, arm } = await faultyServer({
    before: (call) => {
      calls.push(call.operation);
      return undefined;
    },
  });
  arm();
  const request = await requestOf(server, { csrDer });
  await expect(issue(server.issuing, agentCaller(server), request)).rejects.toMatchObject({ name: "CaError", code });
  expect(calls).toEqual([]);
});

test("issue() refuses a CSR that is cut at any byte", async () => {
  const server = await joined();
  const request = await requestOf(server);
  for (let length = 0; length < request.csrDer.length; length++) {
    const cut = { ...request, csrDer: request.csrDer.subarray(0, length) };
    await expect(issue(server.issuing, agentCaller(server), cut)).rejects.toBeInstanceOf(CaError);
  }
  expect(await storedCount(server)).toBe(1);
});

test("issue() lets callers take turns: one that asks for much does not keep another waiting", async () => {
  const server = await joined();
  await server.join("two");
  await server.entry({ path: "/svc/b", agent: "two" });
  const order: string[] = [];
  const ask = async (name: string, path: string): Promise<void> => {
    await server.issue(name, path);
    order.push(name);
  };
  await Promise.all([...Array.from({ length: 80 }, () => ask("one", "/svc/a")), ask("two", "/svc/b")]);
  expect(order.indexOf("two")).toBeLessThan(40);
});
