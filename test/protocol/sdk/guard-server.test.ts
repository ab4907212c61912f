import { once } from "node:events";
import { connect as connectHttp2, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type DirectorySource,
  exactly,
  guardServer,
  openDirectorySource,
  openHttp2Client,
  type PeerRefusal,
  parseSpiffeId,
  type RefusedPeer,
  serverOptions,
} from "../../../src/sdk/sdk.ts";
import { type Leaf, makeCa, makeIdentityDir, type TestCa, writeSet } from "./test-ca.ts";

const idA = parseSpiffeId("spiffe://prod.example/svc/a");
const idB = parseSpiffeId("spiffe://prod.example/svc/b");

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

let ca: TestCa;
let dirB: string;
let sourceB: DirectorySource;
let refusals: RefusedPeer[];

async function openSource(dir: string): Promise<DirectorySource> {
  const source = await openDirectorySource(dir);
  closers.push(() => source.close());
  return source;
}

async function directory(leaf: Leaf): Promise<string> {
  const { dir, remove } = await makeIdentityDir({ leaf, bundle: ca.bundle() });
  closers.push(remove);
  return dir;
}

beforeEach(async () => {
  ca = makeCa();
  refusals = [];
  dirB = await directory(ca.leaf(idB));
  sourceB = await openSource(dirB);
});

/** B, which lets only A in. */
async function startServer(source = sourceB): Promise<{ port: number; guard: ReturnType<typeof guardServer> }> {
  const server = createSecureServer(serverOptions(source), (request, response) => {
    response.end(`hello ${guard.peerOf(request).spiffeId}`);
  });
  const guard = guardServer(server, source, {
    authorize: exactly(idA),
    onRefused: (refused) => refusals.push(refused),
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => guard.close({ withinMs: 100 }));
  return { port: (server.address() as AddressInfo).port, guard };
}

async function clientOfA(port: number, leaf = ca.leaf(idA)): Promise<ReturnType<typeof openHttp2Client>> {
  const source = await openSource(await directory(leaf));
  const client = openHttp2Client(source, `127.0.0.1:${port}`, { authorize: exactly(idB) });
  closers.push(() => client.close({ withinMs: 100 }));
  return client;
}

/** A client that is nobody's friend: what it got, as octets, until the server closed. */
async function knock(port: number, options: ConnectionOptions): Promise<{ bytes: number; socket: TLSSocket }> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"], ...options });
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  socket.on("error", () => {});
  await new Promise((closed) => socket.on("close", closed));
  return { bytes, socket };
}

const pair = (leaf: Leaf): ConnectionOptions => ({ cert: leaf.chainPem, key: leaf.keyPem });

describe("guardServer() before the first byte", () => {
  test("guardServer() lets the allowed peer in and says who it is", async () => {
    const { port, guard } = await startServer();
    const client = await clientOfA(port);
    const { status, body, peer } = await client.request({ path: "/" });
    expect([status, Buffer.from(body).toString(), peer.spiffeId]).toEqual([200, `hello ${idA}`, idB]);
    expect(guard.counts().accepted).toBe(1);
  });

  const strangers: readonly (readonly [string, PeerRefusal, () => ConnectionOptions])[] = [
    ["without a certificate", "no_certificate", () => ({})],
    ["of a foreign CA with the same names", "issuer_unknown", () => pair(makeCa().leaf(idA))],
    ["whose certificate has ended", "expired", () => pair(ca.leaf(idA, { beginsIn: -600, endsIn: -5 }))],
    ["whose certificate is not valid yet", "not_yet_valid", () => pair(ca.leaf(idA, { beginsIn: 600 }))],
    ["with another ID", "id_not_allowed", () => pair(ca.leaf("spiffe://prod.example/svc/c"))],
    [
      "with an ID of another trust domain",
      "issuer_unknown",
      () => pair(makeCa("b.example").leaf("spiffe://b.example/svc/a")),
    ],
    ["with a certificate for servers only", "bad_chain", () => pair(ca.leaf(idA, { usage: "server" }))],
    ["that sends its leaf without the intermediate", "issuer_unknown", () => bare(ca.leaf(idA))],
    ["whose leaf was signed by a leaf", "issuer_unknown", () => signedByLeaf()],
  ];
  for (const [who, reason, options] of strangers) {
    test(`guardServer() refuses a peer ${who} as ${reason}, with no byte sent, and serves on`, async () => {
      const { port, guard } = await startServer();
      const { bytes } = await knock(port, options());
      expect(bytes).toBe(0);
      expect(refusals.map((refused) => refused.reason)).toEqual([reason]);
      expect(guard.counts().refused[reason]).toBe(1);
      const client = await clientOfA(port);
      expect((await client.request({ path: "/" })).status).toBe(200);
    });
  }

  test("guardServer() refuses a peer on the deny list, by serial and by authority", async () => {
    const leaf = ca.leaf(idA);
    const { port } = await startServer();
    const authorityKeyId = ca.intermediate.subjectKeyId ?? "";
    for (const [index, serialHex] of [leaf.certificate.serialHex, "*"].entries()) {
      const changed = new Promise<void>((done) => sourceB.onChange(done));
      const denied = [{ authorityKeyId, serialHex }];
      await writeSet(dirB, { leaf: ca.leaf(idB), bundle: ca.bundle(), denied, deniedSequence: 2n + BigInt(index) });
      await changed;
      expect((await knock(port, pair(leaf))).bytes).toBe(0);
    }
    expect(refusals.map(({ reason }) => reason)).toEqual(["revoked", "revoked"]);
  });

  test("guardServer() leaves TLS 1.2 outside", async () => {
    const { port } = await startServer();
    const { socket, bytes } = await knock(port, { ...pair(ca.leaf(idA)), maxVersion: "TLSv1.2" });
    expect([socket.getProtocol(), bytes, refusals]).toEqual([null, 0, []]);
  });

  test("guardServer() still asks for TLS 1.3 after the identity was swapped", async () => {
    const { port } = await startServer();
    const changed = new Promise<void>((done) => sourceB.onChange(done));
    await writeSet(dirB, { leaf: ca.leaf(idB), bundle: ca.bundle() });
    await changed;
    const { socket } = await knock(port, { ...pair(ca.leaf(idA)), maxVersion: "TLSv1.2" });
    expect(socket.getProtocol()).toBeNull();
  });

  test("guardServer() resumes no session, whatever the client kept", async () => {
    const { port } = await startServer();
    const leaf = ca.leaf(idA);
    const sessions: Buffer[] = [];
    const first = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"], ...pair(leaf) });
    first.on("session", (session) => sessions.push(session));
    await once(first, "data");
    const kept = [...sessions, first.getSession()].filter((session) => session !== undefined);
    for (const session of kept) {
      const again = connect({
        host: "127.0.0.1",
        port,
        rejectUnauthorized: false,
        ALPNProtocols: ["h2"],
        session,
        ...pair(leaf),
      });
      again.on("error", () => {});
      await once(again, "secureConnect");
      expect(again.isSessionReused()).toBe(false);
      again.destroy();
    }
    expect(kept.length).toBeGreaterThan(0);
    first.destroy();
  });

  test("guardServer() hides a refused peer from listeners that were added later", async () => {
    const seen: string[] = [];
    const server = createSecureServer(serverOptions(sourceB));
    const guard = guardServer(server, sourceB, { authorize: exactly(idA) });
    server.on("secureConnection", () => seen.push("secureConnection"));
    server.on("session", () => seen.push("session"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => guard.close({ withinMs: 100 }));
    await knock((server.address() as AddressInfo).port, {});
    expect([seen, guard.counts().refused.no_certificate]).toEqual([[], 1]);
  });

  test("serverOptions() without a guard demand a certificate of our CA", async () => {
    const server = createSecureServer(serverOptions(sourceB));
    const seen: string[] = [];
    server.on("session", () => seen.push("session"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(async () => void (await new Promise((done) => server.close(done))));
    await knock((server.address() as AddressInfo).port, {});
    await knock((server.address() as AddressInfo).port, pair(makeCa().leaf(idA)));
    expect(seen).toEqual([]);
  });

  test("peerOf() throws TypeError for what is not of this server", async () => {
    const { guard } = await startServer();
    expect(() => guard.peerOf({ socket: {} })).toThrow(TypeError);
  });
});

describe("guardServer() on open connections", () => {
  test("guardServer() cuts a connection at once when the peer comes onto the deny list", async () => {
    const { port, guard } = await startServer();
    const leaf = ca.leaf(idA);
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      ...pair(leaf),
    });
    socket.on("error", () => {});
    await once(socket, "data");
    const closed = once(socket, "close");
    const denied = [{ authorityKeyId: ca.intermediate.subjectKeyId ?? "", serialHex: leaf.certificate.serialHex }];
    await writeSet(dirB, { leaf: ca.leaf(idB), bundle: ca.bundle(), denied, deniedSequence: 2n });
    await closed;
    expect(guard.counts().refused.revoked).toBe(1);
  });

  test("guardServer() cuts a connection at once when the root leaves the bundle", async () => {
    const { port, guard } = await startServer();
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      ...pair(ca.leaf(idA)),
    });
    socket.on("error", () => {});
    await once(socket, "data");
    const closed = once(socket, "close");
    const other = makeCa();
    await writeSet(dirB, { leaf: other.leaf(idB), bundle: other.bundle(2n) });
    await closed;
    expect(guard.counts().refused.issuer_unknown).toBe(1);
  });

  test("guardServer() keeps a connection whose peer is still good when the bundle changes", async () => {
    const { port } = await startServer();
    const client = await clientOfA(port);
    await client.request({ path: "/" });
    const changed = new Promise<void>((done) => sourceB.onChange(done));
    const other = makeCa();
    const bundle = { ...ca.bundle(2n), roots: [other.root, ca.root] };
    await writeSet(dirB, { leaf: ca.leaf(idB), bundle });
    await changed;
    await client.request({ path: "/" });
    expect(client.counts().accepted).toBe(1);
  });

  test("guardServer() ends a connection at the end of the client's certificate", async () => {
    const { port } = await startServer();
    const leaf = ca.leaf(idA, { endsIn: 2 });
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      ...pair(leaf),
    });
    socket.on("error", () => {});
    await once(socket, "data");
    await once(socket, "close");
    expect(Date.now()).toBeGreaterThanOrEqual(leaf.certificate.notAfter.getTime() - 600);
    expect(Date.now()).toBeLessThan(leaf.certificate.notAfter.getTime() + 10_000);
  });

  test("guardServer() cuts a connection at the end of a certificate, also with a call in flight", async () => {
    const own = ca.leaf(idB, { endsIn: 2 });
    const source = await openSource(await directory(own));
    const server = createSecureServer(serverOptions(source), () => {});
    const guard = guardServer(server, source, { authorize: exactly(idA) });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => guard.close({ withinMs: 100 }));
    const session = connectHttp2(`https://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      rejectUnauthorized: false,
      ...pair(ca.leaf(idA)),
    });
    session.on("error", () => {});
    session.request({ ":path": "/" }).on("error", () => {});
    await new Promise((closed) => session.on("close", closed));
    expect(Date.now()).toBeGreaterThanOrEqual(own.certificate.notAfter.getTime() - 50);
  });

  test("guardServer() ends a connection at the end of its own certificate, and refuses new ones then", async () => {
    const own = ca.leaf(idB, { endsIn: 2 });
    const source = await openSource(await directory(own));
    const { port, guard } = await startServer(source);
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
      ...pair(ca.leaf(idA)),
    });
    socket.on("error", () => {});
    await once(socket, "data");
    await once(socket, "close");
    while (Date.now() < own.certificate.notAfter.getTime()) await new Promise((done) => setTimeout(done, 50));
    expect((await knock(port, pair(ca.leaf(idA)))).bytes).toBe(0);
    expect(guard.counts().refused.not_ready).toBe(1);
  });
});

function bare(leaf: Leaf): ConnectionOptions {
  return { cert: firstOf(leaf.chainPem), key: leaf.keyPem };
}

function firstOf(chainPem: string): string {
  return chainPem.slice(0, chainPem.indexOf("-----END CERTIFICATE-----") + 25);
}

/** What the owner of a leaf can make: a certificate that its own key signed. */
function signedByLeaf(): ConnectionOptions {
  const owner = ca.leaf(idA);
  const forged = makeCa().leaf(idA);
  return { cert: `${firstOf(forged.chainPem)}\n${owner.chainPem}`, key: forged.keyPem };
}
