import { once } from "node:events";
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type DirectorySource,
  exactly,
  guardServer,
  type Http2ClientOptions,
  openDirectorySource,
  openHttp2Client,
  parseSpiffeId,
  type ServerGuard,
  serverOptions,
} from "../../../src/sdk/sdk.ts";
import { type Leaf, makeCa, makeIdentityDir, type SetContent, type TestCa, writeSet } from "./test-ca.ts";

const idA = parseSpiffeId("spiffe://prod.example/svc/a");
const idB = parseSpiffeId("spiffe://prod.example/svc/b");

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

let ca: TestCa;
beforeEach(() => {
  ca = makeCa();
});

interface Party {
  readonly dir: string;
  readonly source: DirectorySource;
  put(content: Partial<SetContent> & { readonly leaf: Leaf }): Promise<void>;
}

async function party(leaf: Leaf): Promise<Party> {
  const { dir, remove } = await makeIdentityDir({ leaf, bundle: ca.bundle() });
  closers.push(remove);
  const source = await openDirectorySource(dir);
  closers.push(() => source.close());
  return {
    dir,
    source,
    put: async (content) => {
      const changed = new Promise<void>((done) => {
        const end = source.onChange(() => {
          end();
          done();
        });
      });
      await writeSet(dir, { bundle: ca.bundle(), ...content });
      await changed;
    },
  };
}

interface Running {
  readonly server: Http2SecureServer;
  readonly guard: ServerGuard;
  readonly port: number;
  readonly sessions: ServerHttp2Session[];
  /** Requests that reached a handler. */
  readonly handled: string[];
}

async function serve(source: DirectorySource, delayMs = 0, leaveMs = 500): Promise<Running> {
  const handled: string[] = [];
  const sessions: ServerHttp2Session[] = [];
  const server = createSecureServer(serverOptions(source), (request, response) => {
    handled.push(request.url);
    const answer = (): void => void response.end(guard.peerOf(request).serialHex);
    if (delayMs === 0) answer();
    else setTimeout(answer, delayMs);
  });
  server.on("session", (session) => sessions.push(session));
  const guard = guardServer(server, source, { authorize: exactly(idA), leaveMs });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => guard.close({ withinMs: 100 }));
  return { server, guard, port: (server.address() as AddressInfo).port, sessions, handled };
}

function client(
  source: DirectorySource,
  port: number,
  options: Partial<Http2ClientOptions> = {},
): ReturnType<typeof openHttp2Client> {
  const made = openHttp2Client(source, `127.0.0.1:${port}`, { authorize: exactly(idB), ...options });
  closers.push(() => made.close({ withinMs: 100 }));
  return made;
}

describe("openHttp2Client() judges the server", () => {
  const servers: readonly (readonly [string, string, () => Leaf])[] = [
    ["of a foreign CA", "issuer_unknown", () => makeCa().leaf(idB)],
    ["with another ID", "id_not_allowed", () => ca.leaf("spiffe://prod.example/svc/c")],
    ["whose certificate has ended", "expired", () => ca.leaf(idB, { beginsIn: -60, endsIn: -1 })],
    ["with a certificate for clients only", "bad_chain", () => ca.leaf(idB, { usage: "client" })],
  ];
  for (const [who, reason, leaf] of servers) {
    test(`openHttp2Client() refuses a server ${who} as ${reason} and sends it nothing`, async () => {
      const { chainPem, keyPem } = leaf();
      let bytes = 0;
      const server = createServer({ cert: chainPem, key: keyPem, ALPNProtocols: ["h2"] }, (socket) => {
        socket.on("data", (chunk) => {
          bytes += chunk.length;
        });
        socket.on("error", () => {});
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      closers.push(() => void server.close());
      const a = await party(ca.leaf(idA));
      const caller = client(a.source, (server.address() as AddressInfo).port);
      await expect(caller.request({ path: "/" })).rejects.toMatchObject({ code: "peer_refused", reason });
      expect([bytes, caller.counts().refused[reason as "expired"]]).toEqual([0, 1]);
    });
  }

  test("request() is lost, and was never sent, when the server refuses us", async () => {
    const b = await party(ca.leaf(idB));
    const { port, handled } = await serve(b.source);
    const c = await party(ca.leaf("spiffe://prod.example/svc/c"));
    await expect(client(c.source, port).request({ path: "/" })).rejects.toMatchObject({ code: "lost" });
    expect(handled).toEqual([]);
  });

  test("request() is not_ready when our own identity has ended, and nothing is connected", async () => {
    const a = await party(ca.leaf(idA, { endsIn: 1 }));
    const end = a.source.identity().notAfter.getTime();
    while (Date.now() < end) await new Promise((done) => setTimeout(done, 20));
    await expect(client(a.source, 1).request({ path: "/" })).rejects.toMatchObject({ code: "not_ready" });
  });

  test("request() is unreachable when nobody listens", async () => {
    const a = await party(ca.leaf(idA));
    await expect(client(a.source, 1).request({ path: "/" })).rejects.toMatchObject({ code: "unreachable" });
  });
});

describe("openHttp2Client() keeps connections", () => {
  test("request() uses one connection for many calls, and a new one after it was left", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port, sessions } = await serve(b.source);
    const caller = client(a.source, port);
    await Promise.all(Array.from({ length: 20 }, () => caller.request({ path: "/" })));
    expect([sessions.length, caller.counts().accepted]).toEqual([1, 1]);
    sessions[0]?.close();
    await once(sessions[0] as ServerHttp2Session, "close");
    await caller.request({ path: "/" });
    expect([sessions.length, caller.counts().accepted]).toEqual([2, 2]);
  });

  test("request() leaves a connection about a second before the server would close it", async () => {
    const own = ca.leaf(idB, { endsIn: 2 });
    const [a, b] = [await party(ca.leaf(idA)), await party(own)];
    const { port, sessions } = await serve(b.source, 0, 0);
    await client(a.source, port).request({ path: "/" });
    await new Promise((closed) => sessions[0]?.on("close", closed));
    expect(own.certificate.notAfter.getTime() - Date.now()).toBeGreaterThan(100);
  });

  test("request() shows the newest identity on a new connection", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port } = await serve(b.source);
    const next = ca.rotate().leaf(idA);
    await client(a.source, port).request({ path: "/" });
    await a.put({ leaf: next });
    const { body } = await client(a.source, port).request({ path: "/" });
    expect(Buffer.from(body).toString()).toBe(next.certificate.serialHex);
  });

  test("request() never fails while both identities rotate, with a handshake at each and one long connection", async () => {
    let issuer = ca;
    const short = { endsIn: 3 };
    const [a, b] = [await party(issuer.leaf(idA, short)), await party(issuer.leaf(idB, short))];
    const { port, guard } = await serve(b.source, 5);
    const caller = client(a.source, port);
    const failures: unknown[] = [];
    let calls = 0;
    let stopped = false;
    const serials = new Set<string>();
    const call = async (made: ReturnType<typeof openHttp2Client>): Promise<void> => {
      calls++;
      try {
        const { status, peer, body } = await made.request({ path: "/" });
        if (status !== 200 || peer.spiffeId !== idB) failures.push(status);
        serials.add(peer.serialHex).add(Buffer.from(body).toString());
      } catch (error) {
        failures.push(error);
      }
    };
    const traffic = Array.from({ length: 4 }, async () => {
      while (!stopped) await call(caller);
    });
    for (let round = 0; round < 8; round++) {
      if (round === 4) issuer = issuer.rotate();
      await a.put({ leaf: issuer.leaf(idA, short) });
      await call(client(a.source, port));
      await b.put({ leaf: issuer.leaf(idB, short) });
      await call(client(a.source, port));
      await new Promise((done) => setTimeout(done, 700));
    }
    stopped = true;
    await Promise.all(traffic);
    expect(failures).toEqual([]);
    expect(calls).toBeGreaterThan(100);
    expect(serials.size).toBeGreaterThanOrEqual(16);
    // The long connection was left before its identities ended, at least once.
    expect(caller.counts().accepted).toBeGreaterThan(1);
    expect(Object.values(guard.counts().refused).reduce((sum, count) => sum + count, 0)).toBe(0);
  }, 30_000);
});

describe("openHttp2Client() sends again what was never processed", () => {
  test("request() loses no call when the server closes sessions under a client that calls in a loop", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port, sessions, handled } = await serve(b.source);
    const caller = client(a.source, port);
    const total = 400;
    let answered = 0;
    const loop = Array.from({ length: 8 }, async (_, worker) => {
      for (let call = 0; call < total / 8; call++) {
        const { status } = await caller.request({ path: `/${worker}/${call}` });
        if (status === 200) answered++;
        if (call % 5 === 0) sessions.at(-1)?.close();
      }
    });
    await Promise.all(loop);
    expect(answered).toBe(total);
    // Nothing was processed twice.
    expect([handled.length, new Set(handled).size]).toEqual([total, total]);
    expect(caller.counts().retried).toBeGreaterThan(0);
  });

  test("request() sends once more, on a new connection, what the server refused unprocessed", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port, sessions, server } = await serve(b.source);
    const caller = client(a.source, port);
    await caller.request({ path: "/first" });
    // From now on the first session refuses all new streams (RFC 9113 8.7).
    let refused = 0;
    server.prependListener("stream", (stream) => {
      if (stream.session === sessions[0]) {
        refused++;
        stream.close(7);
      }
    });
    const answer = await caller.request({ path: "/second" });
    expect([answer.retried, caller.counts().retried, refused, sessions.length]).toEqual([true, 1, 1, 2]);
  });

  test("request() does not send again what may have been processed", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port, sessions, handled } = await serve(b.source, 10_000);
    const caller = client(a.source, port);
    const lost = expect(caller.request({ path: "/once" })).rejects.toMatchObject({ code: "lost" });
    while (handled.length === 0) await new Promise((done) => setImmediate(done));
    sessions[0]?.destroy();
    await lost;
    expect([handled, caller.counts().retried]).toEqual([["/once"], 0]);
  });
});

describe("openHttp2Client() ends in time", () => {
  test("request() ends at its deadline and at the caller's abort", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port } = await serve(b.source, 20_000);
    const caller = client(a.source, port);
    await expect(caller.request({ path: "/", deadlineMs: 200 })).rejects.toMatchObject({ code: "deadline" });
    const abort = new AbortController();
    const aborted = expect(caller.request({ path: "/", signal: abort.signal })).rejects.toMatchObject({
      code: "aborted",
    });
    setImmediate(() => abort.abort());
    await aborted;
  });

  test("close() lets calls in flight finish and takes no new ones", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port, handled, guard } = await serve(b.source, 200);
    const caller = client(a.source, port);
    const call = caller.request({ path: "/" });
    while (handled.length === 0) await new Promise((done) => setImmediate(done));
    const closing = caller.close();
    const closingServer = guard.close();
    await expect(caller.request({ path: "/" })).rejects.toMatchObject({ code: "closed" });
    expect((await call).status).toBe(200);
    await Promise.all([closing, closingServer]);
  });

  test("request() refuses an answer over the limit", async () => {
    const [a, b] = [await party(ca.leaf(idA)), await party(ca.leaf(idB))];
    const { port } = await serve(b.source);
    const caller = client(a.source, port, { maxBodyBytes: 8 });
    await expect(caller.request({ path: "/" })).rejects.toMatchObject({ code: "too_large" });
  });
});

test("openHttp2Client() throws TypeError for a target that is not host:port", async () => {
  const a = await party(ca.leaf(idA));
  for (const target of ["", "host", "host:", "host:0", "host:65536", "::1:80", "a b:1", "http://x:1"]) {
    expect(() => openHttp2Client(a.source, target, { authorize: exactly(idB) })).toThrow(TypeError);
  }
});
