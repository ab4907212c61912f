// What judgeSocket() asks of TLS itself, beside our own judgement of the chain: here the server's own settings are bad on
// purpose, so that nothing else stands between.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { judgeSocket, type PeerVerdict } from "../../../src/sdk/peer.ts";
import { type DirectorySource, memberOf, openDirectorySource, parseSpiffeId } from "../../../src/sdk/sdk.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { type Leaf, makeCa, makeIdentityDir, type TestCa } from "./test-ca.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const idA = parseSpiffeId("spiffe://prod.example/svc/a");
const idB = parseSpiffeId("spiffe://prod.example/svc/b");

async function sourceOf(ca: TestCa, leaf: Leaf): Promise<DirectorySource> {
  const { dir, remove } = await makeIdentityDir({ leaf, bundle: ca.bundle() });
  const source = await openDirectorySource(dir);
  closers.push(remove, () => source.close());
  return source;
}

const pemOf = (ca: TestCa): string => encodePem("CERTIFICATE", ca.root.raw);

/** A TLS server that lets everybody through and judges the clients with judgeSocket(); gives the verdicts in order. */
async function judging(
  source: DirectorySource,
  options: TlsOptions,
): Promise<{ readonly port: number; next(): Promise<PeerVerdict> }> {
  const verdicts: PeerVerdict[] = [];
  const server = createServer({ requestCert: true, rejectUnauthorized: false, ...options }, (socket) => {
    socket.on("error", () => undefined);
    const at = new Date();
    verdicts.push(
      judgeSocket(socket, { source, authorize: memberOf(source.identity().trustDomain), peerIs: "client", at }),
    );
    server.emit("judged");
    socket.end("judged");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closers.push(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    next: async () => {
      if (verdicts.length === 0) await once(server, "judged");
      const verdict = verdicts.shift();
      if (verdict === undefined) throw new Error("nothing was judged");
      return verdict;
    },
  };
}

function knock(port: number, leaf: Leaf, options: ConnectionOptions = {}): TLSSocket {
  const socket = connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    cert: leaf.chainPem,
    key: leaf.keyPem,
    ...options,
  });
  socket.on("error", () => undefined);
  closers.push(() => void socket.destroy());
  return socket;
}

test.each(["TLSv1.3", "TLSv1.2"] as const)(
  "judgeSocket() refuses a resumed %s session of a peer that it let in, whatever OpenSSL says",
  async (version) => {
    const ca = makeCa();
    const leafB = ca.leaf(idB);
    const source = await sourceOf(ca, leafB);
    // The server of somebody who forgot SSL_OP_NO_TICKET.
    const tls = { cert: leafB.chainPem, key: leafB.keyPem, ca: pemOf(ca), minVersion: version, maxVersion: version };
    const server = await judging(source, tls);
    const leafA = ca.leaf(idA);
    const first = knock(server.port, leafA);
    let session: Buffer | undefined;
    first.on("session", (given: Buffer) => {
      session ??= given;
    });
    await once(first, "data");
    expect(await server.next()).toMatchObject({ ok: true, spiffeId: idA, tlsVersion: version });
    expect(session).toBeDefined();
    if (session === undefined) return;
    const again = knock(server.port, leafA, { session });
    await once(again, "data");
    expect(again.isSessionReused()).toBe(true); // Else nothing was tried.
    const verdict = await server.next();
    expect(verdict).toMatchObject({ ok: false, reason: "bad_chain" });
    expect(verdict.ok ? "" : verdict.detail).toContain("resumed");
  },
);

test("judgeSocket() refuses a peer whose chain holds by our own judgement when OpenSSL does not accept it", async () => {
  const ca = makeCa();
  const leafB = ca.leaf(idB);
  const source = await sourceOf(ca, leafB);
  // OpenSSL is told of another root than the source: it has nothing to verify the peer by.
  const server = await judging(source, { cert: leafB.chainPem, key: leafB.keyPem, ca: pemOf(makeCa()) });
  await once(knock(server.port, ca.leaf(idA)), "data");
  const verdict = await server.next();
  expect(verdict).toMatchObject({ ok: false, reason: "bad_chain" });
  expect(verdict.ok ? "" : verdict.detail).toContain("OpenSSL");
});
