import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { createServer, get, type RequestOptions, request } from "node:https";
import type { AddressInfo } from "node:net";
import { connect, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  clientOptions,
  connectTls,
  type DirectorySource,
  exactly,
  guardServer,
  type HttpsAgentOptions,
  httpsAgent,
  openDirectorySource,
  parseSpiffeId,
  SdkError,
  type ServerGuard,
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
beforeEach(() => {
  ca = makeCa();
});

async function openSource(leaf: Leaf): Promise<DirectorySource & { put(next: Leaf): Promise<void> }> {
  const { dir, remove } = await makeIdentityDir({ leaf, bundle: ca.bundle() });
  closers.push(remove);
  const source = await openDirectorySource(dir);
  closers.push(() => source.close());
  const put = async (next: Leaf): Promise<void> => {
    const changed = new Promise<void>((done) => source.onChange(done));
    await writeSet(dir, { leaf: next, bundle: ca.bundle() });
    await changed;
  };
  return Object.assign(source, { put });
}

async function serve(source: DirectorySource): Promise<{ port: number; guard: ServerGuard; sockets: TLSSocket[] }> {
  const sockets: TLSSocket[] = [];
  const server = createServer(serverOptions(source), (request, response) => {
    response.end(guard.peerOf(request).serialHex);
  });
  server.on("secureConnection", (socket) => sockets.push(socket));
  const guard = guardServer(server, source, { authorize: exactly(idA) });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => guard.close({ withinMs: 100 }));
  return { port: (server.address() as AddressInfo).port, guard, sockets };
}

function agentOf(source: DirectorySource, options: Partial<HttpsAgentOptions> = {}): ReturnType<typeof httpsAgent> {
  const made = httpsAgent(source, { authorize: exactly(idB), ...options });
  closers.push(() => made.close({ withinMs: 100 }));
  return made;
}

async function ask(
  options: RequestOptions,
): Promise<{ status: number | undefined; body: string; response: IncomingMessage }> {
  const [response] = (await once(get({ host: "127.0.0.1", path: "/", ...options }), "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode, body, response };
}

describe("httpsAgent()", () => {
  test("httpsAgent() keeps a connection and says who answered", async () => {
    const [a, b] = [await openSource(ca.leaf(idA)), await openSource(ca.leaf(idB))];
    const { port, sockets } = await serve(b);
    const made = agentOf(a);
    const socket = new Promise<TLSSocket>((done) => {
      get({ agent: made.agent, host: "127.0.0.1", port }, (response) => {
        response.resume();
        done(response.socket as TLSSocket);
      });
    });
    expect(made.peerOf({ socket: await socket }).spiffeId).toBe(idB);
    for (let call = 0; call < 5; call++) {
      expect(await ask({ agent: made.agent, port })).toMatchObject({ status: 200, body: a.identity().leaf.serialHex });
    }
    expect(sockets.length).toBeLessThanOrEqual(2);
  });

  test("httpsAgent() shows the newest identity on a new connection, with no resumption", async () => {
    const [a, b] = [await openSource(ca.leaf(idA)), await openSource(ca.leaf(idB))];
    const { port, guard } = await serve(b);
    const made = agentOf(a);
    expect((await ask({ agent: made.agent, port })).body).toBe(a.identity().leaf.serialHex);
    await a.put(ca.rotate().leaf(idA));
    // Closes its idle connection; the agent itself goes on.
    made.agent.destroy();
    expect((await ask({ agent: made.agent, port })).body).toBe(a.identity().leaf.serialHex);
    expect(guard.counts().accepted).toBe(2);
  });

  test("httpsAgent() never fails a call while both identities end again and again", async () => {
    const short = { endsIn: 3 };
    const [a, b] = [await openSource(ca.leaf(idA, short)), await openSource(ca.leaf(idB, short))];
    const { port, guard } = await serve(b);
    const made = agentOf(a);
    const failures: unknown[] = [];
    let stopped = false;
    const traffic = Array.from({ length: 3 }, async () => {
      while (!stopped) {
        const { status, body } = await ask({ agent: made.agent, port }).catch((error: unknown) => ({
          status: String(error),
          body: "",
        }));
        if (status !== 200 || body === "") failures.push(status);
      }
    });
    for (let round = 0; round < 6; round++) {
      await a.put(ca.leaf(idA, short));
      await b.put(ca.leaf(idB, short));
      await new Promise((done) => setTimeout(done, 800));
    }
    stopped = true;
    await Promise.all(traffic);
    expect(failures).toEqual([]);
    expect(guard.counts().accepted).toBeGreaterThan(3);
  }, 30_000);

  test("httpsAgent() closes an idle connection before one of the identities ends", async () => {
    const [a, b] = [await openSource(ca.leaf(idA, { endsIn: 2 })), await openSource(ca.leaf(idB))];
    const { port, sockets } = await serve(b);
    await ask({ agent: agentOf(a).agent, port });
    const [socket] = sockets;
    if (socket !== undefined && !socket.destroyed) await new Promise((closed) => socket.on("close", closed));
    expect(Date.now()).toBeLessThan(a.identity().notAfter.getTime() - 100);
  });

  test("httpsAgent() refuses a server with another ID and sends it nothing", async () => {
    const [a, c] = [await openSource(ca.leaf(idA)), ca.leaf("spiffe://prod.example/svc/c")];
    let bytes = 0;
    const server = createTlsServer({ cert: c.chainPem, key: c.keyPem }, (socket) => {
      socket
        .on("error", () => {})
        .on("data", (chunk) => {
          bytes += chunk.length;
        });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const failure = await ask({ agent: agentOf(a).agent, port }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "peer_refused", reason: "id_not_allowed" });
    expect(bytes).toBe(0);
  });

  test("a https server with a guard answers a refused peer with no byte", async () => {
    const b = await openSource(ca.leaf(idB));
    const { port, guard } = await serve(b);
    const stranger = ca.leaf("spiffe://prod.example/svc/c");
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      cert: stranger.chainPem,
      key: stranger.keyPem,
    });
    let bytes = 0;
    socket
      .on("error", () => {})
      .on("data", (chunk) => {
        bytes += chunk.length;
      });
    socket.write("GET / HTTP/1.1\r\nhost: b\r\n\r\n");
    await new Promise((closed) => socket.on("close", closed));
    expect([bytes, guard.counts().refused.id_not_allowed]).toEqual([0, 1]);
  });
});

describe("clientOptions()", () => {
  test("clientOptions() serve tls, https and http2 with the right server", async () => {
    const [a, b] = [await openSource(ca.leaf(idA)), await openSource(ca.leaf(idB))];
    const { port } = await serve(b);
    const options = clientOptions(a, exactly(idB));
    expect((await ask({ ...options, agent: false, port })).status).toBe(200);
    const socket = connect({ ...options, host: "127.0.0.1", port });
    await once(socket, "secureConnect");
    expect([socket.authorized, socket.getProtocol()]).toEqual([true, "TLSv1.3"]);
    socket.destroy();
  });

  const wrong: readonly (readonly [string, () => Leaf])[] = [
    ["another ID", () => ca.leaf("spiffe://prod.example/svc/c")],
    ["a foreign CA", () => makeCa().leaf(idB)],
    ["a certificate for clients only", () => ca.leaf(idB, { usage: "client" })],
    ["a certificate that has ended", () => ca.leaf(idB, { beginsIn: -600, endsIn: -5 })],
  ];
  for (const [what, leaf] of wrong) {
    test(`clientOptions() refuse a server with ${what}, over tls, https and http2`, async () => {
      const a = await openSource(ca.leaf(idA));
      const { chainPem, keyPem } = leaf();
      let bytes = 0;
      const server = createTlsServer({ cert: chainPem, key: keyPem, ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
        socket
          .on("error", () => {})
          .on("data", (chunk) => {
            bytes += chunk.length;
          });
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      closers.push(() => void server.close());
      const { port } = server.address() as AddressInfo;
      const options = clientOptions(a, exactly(idB));
      const fails = [
        connect({ ...options, host: "127.0.0.1", port }),
        request({ ...options, agent: false, host: "127.0.0.1", port }).end(),
        connectHttp2(`https://127.0.0.1:${port}`, options),
      ];
      for (const failing of fails) {
        const error = await new Promise<unknown>((done) => failing.on("error", done));
        expect(error).toBeInstanceOf(Error);
      }
      expect(bytes).toBe(0);
    });
  }
});

describe("connectTls()", () => {
  test("connectTls() hands out a judged connection and cuts it at the end of an identity", async () => {
    const a = await openSource(ca.leaf(idA));
    const own = ca.leaf(idB, { endsIn: 2 });
    const b = await openSource(own);
    const server = createTlsServer(serverOptions(b), (socket) => socket.pipe(socket));
    const guard = guardServer(server, b, { authorize: exactly(idA), leaveMs: 0 });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(() => guard.close({ withinMs: 100 }));
    const target = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
    const { socket, peer, endsAt } = await connectTls(a, target, { authorize: exactly(idB) });
    expect([peer.spiffeId, endsAt]).toEqual([idB, own.certificate.notAfter]);
    socket.write("hello");
    expect(String((await once(socket, "data"))[0])).toBe("hello");
    await new Promise((closed) => socket.on("close", closed));
    expect(Date.now()).toBeGreaterThanOrEqual(endsAt.getTime() - 50);
  });

  test("connectTls() throws when the server is another one", async () => {
    const [a, b] = [await openSource(ca.leaf(idA)), await openSource(ca.leaf(idB))];
    const { port } = await serve(b);
    const failure = await connectTls(a, { host: "127.0.0.1", port }, { authorize: exactly(idA) }).catch(
      (error) => error,
    );
    expect(failure).toBeInstanceOf(SdkError);
    expect(failure).toMatchObject({ code: "peer_refused", reason: "id_not_allowed" });
  });
});
