import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Retry } from "../../../proto/gen/signet/v1/error.ts";
import { prepareIntermediate, rotateWhatIsDue } from "../../../src/authority/rotation.ts";
import { findNode, liveNodes, nodeState } from "../../../src/registry/nodes.ts";
import { createToken, getToken, revokeToken, tokenState } from "../../../src/registry/tokens.ts";
import { parseJoinString } from "../../../src/spiffe/join-string.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import { certificates } from "../../../src/store/collections/certificates.ts";
import { type NodeRecord, nodes } from "../../../src/store/collections/nodes.ts";
import { type RevocationRecord, revocations } from "../../../src/store/collections/revocations.ts";
import { type TokenRecord, tokens } from "../../../src/store/collections/tokens.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { putIfAbsent, update } from "../../../src/store/store.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { buildServer, sha256Hex, type TestServer, testActor } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { inProcess, Refusal } from "../../fakes/in-process.ts";
import { type TestKey, testKey } from "../x509/signers.ts";

const newKey = (): TestKey => testKey("ec-p256");

async function tokenOf(server: TestServer, secret: Uint8Array): Promise<TokenRecord> {
  const held = await server.store.get(tokens, sha256Hex(secret));
  if (held === undefined) throw new Error("no such token");
  return held.value;
}

const actions = async (server: TestServer): Promise<readonly string[]> =>
  (await Array.fromAsync(server.store.scan(auditEvents, "key"))).map(({ value }) => value.action);

async function setNode(server: TestServer, change: Partial<NodeRecord>): Promise<void> {
  const held = await findNode(server.store, server.agent("one"));
  if (held === undefined) throw new Error("no node");
  await server.store.commit([update(nodes, { ...held.value, ...change }, held.revision)]);
}

test("createToken() keeps the hash of the secret only, and the string pins every root", async () => {
  const server = await buildServer();
  const roots = server.state.view().bundle.roots;
  const pins = roots.map((root) => new Uint8Array(createHash("sha256").update(root.raw).digest()));
  const wanted = { subject: server.agent("one"), ttlSeconds: 60, addresses: ["ca.test:7443"], rootPins: pins };
  const { token, joinString } = await createToken(server.nouns, wanted, testActor);
  const parsed = parseJoinString(joinString);
  expect(parsed).toMatchObject({
    kind: "agent",
    subject: server.agent("one"),
    addresses: ["ca.test:7443"],
    rootPins: pins,
  });
  expect(token.secretSha256).toBe(sha256Hex(parsed.secret));
  const secretHex = Buffer.from(parsed.secret).toString("hex");
  for await (const { value } of server.store.scan(tokens, "key"))
    expect(JSON.stringify(value)).not.toContain(secretHex);
  for await (const { value } of server.store.scan(auditEvents, "key")) {
    expect(JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? String(each) : each))).not.toContain(
      secretHex,
    );
  }
  expect(await actions(server)).toContain("token.create");
});

test.each([
  { what: "a workload", path: "/svc/a", ttlSeconds: 60 },
  { what: "the server", path: "/signet/server", ttlSeconds: 60 },
  { what: "a life of 0 s", path: "/agent/one", ttlSeconds: 0 },
  { what: "a life of 31 d", path: "/agent/one", ttlSeconds: 31 * 86_400 },
  { what: "a life of half a second", path: "/agent/one", ttlSeconds: 0.5 },
])("createToken() refuses $what", async ({ path, ttlSeconds }) => {
  const server = await buildServer();
  const wanted = { subject: server.id(path), ttlSeconds, addresses: ["ca.test:1"], rootPins: [new Uint8Array(32)] };
  await expect(createToken(server.nouns, wanted, testActor)).rejects.toMatchObject({ code: "bad_request" });
  expect((await server.store.stats()).counts["tokens"] ?? 0).toBe(0);
});

test("getToken() finds by 4 digits, revokeToken() is the same twice, and refuses a used one", async () => {
  const server = await buildServer();
  const secret = await server.token();
  const { tokenId } = await tokenOf(server, secret);
  expect((await getToken(server.nouns, tokenId.slice(0, 4))).value.tokenId).toBe(tokenId);
  for (const wrong of ["", "abc", tokenId.slice(0, 3), `${tokenId}0`, "zzzz", "../x"]) {
    await expect(getToken(server.nouns, wrong)).rejects.toMatchObject({ code: "not_found" });
  }
  const revoked = await revokeToken(server.nouns, tokenId, testActor);
  expect(tokenState(revoked, server.clock.now())).toBe("revoked");
  expect(await revokeToken(server.nouns, tokenId, testActor)).toEqual(revoked);
  expect((await actions(server)).filter((action) => action === "token.revoke")).toHaveLength(1);
  const used = await server.token("two");
  await inProcess(server).join(used, server.agent("two"), newKey());
  await expect(revokeToken(server.nouns, (await tokenOf(server, used)).tokenId, testActor)).rejects.toMatchObject({
    code: "conflict",
  });
});

test("Attest(join) commits string, node and certificate as one, and the same key gets the same certificate again", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const secret = await server.token();
  const key = newKey();
  const first = await calls.join(secret, server.agent("one"), key);
  const { serialHex } = first.certificate ?? { serialHex: "" };
  expect((await tokenOf(server, secret)).used).toMatchObject({
    serialHex,
    authority: "int-1",
    spkiSha256: sha256Hex(key.spkiDer),
  });
  expect((await findNode(server.store, server.agent("one")))?.value).toMatchObject({ state: "member", serialHex });
  const again = await calls.join(secret, server.agent("one"), key);
  expect(again.certificate?.chainDer).toEqual(first.certificate?.chainDer);
  expect((await server.store.stats()).counts["certificates"]).toBe(1);
});

/** Lets the clock run until this is over: strangers wait for their turn. */
async function whileTimePasses<T>(server: TestServer, work: Promise<T>): Promise<T> {
  let isOver = false;
  const done = (): void => {
    isOver = true;
  };
  work.then(done, done);
  while (!isOver) await server.clock.advance(50);
  return work;
}

test("Attest(join) of 130 nodes at once: 20 go, 100 wait their turn in order, 10 hear `unavailable` and when to come back", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const names = Array.from({ length: 130 }, (_, i) => `n-${i}`);
  const secrets = await Promise.all(names.map((name) => server.token(name)));
  const csrDer = Buffer.from(await buildCsr(newKey()));
  const joined: number[] = [];
  const refused: Refusal[] = [];
  const all = names.map(async (name, i) => {
    const value = { spiffeId: server.agent(name), secret: Buffer.from(secrets[i] ?? []), csrDer };
    try {
      await calls.attest({ step: { $case: "join", value } });
      joined.push(i);
    } catch (error) {
      refused.push(error as Refusal);
    }
  });
  await expect.poll(() => joined.length + refused.length).toBe(30);
  expect(refused).toHaveLength(10);
  for (const each of refused) {
    expect(each).toMatchObject({ code: "unavailable", grpcCode: 14 });
    expect(each.detail).toMatchObject({ retry: Retry.RETRY_LATER, retryAfterSeconds: 5 });
  }
  await whileTimePasses(server, Promise.all(all));
  expect(joined).toEqual(Array.from({ length: 120 }, (_, i) => i));
});

test("Attest(join) looks for the string before it looks at the CSR", async () => {
  const server = await buildServer();
  const ask = (secret: Uint8Array): Promise<unknown> => {
    const value = { spiffeId: server.agent("one"), secret: Buffer.from(secret), csrDer: Buffer.from("no CSR") };
    return inProcess(server).attest({ step: { $case: "join", value } });
  };
  await expect(ask(new Uint8Array(32))).rejects.toMatchObject({ code: "token_unknown" });
  await expect(ask(await server.token())).rejects.toMatchObject({ code: "bad_request" });
});

test("Attest(join) by the same key twenty times at once gives one certificate to all", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const secret = await server.token();
  const key = newKey();
  const all = await Promise.all(Array.from({ length: 20 }, () => calls.join(secret, server.agent("one"), key)));
  expect(new Set(all.map(({ certificate }) => certificate?.serialHex)).size).toBe(1);
  expect((await server.store.stats()).counts["certificates"]).toBe(1);
});

test("Attest(join) with a used string and another key is token_used, counted and audited", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const secret = await server.token();
  await calls.join(secret, server.agent("one"), newKey());
  await expect(calls.join(secret, server.agent("one"), newKey())).rejects.toMatchObject({ code: "token_used" });
  expect((await tokenOf(server, secret)).reused).toBe(1);
  expect((await actions(server)).filter((action) => action === "token.reused")).toHaveLength(1);
  expect((await server.store.stats()).counts["certificates"]).toBe(1);
});

test("Attest(join) with one string by 100 keys at once has one winner, the others are told and counted", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const secret = await server.token();
  const all = await whileTimePasses(
    server,
    Promise.allSettled(Array.from({ length: 100 }, () => calls.join(secret, server.agent("one"), newKey()))),
  );
  expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const each of all) if (each.status === "rejected") expect((each.reason as Refusal).code).toBe("token_used");
  expect((await server.store.stats()).counts["certificates"]).toBe(1);
  const { reused } = await tokenOf(server, secret);
  expect(reused).toBeGreaterThan(0);
  expect((await actions(server)).filter((action) => action === "token.reused")).toHaveLength(reused);
});

test("Attest(join) works to the last moment of the string, and not one second after", async () => {
  for (const [ms, code] of [
    [599_999, undefined],
    [600_000, "token_expired"],
    [601_000, "token_expired"],
  ] as const) {
    const server = await buildServer();
    const secret = await server.token("one", 600);
    await server.clock.advance(ms);
    const joined = inProcess(server).join(secret, server.agent("one"), newKey());
    if (code === undefined) await joined;
    else await expect(joined).rejects.toMatchObject({ code, grpcCode: 7 });
  }
});

test("Attest(join) refuses a string whose end came, also to the key that used it", async () => {
  const server = await buildServer();
  const secret = await server.token("one", 60);
  const key = newKey();
  await inProcess(server).join(secret, server.agent("one"), key);
  await server.clock.advance(61_000);
  await expect(inProcess(server).join(secret, server.agent("one"), key)).rejects.toMatchObject({
    code: "token_expired",
  });
});

test("Attest(join) refuses a revoked string, an unknown one, one for another agent, and no secret at all", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const revoked = await server.token();
  await revokeToken(server.nouns, (await tokenOf(server, revoked)).tokenId, testActor);
  await expect(calls.join(revoked, server.agent("one"), newKey())).rejects.toMatchObject({ code: "token_unknown" });
  const unknown = new Uint8Array(32).fill(7);
  await expect(calls.join(unknown, server.agent("one"), newKey())).rejects.toMatchObject({ code: "token_unknown" });
  const forTwo = await server.token("two");
  await expect(calls.join(forTwo, server.agent("one"), newKey())).rejects.toMatchObject({ code: "token_unknown" });
  await expect(calls.join(new Uint8Array(), server.agent("one"), newKey())).rejects.toMatchObject({
    code: "token_unknown",
  });
  const other = await buildServer();
  await expect(inProcess(other).join(forTwo, other.agent("two"), newKey())).rejects.toMatchObject({
    code: "token_unknown",
  });
  expect((await server.store.stats()).counts["certificates"] ?? 0).toBe(0);
});

test("Attest(join) refuses an ID that is no agent's, whatever the string says", async () => {
  const server = await buildServer();
  const secret = await server.token();
  for (const id of [
    server.id("/svc/a"),
    server.id("/signet/server"),
    "spiffe://other.example/agent/one",
    "agent/one",
    "",
  ]) {
    await expect(inProcess(server).join(secret, id, newKey())).rejects.toBeInstanceOf(Refusal);
  }
  expect((await tokenOf(server, secret)).used).toBeUndefined();
});

test("Attest(join) refuses an ID that is alive, takes it once its certificate ended or it was evicted, never a banned one", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  await server.join();
  const secret = await server.token("one", 7 * 86_400);
  await expect(calls.join(secret, server.agent("one"), newKey())).rejects.toMatchObject({
    code: "agent_alive",
    grpcCode: 9,
  });
  expect((await tokenOf(server, secret)).used).toBeUndefined();
  await setNode(server, { state: "banned" });
  await expect(calls.join(secret, server.agent("one"), newKey())).rejects.toMatchObject({
    code: "denied",
    rule: "node_banned",
  });
  await setNode(server, { state: "evicted" });
  await calls.join(secret, server.agent("one"), newKey());
  const later = await server.token("one", 7 * 86_400);
  await server.clock.advance(86_401_000);
  await calls.join(later, server.agent("one"), newKey());
});

test("two join strings of one agent used at once by two keys: one joins, the other hears that the agent is alive", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const [first, second] = [await server.token(), await server.token()];
  const both = await Promise.allSettled([
    calls.join(first, server.agent("one"), newKey()),
    calls.join(second, server.agent("one"), newKey()),
  ]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  for (const each of both) if (each.status === "rejected") expect((each.reason as Refusal).code).toBe("agent_alive");
});

test("nodeState() is live, late after silence, gone after its end, banned", async () => {
  const server = await buildServer();
  await server.join();
  const now = server.clock.now();
  const at = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
  const node = (await findNode(server.store, server.agent("one")))?.value;
  if (node === undefined) throw new Error("no node");
  const view = { node, report: undefined };
  expect(nodeState(view, at(90), 90_000)).toBe("live");
  expect(nodeState(view, at(91), 90_000)).toBe("late");
  expect(nodeState(view, new Date(node.notAfter), 90_000)).toBe("late");
  expect(nodeState(view, new Date(node.notAfter + 1), 90_000)).toBe("gone");
  expect(nodeState({ ...view, node: { ...node, state: "evicted" } }, now, 90_000)).toBe("gone");
  expect(nodeState({ ...view, node: { ...node, state: "banned" } }, now, 90_000)).toBe("banned");
  expect(await liveNodes(server.store, new Date(node.notAfter))).toHaveLength(1);
  expect(await liveNodes(server.store, new Date(node.notAfter + 1))).toHaveLength(0);
});

interface Gone {
  readonly server: TestServer;
  readonly key: TestKey;
  readonly serialHex: string;
  readonly last: { readonly id: string; readonly serialHex: string; readonly key: TestKey };
}

/** An agent whose certificate ended an hour ago. */
async function goneAgent(config: Parameters<typeof buildServer>[0] = {}): Promise<Gone> {
  const server = await buildServer(config);
  const { key, recorded } = await server.join();
  await server.clock.advance(25 * 3_600_000);
  const { serialHex } = recorded.record;
  return { server, key, serialHex, last: { id: server.agent("one"), serialHex, key } };
}

test("Attest(recover) brings an agent back by the key of its last certificate, with a new key", async () => {
  const { server, last } = await goneAgent();
  const fresh = newKey();
  const { certificate, bundle } = await inProcess(server).recover(last, fresh);
  expect(bundle?.trustDomain).toBe("prod.example");
  const node = await findNode(server.store, server.agent("one"));
  expect(node?.value).toMatchObject({
    serialHex: certificate?.serialHex,
    spkiSha256: sha256Hex(fresh.spkiDer),
    state: "member",
  });
  const leaf = certificate?.chainDer[0];
  if (leaf === undefined) throw new Error("no leaf");
  await server.entry();
  await inProcess(server).renew(leaf, newKey());
});

test.each([
  {
    what: "a proof by another key",
    change: (gone: Gone) => ({ last: { ...gone.last, key: newKey() } }),
    refused: { code: "unauthenticated", rule: "key_not_ours", grpcCode: 16 },
  },
  {
    what: "a proof over another nonce (replayed)",
    change: () => ({ fields: { serverNonce: new Uint8Array(32) } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
  {
    what: "a proof over another CSR",
    change: () => ({ fields: { csrSha256: new Uint8Array(32) } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
  {
    what: "a proof for another trust domain",
    change: () => ({ fields: { trustDomain: "other.example" as never } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
  {
    what: "the same key again",
    change: (gone: Gone) => ({ fresh: gone.key }),
    refused: { code: "bad_request", rule: "" },
  },
  {
    what: "an unknown serial",
    change: (gone: Gone) => ({ last: { ...gone.last, serialHex: "55".repeat(16) } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
  {
    what: "a serial that is a path",
    change: (gone: Gone) => ({ last: { ...gone.last, serialHex: "../../x" } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
  {
    what: "an agent that never joined",
    change: (gone: Gone) => ({ last: { ...gone.last, id: gone.server.agent("two") } }),
    refused: { code: "unauthenticated", rule: "key_not_ours" },
  },
])("Attest(recover) refuses $what", async ({ change, refused }) => {
  const gone = await goneAgent();
  const changed: { last?: Gone["last"]; fresh?: TestKey; fields?: object } = change(gone);
  const { last = gone.last, fresh = newKey(), fields = {} } = changed;
  const before = (await gone.server.store.stats()).counts["certificates"];
  await expect(inProcess(gone.server).recover(last, fresh, (good) => ({ ...good, ...fields }))).rejects.toMatchObject(
    refused,
  );
  expect((await gone.server.store.stats()).counts["certificates"]).toBe(before);
});

test("Attest(recover) tells a stranger the same of every node: unknown, alive, banned, evicted, renewed, long gone", async () => {
  const answers = new Set<string>();
  const ask = async ({ server, last }: Pick<Gone, "server" | "last">): Promise<void> => {
    const error = await inProcess(server)
      .recover({ ...last, key: newKey() }, newKey())
      .catch((refused: unknown) => refused);
    if (!(error instanceof Refusal)) throw new Error("a stranger came back", { cause: error });
    answers.add(JSON.stringify([error.grpcCode, error.detail]));
  };
  const alive = await buildServer();
  const { key, recorded } = await alive.join();
  const last = { id: alive.agent("one"), serialHex: recorded.record.serialHex, key };
  await ask({ server: alive, last });
  await ask({ server: alive, last: { ...last, id: alive.agent("nobody") } });
  await ask({ server: alive, last: { ...last, serialHex: "55".repeat(16) } });
  await inProcess(alive).renew(recorded.record.der, newKey());
  await ask({ server: alive, last });
  const gone = await goneAgent();
  for (const state of ["banned", "evicted", "member"] as const) {
    await setNode(gone.server, { state });
    await ask(gone);
  }
  await gone.server.clock.advance(3650 * 86_400_000);
  await ask(gone);
  expect([...answers]).toHaveLength(1);
  expect([...answers][0]).toContain("key_not_ours");
  expect([...answers][0]).not.toContain("one");
});

test("Attest(recover) refuses a certificate that is not the newest of its line", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const { key, recorded } = await server.join();
  await calls.renew(recorded.record.der, newKey());
  const last = { id: server.agent("one"), serialHex: recorded.record.serialHex, key };
  await expect(calls.recover(last, newKey())).rejects.toMatchObject({ code: "denied", rule: "certificate_replaced" });
});

test("Attest(recover) whose reply was lost works again over the same new key, and not over another", async () => {
  const { server, last } = await goneAgent();
  const calls = inProcess(server);
  const fresh = newKey();
  await calls.recover(last, fresh); // The reply never came.
  await expect(calls.recover(last, newKey())).rejects.toMatchObject({ rule: "certificate_replaced" });
  const { certificate } = await calls.recover(last, fresh);
  expect((await findNode(server.store, server.agent("one")))?.value.serialHex).toBe(certificate?.serialHex);
});

test("Attest(recover) by the same key with two new keys at once: one comes back", async () => {
  const { server, last } = await goneAgent();
  const calls = inProcess(server);
  const both = await Promise.allSettled([calls.recover(last, newKey()), calls.recover(last, newKey())]);
  expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  for (const each of both)
    if (each.status === "rejected") expect((each.reason as Refusal).rule).toBe("certificate_replaced");
});

test.each([
  { state: "banned", rule: "node_banned" },
  { state: "evicted", rule: "node_unknown" },
] as const)("Attest(recover) refuses a node that was $state", async ({ state, rule }) => {
  const { server, last } = await goneAgent();
  await setNode(server, { state });
  await expect(inProcess(server).recover(last, newKey())).rejects.toMatchObject({ code: "denied", rule });
});

test.each(["serial", "*"])("Attest(recover) refuses a certificate that was revoked (%s)", async (what) => {
  const { server, last, serialHex } = await goneAgent();
  const [authority] = server.state.view().authorities.filter(({ record }) => record.name === "int-1");
  const revoked: RevocationRecord = {
    authorityKeyId: authority?.record.keyId ?? "",
    serialHex: what === "*" ? "*" : serialHex,
    spkiSha256: "",
    notAfter: 0,
    revokedAt: 0,
    reason: "keyCompromise",
  };
  await server.store.commit([putIfAbsent(revocations, revoked)]);
  await expect(inProcess(server).recover(last, newKey())).rejects.toMatchObject({
    code: "denied",
    rule: "key_revoked",
  });
});

test("Attest(recover) works to the last moment of the grace, and never where the grace is 0", async () => {
  const config = { agentGraceSeconds: 7200 };
  const inTime = await goneAgent({ config });
  await inTime.server.clock.advance(3_600_000); // 24 h of life and 2 h.
  await inProcess(inTime.server).recover(inTime.last, newKey());
  const late = await goneAgent({ config });
  await late.server.clock.advance(3_600_001);
  await expect(inProcess(late.server).recover(late.last, newKey())).rejects.toMatchObject({ rule: "grace_over" });
  const never = await goneAgent({ config: { agentGraceSeconds: 0 } });
  await expect(inProcess(never.server).recover(never.last, newKey())).rejects.toMatchObject({ rule: "grace_over" });
});

test("Attest(recover) does not care that the authority of the last certificate was retired", async () => {
  const { server, last } = await goneAgent();
  await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await server.clock.advance(301_000);
  for (let look = 0; look < 3; look++) await rotateWhatIsDue(server.rotation);
  expect(server.state.view().authorities.map(({ record }) => `${record.name} ${record.state}`)).toEqual([
    "root-1 active",
    "int-1 retired",
    "int-2 active",
  ]);
  const { certificate } = await inProcess(server).recover(last, newKey());
  expect(certificate?.authority).toBe("int-2");
});

test("Attest() refuses a stream that begins with a proof, says nothing, or has a short nonce", async () => {
  const server = await buildServer();
  const calls = inProcess(server);
  const proof = { csrDer: new Uint8Array(), signature: new Uint8Array() };
  await expect(calls.attest({ step: { $case: "recoverProof", value: proof } })).rejects.toMatchObject({
    code: "bad_request",
  });
  await expect(calls.attest({})).rejects.toMatchObject({ code: "bad_request" });
  const start = { spiffeId: server.agent("one"), serialHex: "aa", clientNonce: new Uint8Array(31) };
  await expect(calls.attest({ step: { $case: "recoverStart", value: start } })).rejects.toMatchObject({
    code: "bad_request",
  });
});

test("Renew of a node that is banned between the decision and the commit is denied", async () => {
  const clock = fakeClock();
  let ban: (() => Promise<void>) | undefined;
  let reads = 0;
  const store = createMemoryStore({
    clock,
    faults: {
      before: async (call) => {
        // The node is read when the caller is known, for the decision, and for the commit.
        if (call.operation !== "get" || call.collection !== "nodes" || ban === undefined || ++reads < 3)
          return undefined;
        const once = ban;
        ban = undefined;
        await once();
        return undefined;
      },
    },
  });
  const server = await buildServer({ clock, store });
  const { recorded } = await server.join();
  ban = () => setNode(server, { state: "banned" });
  await expect(inProcess(server).renew(recorded.record.der, newKey())).rejects.toMatchObject({ rule: "node_banned" });
  const all = await Array.fromAsync(server.store.scan(certificates, "key"));
  expect(all).toHaveLength(1);
});
