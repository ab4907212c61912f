// The agent end to end, against a server of our own making: real TLS, real files, real time.
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { access, chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import {
  createServer as createNetServer,
  type Server as NetServer,
  connect as netConnect,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeOwnFile } from "../../agent/data-files.ts";
import { joinTrustDomain } from "../../agent/enrol/join.ts";
import { JoinError } from "../../agent/enrol/join-error.ts";
import { OwnIdentity } from "../../agent/enrol/own-identity.ts";
import { type Accounts, type PlaceSetting, settlePlaces } from "../../agent/identities/places.ts";
import { takeLock } from "../../agent/lock.ts";
import { loadTrust } from "../../agent/trust.ts";
import { defaultLimits, type RunningAgent, startAgent } from "../../agent/wire.ts";
import { NodeServiceClient } from "../../proto/gen/signet/v1/node.ts";
import { formatAddress } from "../../src/platform/address.ts";
import type { Clock } from "../../src/platform/clock.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { createDataDir, type DataDir, openDataDir } from "../../src/platform/data-dir.ts";
import { silentLogger } from "../../src/platform/logger.ts";
import { systemRandom } from "../../src/platform/random.ts";
import { createTasks } from "../../src/platform/tasks.ts";
import { callUnary } from "../../src/sdk/rpc.ts";
import { parseSpiffeId } from "../../src/spiffe/id.ts";
import { parseIdentityFile } from "../../src/spiffe/identity-file.ts";
import { parseJoinString } from "../../src/spiffe/join-string.ts";
import { buildCa } from "../fakes/build-ca.ts";
import { FakeIssuer, Refused } from "../fakes/fake-issuer-server.ts";

const writer = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const accounts: Accounts = { user: async () => undefined, group: async () => undefined };
const limits: typeof defaultLimits = {
  ...defaultLimits,
  sync: { ...defaultLimits.sync, reportGapMs: 20, refusedMs: 500 },
  retry: { baseMs: 200, mostMs: 1000, leastMs: 100 },
};

let root = "";
let server: FakeIssuer;
const running: RunningAgent[] = [];
const servers: FakeIssuer[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "signet-agent-"));
  server = await new FakeIssuer().start();
  servers.push(server);
});
afterEach(async () => {
  for (const agent of running.splice(0)) await agent.close();
  for (const each of servers.splice(0)) await each.stop();
  await rm(root, { recursive: true, force: true });
});

interface Node {
  readonly dir: DataDir;
  readonly own: OwnIdentity;
}

async function node(): Promise<Node> {
  const path = join(root, "agent");
  const dir = await openDataDir(path, { kind: "agent", version: 1 }).catch(() =>
    createDataDir(path, { kind: "agent", version: 1, now: new Date() }, async () => {}),
  );
  return { dir, own: await OwnIdentity.open({ directory: dir.path, write: writeOwnFile }) };
}

async function joinAs(joinString: string, { dir, own }: Node): ReturnType<typeof joinTrustDomain> {
  return await joinTrustDomain(
    {
      clock: systemClock,
      random: systemRandom,
      own,
      directory: dir.path,
      write: writeOwnFile,
      limits: defaultLimits.contact,
      servers: [],
    },
    parseJoinString(joinString),
  );
}

interface StartOptions {
  readonly clock?: Clock;
  readonly settings?: readonly PlaceSetting[];
  readonly joinString?: string;
  readonly graceSeconds?: number;
}

/** Starts the agent of this test's node, joined before. */
async function start(options: StartOptions = {}): Promise<RunningAgent> {
  const { dir, own } = await node();
  const trust = await loadTrust(dir.file("trust.json"));
  if (trust === undefined) throw new Error("not joined");
  const agent = await startAgent({
    clock: options.clock ?? systemClock,
    random: systemRandom,
    logger: silentLogger,
    tasks: createTasks(silentLogger),
    dir,
    own,
    trust,
    places: await settlePlaces(options.settings ?? [], { root: dir.file("identities"), writer, accounts }),
    servers: [],
    join: options.joinString === undefined ? undefined : parseJoinString(options.joinString),
    isNew: false,
    graceSeconds: options.graceSeconds ?? 86_400,
    version: "0.0.0",
    limits,
    opsAddress: { host: "127.0.0.1", port: 0 },
  });
  running.push(agent);
  return agent;
}

async function joined(): Promise<RunningAgent> {
  await joinAs(server.joinString("one"), await node());
  return await start();
}

async function stop(agent: RunningAgent): Promise<void> {
  running.splice(running.indexOf(agent), 1);
  await agent.close();
}

/** Resolves once the condition holds; looked at after each change of the agent. */
async function until(agent: RunningAgent, ready: () => boolean): Promise<void> {
  if (ready()) return;
  await new Promise<void>((resolve) => {
    const off = agent.onChange(() => {
      if (!ready()) return;
      off();
      resolve();
    });
  });
}

const idA = parseSpiffeId("spiffe://prod.example/svc/a");
const dirA = (): string => join(root, "agent", "identities", "svc", "a");
const serialOf = (agent: RunningAgent): string => agent.cache.get(idA)?.disk.shown?.serialHex ?? "";
const onDisk = (agent: RunningAgent): Promise<void> => until(agent, () => serialOf(agent) !== "");
const identityA = async (): Promise<ReturnType<typeof parseIdentityFile>> =>
  parseIdentityFile(await readFile(join(dirA(), "identity.json"), "utf8"));

async function probe(agent: RunningAgent, path: string): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`http://${formatAddress(agent.ops.address)}${path}`);
  return { status: answer.status, text: await answer.text() };
}

async function restarted(): Promise<FakeIssuer> {
  const again = await new FakeIssuer({ memory: server, port: server.port }).start();
  servers.push(again);
  return again;
}

async function joinFailure(work: Promise<unknown>): Promise<JoinError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof JoinError)) throw new Error(`not a JoinError: ${String(error)}`);
  return error;
}

describe("joining", () => {
  it("brings an identity to the disk with every file that services need", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one", { dnsNames: ["a.prod.example"] });
    await onDisk(agent);
    const names = (await readdir(dirA())).filter((name) => !name.startsWith(".."));
    expect(names.sort()).toEqual([
      "bundle.json",
      "ca.crt",
      "crl.pem",
      "denied.json",
      "identity.json",
      "tls.crt",
      "tls.key",
      "tls.pem",
    ]);
    const leaf = new X509Certificate(await readFile(join(dirA(), "tls.crt")));
    expect(leaf.subjectAltName).toContain("URI:spiffe://prod.example/svc/a, DNS:a.prod.example");
    expect((await stat(join(dirA(), "tls.key"))).mode & 0o7777).toBe(0o600);
    const identity = await identityA();
    expect(identity.serialHex).toBe(leaf.serialNumber.toLowerCase());
    expect([identity.ttlSeconds, identity.authority, identity.bundleSequence, identity.deniedSequence]).toEqual([
      3600,
      "int-1",
      1n,
      1n,
    ]);
    const crls = (await readFile(join(dirA(), "crl.pem"), "utf8")).match(/BEGIN X509 CRL/g);
    expect(crls).toHaveLength(2);
    await server.until(() => server.reports.at(-1)?.identities[0]?.state === 1);
    const report = server.reports.at(-1);
    expect([report?.bundleSequence, report?.deniedSequence, report?.entryRevision, report?.heldBackBy]).toEqual([
      1n,
      1n,
      server.revision,
      "",
    ]);
    expect((await probe(agent, "/readyz")).status).toBe(200);
    const metrics = (await probe(agent, "/metrics")).text;
    expect(metrics).toContain("signet_agent_server_connected 1");
    expect(metrics).toContain('signet_agent_renewals_total{result="renewed"} 1');
    expect(metrics).toMatch(
      /x509_cert_not_after\{kind="identity",authority="int-1",spiffe_id="spiffe:\/\/prod.example\/svc\/a",filepath="[^"]*tls.crt"\}/,
    );
    expect(metrics).toContain('signet_agent_write_failures_total{reason="no_space"} 0');
  });

  it("gives the same certificate to the same key, and exit 3 to another one", async () => {
    const joinString = server.joinString("one");
    const first = await node();
    await joinAs(joinString, first);
    const serial = first.own.held?.serialHex;
    await rm(join(root, "agent", "agent.json"));
    const other = await joinFailure(joinAs(joinString, await node()));
    expect([other.exitCode, other.reason]).toEqual([3, "refused"]);
    expect(serial).toBeDefined();
  });

  it("goes on with the same key when it was killed before the answer was kept", async () => {
    const joinString = server.joinString("one");
    const first = await node();
    const key = await first.own.nextKey();
    // Killed after the server's commit: what it answered is lost, the key is not.
    await joinAs(joinString, { dir: first.dir, own: await forgetful(first) });
    const again = await node();
    expect(again.own.held).toBeUndefined();
    expect((await again.own.nextKey()).spkiDer).toEqual(key.spkiDer);
    await joinAs(joinString, again);
    expect(server.issued).toHaveLength(1);
    expect(again.own.held?.serialHex).toBe(server.issued[0]?.serialHex);
  });

  it("refuses a server without a pinned root, sends it nothing, and says so", async () => {
    const mallory = await new FakeIssuer({ ca: buildCa({ at: new Date() }) }).start();
    servers.push(mallory);
    const joinString = server.joinString("one", { addresses: [mallory.address] });
    const error = await joinFailure(joinAs(joinString, await node()));
    expect([error.exitCode, error.reason]).toEqual([3, "other_server"]);
    expect(error.message).toContain("no root of its bundle is pinned");
    expect(mallory.calls).toEqual(["getBundle"]);
  });

  it("refuses a certificate under the pinned root that is not the server's", async () => {
    const workload = await new FakeIssuer({ ca: server.ca, serverId: "spiffe://prod.example/svc/mallory" }).start();
    servers.push(workload);
    const error = await joinFailure(joinAs(server.joinString("one", { addresses: [workload.address] }), await node()));
    expect([error.exitCode, error.reason]).toEqual([3, "other_server"]);
    expect(workload.calls).toEqual(["getBundle"]);
  });

  it("tells the man in the middle no secret: he has the bundle, relays, and records every byte", async () => {
    const mallory = new FakeIssuer({ ca: buildCa({ at: new Date() }) });
    await mallory.start();
    servers.push(mallory);
    // He shows the real bundle, which is public, over his own TLS.
    mallory.bundle = () => server.bundle();
    const recorded: Buffer[] = [];
    const tap = await recordingProxy(mallory.port, recorded);
    const joinString = server.joinString("one", { addresses: [tap.address] });
    const error = await joinFailure(joinAs(joinString, await node()));
    await tap.close();
    expect([error.exitCode, error.reason]).toEqual([3, "other_server"]);
    expect(mallory.calls).toEqual(["getBundle"]);
    const { secret } = parseJoinString(joinString);
    expect(recorded.length).toBeGreaterThan(0);
    expect(Buffer.concat(recorded).includes(secret)).toBe(false);
    expect(Buffer.concat(recorded).includes("/agent/one")).toBe(false);
  });

  it("cannot reach a server that is not there: exit 4", async () => {
    const joinString = server.joinString("one");
    await server.stop();
    const error = await joinFailure(joinAs(joinString, await node()));
    expect([error.exitCode, error.message]).toEqual([
      4,
      `cannot reach the server: connection refused by ${server.address}`,
    ]);
  });

  it("tries the next address of the join string", async () => {
    const dead = await new FakeIssuer().start();
    await dead.stop();
    const { address } = await joinAs(
      server.joinString("one", { addresses: [dead.address, server.address] }),
      await node(),
    );
    expect(address).toBe(server.address);
  });
});

describe("a running agent", () => {
  it("renews at renewAt with a new key and a new serial, and keeps the rotation going", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one", { ttlSeconds: 5 });
    await onDisk(agent);
    const first = await identityA();
    const firstKey = await readFile(join(dirA(), "tls.key"), "utf8");
    await until(agent, () => serialOf(agent) !== first.serialHex);
    const second = await identityA();
    expect(second.obtainedAt.getTime() - first.obtainedAt.getTime()).toBeGreaterThanOrEqual(1900);
    expect(await readFile(join(dirA(), "tls.key"), "utf8")).not.toBe(firstKey);
  });

  it("issues again when the entry changes, at once", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    const first = serialOf(agent);
    const entry = server.putEntry("/svc/a", "one", { dnsNames: ["new.prod.example"] });
    await until(agent, () => serialOf(agent) !== first);
    expect(new X509Certificate(await readFile(join(dirA(), "tls.crt"))).subjectAltName).toContain(
      "DNS:new.prod.example",
    );
    await server.until(() => server.reports.at(-1)?.entryRevision === entry.revision);
  });

  it("takes many new entries in batches of at most 100", async () => {
    const agent = await joined();
    await server.until(() => server.reports.length > 0);
    for (let i = 0; i < 130; i++) server.putEntry(`/svc/n${i}`, "one");
    await until(agent, () => agent.cache.all().length === 130 && agent.notReady().length === 0);
    expect(Math.max(...server.batchSizes)).toBeLessThanOrEqual(100);
    expect(server.issued.filter(({ spiffeId }) => spiffeId.includes("/svc/"))).toHaveLength(130);
  });

  it("uses no certificate that is not what was asked for, and keeps the old one", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    const first = serialOf(agent);
    const stranger = buildCa({ at: new Date() }).issue({ uri: idA });
    server.alter = (certificate) => ({ ...certificate, chainDer: stranger.chainDer.map((der) => Buffer.from(der)) });
    server.push({ renewNow: { spiffeIds: [idA] } });
    await until(agent, () => (agent.cache.get(idA)?.renewal.failures ?? 0) > 0);
    expect(agent.cache.get(idA)?.renewal.lastError).toContain("the certificate that the server issued is not used");
    expect(serialOf(agent)).toBe(first);
    expect((await identityA()).serialHex).toBe(first);
    expect((await probe(agent, "/readyz")).status).toBe(200);
    server.alter = (certificate) => certificate;
    await until(agent, () => serialOf(agent) !== first);
  });

  it("keeps what is valid while the server is away, stays ready, and renews when it is back", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one", { ttlSeconds: 8 });
    await onDisk(agent);
    const first = serialOf(agent);
    await server.stop();
    await until(agent, () => !agent.session.contact.connected);
    const ready = await probe(agent, "/readyz?verbose");
    expect(ready.status).toBe(200);
    expect(ready.text).toContain("away since");
    expect((await probe(agent, "/metrics")).text).toContain("signet_agent_server_connected 0");
    await restarted();
    await until(agent, () => serialOf(agent) !== first);
  });

  it("serves what it kept before any server answers, after a restart", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    const first = await identityA();
    await stop(agent);
    await server.stop();
    await rm(dirA(), { recursive: true });
    const again = await start();
    expect(serialOf(again)).toBe(first.serialHex);
    expect((await identityA()).renewAt).toEqual(first.renewAt);
    expect((await probe(again, "/readyz")).status).toBe(200);
  });

  it("does not renew what was withdrawn, and its files go when it ends", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one", { ttlSeconds: 5 });
    await onDisk(agent);
    const serial = serialOf(agent);
    server.deleteEntry("/svc/a");
    await until(agent, () => agent.cache.get(idA)?.withdrawn === true);
    expect((await identityA()).serialHex).toBe(serial);
    expect((await probe(agent, "/readyz")).status).toBe(200);
    await until(agent, () => agent.cache.get(idA) === undefined);
    await expect(access(join(dirA(), "tls.crt"))).rejects.toThrow();
    expect(server.issued.filter(({ spiffeId }) => spiffeId === idA)).toHaveLength(1);
    expect(await readdir(join(root, "agent", "kept"))).toEqual([]);
  });

  it("never calls an ended identity valid", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one", { ttlSeconds: 5 });
    await onDisk(agent);
    server.before = (call) => {
      if (call === "batchIssue") throw new Refused("denied", "no_authority");
    };
    const end = agent.cache.get(idA)?.held?.notAfter.getTime() ?? 0;
    await systemClock.sleep(end - Date.now() + 50);
    const ready = await probe(agent, "/readyz?verbose");
    expect(ready.status).toBe(503);
    expect(ready.text).toContain(`ended at ${new Date(end).toISOString()}`);
    server.before = () => {};
    await until(agent, () => agent.notReady().length === 0);
  });

  it("shows a newer bundle and deny list in every directory before it acknowledges them", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    server.bundleSequence = 7n;
    server.deniedSequence = 3n;
    server.denied = [{ authorityKeyId: "ab".repeat(20), serialHex: "*" }];
    server.push({ bundle: server.bundle(), denyList: server.denyList() });
    await server.until(
      () => server.reports.at(-1)?.bundleSequence === 7n && server.reports.at(-1)?.deniedSequence === 3n,
    );
    const identity = await identityA();
    expect([identity.bundleSequence, identity.deniedSequence]).toEqual([7n, 3n]);
    expect(JSON.parse(await readFile(join(dirA(), "denied.json"), "utf8"))).toEqual({
      sequence: "3",
      denied: server.denied,
    });
    server.bundleSequence = 5n;
    server.push({ bundle: server.bundle() });
    server.putEntry("/svc/b", "one");
    await server.until(() => server.reports.at(-1)?.identities.length === 2);
    expect(agent.trust.state.bundle.sequence).toBe(7n);
  });

  it("says what holds an acknowledgement back, keeps the old set, and recovers", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    await chmod(dirA(), 0o777);
    server.bundleSequence = 9n;
    server.push({ bundle: server.bundle() });
    await server.until(() => (server.reports.at(-1)?.heldBackBy ?? "") !== "");
    await server.until(() => /others may write/.test(server.reports.at(-1)?.heldBackBy ?? ""));
    expect(server.reports.at(-1)?.bundleSequence).toBe(1n);
    expect(server.reports.at(-1)?.identities[0]?.state).toBe(3);
    await chmod(dirA(), 0o755);
    await server.until(() => server.reports.at(-1)?.bundleSequence === 9n);
    expect(server.reports.at(-1)?.heldBackBy).toBe("");
    expect((await probe(agent, "/metrics")).text).toMatch(/signet_agent_write_failures_total\{reason="unsafe"\} [1-9]/);
  });

  it("renews its own certificate and goes on with the new one without losing a call", async () => {
    await server.stop();
    server = await new FakeIssuer({ agentSeconds: 6 }).start();
    servers.push(server);
    await joinAs(server.joinString("one"), await node());
    const agent = await start();
    server.putEntry("/svc/a", "one", { ttlSeconds: 5 });
    await onDisk(agent);
    await server.until(() => server.calls.filter((call) => call === "renew").length >= 2);
    expect(server.calls.filter((call) => call === "sync").length).toBeGreaterThanOrEqual(2);
    expect(server.calls).not.toContain("attest recoverStart");
    expect(agent.cache.get(idA)?.renewal.failures).toBe(0);
    // The third conversation begins once the second certificate is kept.
    await server.until(() => server.calls.filter((call) => call === "sync").length >= 3);
    expect((await node()).own.held?.serialHex).toBe(
      server.issued.findLast(({ spiffeId }) => spiffeId.includes("/agent/"))?.serialHex,
    );
  });

  it("comes back by its key after its own certificate ended, with a new key", async () => {
    await server.stop();
    server = await new FakeIssuer({ agentSeconds: 2 }).start();
    servers.push(server);
    const { own } = await node();
    await joinAs(server.joinString("one"), { dir: (await node()).dir, own });
    const firstKey = own.held?.keyDer;
    const end = own.held?.notAfter.getTime() ?? 0;
    await systemClock.sleep(end - Date.now() + 50);
    const agent = await start();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    expect(server.calls).toContain("attest recoverProof");
    expect((await node()).own.held?.keyDer).not.toEqual(firstKey);
  });

  it("joins anew by a join string when the server no longer knows it, and not before", async () => {
    const agent = await joined();
    await server.until(() => server.reports.length > 0);
    await stop(agent);
    const joinString = server.joinString("one");
    const ignoring = await start({ joinString });
    await server.until(() => server.calls.filter((call) => call === "sync").length === 2);
    expect(server.calls.filter((call) => call === "attest join")).toHaveLength(1);
    await stop(ignoring);
    const evicted = server.issued.splice(0);
    const again = await start({ joinString });
    await until(again, () => again.session.contact.connected);
    expect(server.calls.slice(-3)).toEqual(["getBundle", "attest join", "sync"]);
    expect(server.calls).toContain("attest recoverProof");
    expect(server.issued.map(({ serialHex }) => serialHex)).not.toContain(evicted[0]?.serialHex);
  });

  it("does not come back by its key once agent_grace is over", async () => {
    await server.stop();
    server = await new FakeIssuer({ agentSeconds: 1 }).start();
    servers.push(server);
    const { dir, own } = await node();
    await joinAs(server.joinString("one"), { dir, own });
    await systemClock.sleep((own.held?.notAfter.getTime() ?? 0) - Date.now() + 50);
    const agent = await start({ graceSeconds: 0 });
    await until(agent, () => agent.session.contact.lastError.includes("longer ago than agent_grace"));
    expect(server.calls).not.toContain("attest recoverStart");
    expect((await probe(agent, "/readyz")).status).toBe(200);
  });

  it("looks seldom once it is banned, and says so", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    await server.stop();
    const cut = await restarted();
    cut.before = (call) => {
      if (call === "sync") throw new Refused("denied", "node_banned");
    };
    await until(agent, () => agent.session.contact.lastError === "this agent is banned");
    expect(cut.calls).not.toContain("attest recoverStart");
  });

  it("asks nobody who is not the server, also after it joined", async () => {
    const agent = await joined();
    await server.until(() => server.reports.length > 0);
    await server.stop();
    const mallory = await new FakeIssuer({ ca: buildCa({ at: new Date() }), port: server.port }).start();
    servers.push(mallory);
    await until(agent, () => agent.session.contact.lastError.includes("is not our server"));
    expect(mallory.calls).toEqual([]);
  });

  it("answers on its own socket, and renews by hand", async () => {
    const agent = await joined();
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    const client = new NodeServiceClient(`unix:${agent.socket.path}`, credentials.createInsecure());
    try {
      const status = await callUnary(client.getAgentStatus.bind(client), {}, { deadlineMs: 5000 });
      expect([status.agentId, status.serverConnected, status.ready, status.roots]).toEqual([
        "spiffe://prod.example/agent/one",
        true,
        true,
        1,
      ]);
      expect(status.identities[0]?.directory).toBe(dirA());
      const first = serialOf(agent);
      const method = client.renewIdentities.bind(client);
      const { results } = await callUnary(method, { ids: ["/svc/a", "/svc/none"], all: false }, { deadlineMs: 5000 });
      expect(results.map(({ spiffeId, renewed }) => [spiffeId, renewed])).toEqual([
        ["spiffe://prod.example/svc/a", true],
        ["spiffe://prod.example/svc/none", false],
      ]);
      expect(serialOf(agent)).not.toBe(first);
      expect(results[0]?.serialHex).toBe(serialOf(agent));
      await server.stop();
      await until(agent, () => !agent.session.contact.connected);
      const away = await callUnary(method, { ids: [], all: true }, { deadlineMs: 5000 });
      expect(away.results[0]?.error).toContain("the server is away");
    } finally {
      client.close();
    }
  });

  it("runs the reload command after each change, with a clean environment, and says when it fails", async () => {
    await joinAs(server.joinString("one"), await node());
    const script = join(root, "reload.sh");
    const log = join(root, "reloads");
    await writeFile(
      script,
      `#!/bin/sh\nenv > ${log}.env\n[ -e ${root}/broken ] && { echo no good >&2; exit 3; }\necho done >> ${log}\n`,
      { mode: 0o755 },
    );
    process.env["SIGNET_SECRET_FOR_TEST"] = "x";
    const reload = { kind: "command", command: [script], deadlineMs: 5000 } as const;
    const place = {
      spiffeId: idA,
      dir: join(root, "a"),
      owner: undefined,
      group: undefined,
      keyMode: 0o640,
      keepKey: true,
      reload,
    };
    const agent = await start({ settings: [place] });
    server.putEntry("/svc/a", "one");
    await onDisk(agent);
    await until(agent, () => agent.cache.get(idA)?.disk.reloadPending === false);
    expect(await readFile(log, "utf8")).toBe("done\n");
    const environment = await readFile(`${log}.env`, "utf8");
    expect(environment).not.toContain("SIGNET_SECRET_FOR_TEST");
    delete process.env["SIGNET_SECRET_FOR_TEST"];
    const key = await readFile(join(root, "a", "tls.key"), "utf8");
    await writeFile(join(root, "broken"), "");
    server.push({ renewNow: { spiffeIds: [idA] } });
    await until(agent, () => agent.cache.get(idA)?.disk.state === "reload_failed");
    expect(agent.cache.get(idA)?.disk.lastError).toBe(`${script} ended with 3: no good`);
    expect(await readFile(join(root, "a", "tls.key"), "utf8")).toBe(key);
    await server.until(() => (server.reports.at(-1)?.heldBackBy ?? "").includes("no good"));
    await rm(join(root, "broken"));
    await until(
      agent,
      () => agent.cache.get(idA)?.disk.state === "on_disk" && agent.cache.get(idA)?.disk.reloadPending === false,
    );
    expect((await stat(join(root, "a", "tls.key"))).mode & 0o7777).toBe(0o640);
  });
});

describe("takeLock()", () => {
  it("is given to one agent a data directory, and is free when that one has ended", async () => {
    const { dir } = await node();
    const first = await takeLock(dir, systemRandom);
    expect(first).toBeDefined();
    expect(await takeLock(dir, systemRandom)).toBeUndefined();
    await first?.release();
    const next = await takeLock(dir, systemRandom);
    expect(next).toBeDefined();
    await next?.release();
  });
});

/** An own identity that is killed just before it keeps what it got. */
async function forgetful({ dir }: Node): Promise<OwnIdentity> {
  const own = await OwnIdentity.open({ directory: dir.path, write: writeOwnFile });
  return new Proxy(own, {
    get: (target, name) => {
      if (name === "install") return async () => {};
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function recordingProxy(
  port: number,
  recorded: Buffer[],
): Promise<{ readonly address: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const proxy: NetServer = createNetServer((client) => {
    const upstream = netConnect(port, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        recorded.push(chunk);
        to.write(chunk);
      });
      from.on("close", () => to.destroy());
      from.on("error", () => to.destroy());
    }
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const bound = proxy.address();
  return {
    address: `127.0.0.1:${typeof bound === "object" && bound !== null ? bound.port : 0}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => proxy.close(() => resolve()));
    },
  };
}
