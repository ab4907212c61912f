import { connect, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createConnections } from "../../../src/server/listeners/connections.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

/** A listener over createConnections(), and a client of it. */
async function connected(): Promise<{ readonly client: Socket; readonly known: () => void }> {
  const connections = createConnections({ connections: 10, anonymousConnections: 10, anonymousLifeMs: 60_000 });
  let address = "";
  const server = createServer((socket) => {
    address = `${socket.remoteAddress}:${socket.remotePort}`;
    if (connections.accept(socket)) socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  const client = connect(bound.port, "127.0.0.1");
  client.on("error", () => undefined);
  open.push(
    { close: () => server.close() },
    { close: () => client.destroy() },
    { close: () => connections.closeAll() },
  );
  await new Promise<void>((resolve) => server.once("connection", () => resolve()));
  const session = connections.session({ getPeer: () => address, getAuthContext: () => ({}) });
  return { client, known: () => connections.known(session) };
}

const ended = (client: Socket): Promise<void> => new Promise((resolve) => client.once("close", () => resolve()));

test("createConnections() ends a stranger that sends more than a joining node needs", async () => {
  const { client } = await connected();
  const gone = ended(client);
  client.write(Buffer.alloc(200 * 1024));
  await gone;
});

test("createConnections() takes from a known agent what it sends", async () => {
  const { client, known } = await connected();
  known();
  const done = new Promise<void>((resolve) => client.write(Buffer.alloc(1024 * 1024), () => resolve()));
  await done;
  const stranger = await connected();
  // The other one is weighed and ended; the known one is still there then.
  const gone = ended(stranger.client);
  stranger.client.write(Buffer.alloc(200 * 1024));
  await gone;
  expect(client.destroyed).toBe(false);
});
