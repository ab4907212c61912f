import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { afterEach, expect, it } from "vitest";
import { foreignIdentity } from "../../../../src/cli/demo/foreign-ca.ts";
import { knock } from "../../../../src/cli/demo/knock.ts";
import { systemClock } from "../../../../src/platform/clock.ts";
import { certificatesFromPem } from "../../../../src/x509/certificate.ts";

const identity = foreignIdentity("spiffe://demo.signet/svc/a", { trustDomain: "demo.signet", now: new Date() });
let server: Server | undefined;
afterEach(() => server?.close());

async function doorOf(open: (socket: TLSSocket) => void): Promise<{ readonly host: string; readonly port: number }> {
  server = createServer(
    {
      cert: identity.chainPem,
      key: identity.keyPem,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ["h2"],
    },
    open,
  );
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

it("knock() counts the octets that came back", async () => {
  const door = await doorOf((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (asked: Uint8Array) => socket.end(Buffer.from(asked).includes("/hello") ? "welcome" : ""));
  });
  expect(await knock(door, undefined, systemClock)).toMatchObject({ bytes: 7 });
});

it("knock() at a door that closes got nothing, whether it shows a certificate or not", async () => {
  const shown: (string | undefined)[] = [];
  const door = await doorOf((socket) => {
    socket.on("error", () => undefined);
    shown.push(socket.getPeerX509Certificate()?.subjectAltName);
    socket.destroy();
  });
  expect(await knock(door, undefined, systemClock)).toMatchObject({ bytes: 0 });
  expect(await knock(door, identity, systemClock)).toMatchObject({ bytes: 0 });
  expect(shown).toEqual([undefined, "URI:spiffe://demo.signet/svc/a"]);
});

it("knock() where nobody listens got nothing and says why", async () => {
  const door = await doorOf(() => undefined);
  server?.close();
  expect(await knock(door, undefined, systemClock)).toMatchObject({
    bytes: 0,
    ended: expect.stringContaining("ECONNREFUSED"),
  });
});

it("foreignIdentity() has the asked SPIFFE ID and a CA of its own each time", () => {
  const other = foreignIdentity("spiffe://demo.signet/svc/a", { trustDomain: "demo.signet", now: new Date() });
  const [one, two] = [identity, other].map(({ chainPem }) => certificatesFromPem(chainPem)[0]);
  expect(one?.names.map(({ value }) => value)).toEqual(["spiffe://demo.signet/svc/a"]);
  expect(one?.authorityKeyId).not.toBe(two?.authorityKeyId);
});
