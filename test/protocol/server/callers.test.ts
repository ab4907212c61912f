import { createPrivateKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HealthCheckResponse_ServingStatus as ServingStatus } from "../../../proto/gen/grpc/health/v1/health.ts";
import type { AttestRequest } from "../../../proto/gen/signet/v1/issuance.ts";
import { deleteEntry, getEntry } from "../../../src/registry/entries.ts";
import { findNode } from "../../../src/registry/nodes.ts";
import { nodes } from "../../../src/store/collections/nodes.ts";
import { update } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { assemble, fillLeaf, leafTemplate } from "../../../src/x509/template.ts";
import { buildCa, leafCertificate } from "../../fakes/build-ca.ts";
import { testActor } from "../../fakes/build-server.ts";
import { type TestKey, testKey } from "../../unit/x509/signers.ts";
import { attested, called, type Presented, refusal, type Served, serve } from "./served.ts";

let served: Served;
let one: Presented;

beforeAll(async () => {
  served = await serve();
  one = await served.agentNamed("one");
  await served.entry();
});
afterAll(() => served.close());

const csrOf = async (key: TestKey = testKey("ec-p256")): Promise<Buffer> => Buffer.from(await buildCsr(key));
const item = async (
  path: string,
  ttlSeconds = 0,
): Promise<{ spiffeId: string; csrDer: Buffer; ttlSeconds: number }> => ({
  spiffeId: served.id(path),
  csrDer: await csrOf(),
  ttlSeconds,
});
const issueBy = async (presented: Presented | undefined, path = "/svc/a"): Promise<unknown> => {
  const client = served.issuance(presented);
  return called(client.issue.bind(client), { item: await item(path) });
};

test("anonymous may call GetBundle, health and Attest", async () => {
  const bundle = served.bundle();
  const { bundle: got } = await called(bundle.getBundle.bind(bundle), {});
  expect(got?.rootsDer.map((der) => new Uint8Array(der))).toEqual(
    served.state.view().bundle.roots.map(({ raw }) => raw),
  );
  const health = served.health();
  served.serving.set(true);
  expect((await called(health.check.bind(health), { service: "" })).status).toBe(ServingStatus.SERVING);
  expect((await called(health.check.bind(health), { service: "signet.v1.IssuanceService" })).status).toBe(
    ServingStatus.SERVING,
  );
  await expect(called(health.check.bind(health), { service: "other" })).rejects.toMatchObject({
    code: status.NOT_FOUND,
  });
  const key = testKey("ec-p256");
  const secret = Buffer.from(await served.token("anonymous"));
  const value = { spiffeId: served.agent("anonymous"), secret, csrDer: await csrOf(key) };
  const answer = await attested(served.issuance(), { step: { $case: "join", value } });
  if (answer.step?.$case !== "result") throw new Error("no result");
  const { certificate, addresses, denyList } = answer.step.value;
  expect(addresses).toEqual([served.api.address]);
  expect(denyList?.crlsDer).toHaveLength(2);
  expect(certificate?.chainDer).toHaveLength(2);
  // What came over the wire works as a client certificate.
  const chainDer = certificate?.chainDer.map((der) => new Uint8Array(der)) ?? [];
  const client = served.issuance({ key, chainDer });
  await called(client.renew.bind(client), { csrDer: await csrOf() });
});

test.each(["issue", "batchIssue", "renew"] as const)(
  "anonymous is UNAUTHENTICATED at %s before the body is read",
  async (method) => {
    const client = served.issuance();
    const big = Buffer.alloc(2_000_000); // Read, it would be RESOURCE_EXHAUSTED.
    const request = {
      csrDer: big,
      item: { spiffeId: "", csrDer: big, ttlSeconds: 0 },
      items: [{ spiffeId: "", csrDer: big, ttlSeconds: 0 }],
    };
    const refused = await refusal(called(client[method].bind(client) as never, request as never));
    expect(refused).toMatchObject({ grpcCode: status.UNAUTHENTICATED, code: "unauthenticated" });
    expect(refused.detail.cure).not.toBe("");
  },
);

test("anonymous is UNAUTHENTICATED at Sync, and at the admin service, which this listener does not have", async () => {
  const stream = served.issuance().sync();
  const [error] = (await once(stream, "error")) as [ServiceError];
  expect(error.code).toBe(status.UNAUTHENTICATED);
  const client = served.issuance();
  const call = new Promise((_, reject) => {
    client.makeUnaryRequest(
      "/signet.v1.AdminService/GetStatus",
      (value: Buffer) => value,
      (value) => value,
      Buffer.alloc(0),
      (refused) => reject(refused),
    );
  });
  await expect(call).rejects.toMatchObject({
    code: expect.toSatisfy((code) => [status.UNAUTHENTICATED, status.UNIMPLEMENTED].includes(code)),
  });
});

test("an agent gets its identity, and not another agent's, with rule, limit and cure", async () => {
  await issueBy(one);
  await served.agentNamed("two");
  await served.entry({ agent: "two", path: "/svc/two" });
  const refused = await refusal(issueBy(one, "/svc/two"));
  expect(refused).toMatchObject({ grpcCode: status.PERMISSION_DENIED, code: "denied", rule: "not_parent" });
  expect(refused.detail).toMatchObject({
    value: served.agent("one"),
    limit: served.agent("two"),
    cure: "signet entry create --id /svc/two --agent one",
  });
  for (const path of ["/signet/server", "/agent/two", "/device/a/1", "/signet/admin/eve"]) {
    expect(await refusal(issueBy(one, path))).toMatchObject({ code: "denied", rule: "name_space" });
  }
  expect(await refusal(issueBy(one, "/svc/nobody"))).toMatchObject({ code: "denied", rule: "no_entry" });
  const client = served.issuance(one);
  const bad = called(client.issue.bind(client), {
    item: { spiffeId: "spiffe://PROD/../x", csrDer: await csrOf(), ttlSeconds: 0 },
  });
  expect(await refusal(bad)).toMatchObject({ grpcCode: status.INVALID_ARGUMENT, code: "bad_request" });
  expect(await refusal(called(client.issue.bind(client), {}))).toMatchObject({ code: "bad_request" });
  expect(await refusal(called(client.issue.bind(client), { item: await item("/svc/a", 3601) }))).toMatchObject({
    rule: "ttl_over_profile",
  });
});

test("an entry that was deleted gives nothing any more", async () => {
  await served.entry({ path: "/svc/gone" });
  await issueBy(one, "/svc/gone");
  await deleteEntry(served.nouns, await getEntry(served.nouns, "/svc/gone"), testActor);
  expect(await refusal(issueBy(one, "/svc/gone"))).toMatchObject({ rule: "no_entry" });
});

/** Certificates that are no living agent's of ours; each must be UNAUTHENTICATED. */
async function strangers(): Promise<Readonly<Record<string, Presented>>> {
  const id = served.agent("one");
  const foreign = buildCa({ at: new Date() });
  const key = testKey("ec-p256");
  const leaf = foreign.issue({ key, uri: id, extendedKeyUsage: "client" });
  const ours = served.state.view().authorities.find(({ record }) => record.name === "int-1");
  const recorded = parseCertificate(one.chainDer[0] ?? new Uint8Array());
  const dates = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const selfSigned = leafCertificate({
    key,
    signer: key,
    subject: "agent",
    issuer: "agent",
    names: [uri(id)],
    serial: Buffer.from(recorded.serialHex, "hex"),
    ...dates,
  });
  const workload = await served.issue("one", "/svc/a", { key });
  const own = await served.renewOwn();
  const ownKey = { ...key, privateKey: keyOf(own.tls.key) };
  return {
    "a foreign CA": { key, chainDer: leaf.chainDer },
    "a foreign CA with our intermediate beside it": {
      key,
      chainDer: [leaf.chainDer[0] ?? key.spkiDer, ours?.certificate.raw ?? key.spkiDer],
    },
    "a self-signed certificate with a real agent's ID and serial": { key, chainDer: [selfSigned.raw] },
    "a workload's certificate": { key, chainDer: workload.chainDer },
    "the server's own certificate": { key: ownKey, chainDer: [own.record.der, ours?.certificate.raw ?? key.spkiDer] },
  };
}

test("certificates of foreign CAs, self-signed ones, workloads' and the server's own are UNAUTHENTICATED", async () => {
  const all = await strangers();
  for (const [what, presented] of Object.entries(all)) {
    const refused = await refusal(issueBy(presented));
    expect({ what, code: refused.grpcCode }).toEqual({ what, code: status.UNAUTHENTICATED });
    const stream = served.issuance(presented).sync();
    const [error] = (await once(stream, "error")) as [ServiceError];
    expect(error.code).toBe(status.UNAUTHENTICATED);
  }
  // They may call what everybody may.
  const bundle = served.bundle(all["a foreign CA"]);
  expect((await called(bundle.getBundle.bind(bundle), {})).bundle?.trustDomain).toBe("prod.example");
});

test("a certificate under our authority that was never recorded is UNAUTHENTICATED", async () => {
  const ours = served.state.view().authorities.find(({ record }) => record.name === "int-1");
  const handle = await served.keys.open("int-1");
  const key = testKey("ec-p256");
  if (ours === undefined) throw new Error("no int-1");
  const template = leafTemplate({ issuer: ours.certificate, extendedKeyUsage: "client", publicKeyType: "ec-p256" });
  const tbs = fillLeaf(template, {
    serial: new Uint8Array(randomBytes(16)).fill(0x44, 0, 1),
    notBefore: ours.certificate.notBefore,
    notAfter: new Date(Date.now() + 3_600_000),
    spkiDer: key.spkiDer,
    uri: served.agent("one"),
    dnsNames: [],
    ipAddresses: [],
  });
  const der = assemble(tbs, template.signatureAlgorithmDer, await handle.sign(tbs));
  expect(await refusal(issueBy({ key, chainDer: [der, ours.certificate.raw] }))).toMatchObject({
    code: "unauthenticated",
  });
});

test("a connection whose certificate ends is UNAUTHENTICATED at its next call, and its Sync is over", async () => {
  const short = await serve();
  try {
    const presented = await short.agentNamed("one");
    await short.entry();
    const client = short.issuance(presented);
    const ask = async (): Promise<unknown> =>
      called(client.issue.bind(client), {
        item: { spiffeId: short.id("/svc/a"), csrDer: await csrOf(), ttlSeconds: 0 },
      });
    await ask();
    const stream = client.sync();
    stream.on("error", () => undefined);
    stream.write({});
    await once(stream, "data");
    const ended = once(stream, "error");
    await short.clock.advance(86_400_000 + 1000);
    expect(await refusal(ask())).toMatchObject({ grpcCode: status.UNAUTHENTICATED });
    await short.entry({ path: "/svc/secret" });
    const [error] = (await ended) as [ServiceError];
    expect(error.code).toBe(status.UNAUTHENTICATED);
  } finally {
    await short.close();
  }
});

test("a banned agent is refused by node_banned on the connection that it has, and an evicted one by node_unknown", async () => {
  const presented = await served.agentNamed("banned");
  await served.entry({ agent: "banned", path: "/svc/banned" });
  const client = served.issuance(presented);
  const ask = async (): Promise<unknown> => called(client.issue.bind(client), { item: await item("/svc/banned") });
  await ask();
  for (const [state, rule] of [
    ["evicted", "node_unknown"],
    ["banned", "node_banned"],
  ] as const) {
    const node = await findNode(served.store, served.agent("banned"));
    if (node === undefined) throw new Error("no node");
    await served.store.commit([update(nodes, { ...node.value, state }, node.revision)]);
    expect(await refusal(ask())).toMatchObject({ grpcCode: status.PERMISSION_DENIED, code: "denied", rule });
    expect(await refusal(called(client.renew.bind(client), { csrDer: await csrOf() }))).toMatchObject({ rule });
  }
});

test("Attest over the wire: used string, unknown string, alive agent, each with its code", async () => {
  const secret = Buffer.from(await served.token("wired"));
  const join = async (): Promise<AttestRequest> => ({
    step: { $case: "join", value: { spiffeId: served.agent("wired"), secret, csrDer: await csrOf() } },
  });
  await attested(served.issuance(), await join());
  expect(await refusal(attested(served.issuance(), await join()))).toMatchObject({
    grpcCode: status.PERMISSION_DENIED,
    code: "token_used",
  });
  const unknown: AttestRequest = {
    step: {
      $case: "join",
      value: { spiffeId: served.agent("wired"), secret: Buffer.alloc(32), csrDer: await csrOf() },
    },
  };
  expect(await refusal(attested(served.issuance(), unknown))).toMatchObject({ code: "token_unknown" });
  const again = Buffer.from(await served.token("wired"));
  const alive: AttestRequest = {
    step: { $case: "join", value: { spiffeId: served.agent("wired"), secret: again, csrDer: await csrOf() } },
  };
  expect(await refusal(attested(served.issuance(), alive))).toMatchObject({
    grpcCode: status.FAILED_PRECONDITION,
    code: "agent_alive",
  });
  expect(await refusal(attested(served.issuance(), {}))).toMatchObject({
    grpcCode: status.INVALID_ARGUMENT,
    code: "bad_request",
  });
});

test("a client that vanishes in the middle of an attestation does not harm the server", async () => {
  for (let i = 0; i < 5; i++) {
    const client = served.issuance();
    const stream = client.attest();
    stream.on("error", () => undefined);
    const start = { spiffeId: served.agent("one"), serialHex: "aa", clientNonce: randomBytes(32) };
    stream.write({ step: { $case: "recoverStart", value: start } });
    await once(stream, "data");
    if (i % 2 === 0) stream.cancel();
    else client.close();
  }
  await issueBy(one);
});

function tlsTo(options: object): TLSSocket {
  return connect({
    port: served.api.port,
    host: "127.0.0.1",
    servername: "localhost",
    ALPNProtocols: ["h2"],
    ca: served.state.view().bundle.roots.map(({ raw }) => encodePem("CERTIFICATE", raw)),
    ...options,
  });
}

test("TLS 1.2 is refused", async () => {
  const socket = tlsTo({ maxVersion: "TLSv1.2" });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toMatch(/ALERT_PROTOCOL_VERSION|ECONNRESET/);
});

test("no session is resumed, before and after the certificate is swapped", async () => {
  for (let round = 0; round < 2; round++) {
    const first = tlsTo({});
    let session: Buffer | undefined;
    first.on("session", (given: Buffer) => {
      session = given;
    });
    await once(first, "secureConnect");
    expect(first.getProtocol()).toBe("TLSv1.3");
    await once(first, "data"); // SETTINGS come after what would be a ticket.
    first.destroy();
    expect(session).toBeDefined(); // Without one there would be nothing to try.
    const second = tlsTo({ session });
    await once(second, "secureConnect");
    expect(second.isSessionReused()).toBe(false);
    second.destroy();
    served.api.update((await served.renewOwn()).tls);
  }
});

test("the server's certificate is swapped under constant calls without a failed one, and new connections see the new one", async () => {
  const agents = [one, await served.agentNamed("swap-1")];
  let calls = 0;
  const failures: unknown[] = [];
  const over = new AbortController();
  const callers = agents.map(async (presented) => {
    const kept = served.bundle(presented);
    while (!over.signal.aborted) {
      const fresh = served.bundle(presented);
      for (const client of [kept, fresh]) {
        try {
          await called(client.getBundle.bind(client), {});
          calls++;
        } catch (error) {
          failures.push(error);
        }
      }
      fresh.close();
    }
  });
  let last = "";
  for (let swap = 0; swap < 10; swap++) {
    const own = await served.renewOwn();
    served.api.update(own.tls);
    last = own.record.serialHex;
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  over.abort();
  await Promise.all(callers);
  expect(failures).toEqual([]);
  expect(calls).toBeGreaterThan(20);
  const socket = tlsTo({});
  await once(socket, "secureConnect");
  expect(socket.getPeerCertificate().serialNumber.toLowerCase()).toBe(last);
  socket.destroy();
});

test("anonymous connections are few: the oldest make room, also in a burst, and agents stay", async () => {
  const small = await serve({ limits: { anonymousConnections: 3 } });
  try {
    const presented = await small.agentNamed("one");
    await small.entry();
    const client = small.issuance(presented);
    const ask = async (): Promise<unknown> =>
      called(client.issue.bind(client), {
        item: { spiffeId: small.id("/svc/a"), csrDer: await csrOf(), ttlSeconds: 0 },
      });
    await ask();
    const sockets = Array.from({ length: 12 }, () => connectTcp(small.api.port, "127.0.0.1"));
    for (const socket of sockets) socket.on("error", () => undefined);
    await expect.poll(() => small.api.connections.open, { timeout: 5000 }).toBe(4);
    await expect.poll(() => sockets.slice(0, 9).every(({ destroyed }) => destroyed), { timeout: 5000 }).toBe(true);
    await ask();
    expect(sockets.slice(9).map(({ destroyed }) => destroyed)).toEqual([false, false, false]);
    for (const socket of sockets) socket.destroy();
  } finally {
    await small.close();
  }
});

test("an anonymous connection lives for so long only, an agent's longer", async () => {
  const small = await serve({ limits: { anonymousLifeMs: 300 } });
  try {
    const presented = await small.agentNamed("one");
    await small.entry();
    const client = small.issuance(presented);
    const ask = async (): Promise<unknown> =>
      called(client.issue.bind(client), {
        item: { spiffeId: small.id("/svc/a"), csrDer: await csrOf(), ttlSeconds: 0 },
      });
    await ask();
    // One that says nothing, and one that finished its handshake: only its life ends that one.
    const silent = connectTcp(small.api.port, "127.0.0.1");
    const shaken = tlsTo({ port: small.api.port, rejectUnauthorized: false });
    await once(shaken, "secureConnect");
    for (const socket of [silent, shaken]) socket.on("error", () => undefined).resume();
    await expect.poll(() => small.api.connections.open, { timeout: 5000 }).toBe(1);
    expect([silent.destroyed, shaken.destroyed]).toEqual([true, true]);
    await ask();
  } finally {
    await small.close();
  }
});

function uri(text: string): Uint8Array {
  const octets = new TextEncoder().encode(text);
  return Uint8Array.from([0x86, octets.length, ...octets]);
}

function keyOf(pem: unknown): TestKey["privateKey"] {
  return createPrivateKey(String(pem));
}
