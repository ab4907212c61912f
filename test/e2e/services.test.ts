// Two services of deploy/samples, each with an agent of its own, through rotations and a new intermediate.
import { readFile } from "node:fs/promises";
import { connect } from "node:http2";
import { join } from "node:path";
import { expect } from "vitest";
import { it, type Place } from "./place.ts";
import type { Started } from "./started.ts";
import { watchIdentity } from "./watch-identity.ts";

const samples = join(import.meta.dirname, "../../deploy/samples");
const trustDomain = "calls.test";
const idOf = (name: string): string => `spiffe://${trustDomain}/svc/${name}`;
const dirOf = (name: string): string => `agent-${name}/identities/svc/${name}`;

async function agentFor(place: Place, name: string): Promise<void> {
  await place.out(
    "entry",
    "create",
    "--id",
    `/svc/${name}`,
    "--agent",
    name,
    "--ttl",
    "5s",
    "--dns",
    `${name}.calls.test`,
  );
  const agent = await place.agent({
    dataDir: `agent-${name}`,
    join: await place.out("token", "create", "--agent", name, "-q"),
  });
  await agent.shown(/"event":"identity on disk"/);
}

function service(place: Place, name: string, ...args: readonly string[]): Started {
  const main = join(samples, `service-${name}/main.ts`);
  return place.program(process.execPath, [
    "--conditions=signet-source",
    main,
    "--report",
    "--identity",
    dirOf(name),
    ...args,
  ]);
}

interface Event {
  readonly event: string;
  readonly address?: string;
  readonly reason?: string;
  readonly spiffeId?: string;
  readonly serialHex?: string;
  readonly authorityKeyId?: string;
  readonly calls?: number;
  readonly failed?: number;
}

function events(process: Started): readonly Event[] {
  return process.lines.map((line) => JSON.parse(line) as Event);
}

/** GET with the identity of a directory, by a client that knows nothing of the SDK. */
async function get(place: Place, address: string, path: string, as: string): Promise<number | string> {
  const read = (name: string): Promise<string> => readFile(place.path(dirOf(as), name), "utf8");
  const [pem, ca] = await Promise.all([read("tls.pem"), read("ca.crt")]);
  const session = connect(`https://${address}`, { cert: pem, key: pem, ca, checkServerIdentity: () => undefined });
  try {
    return await new Promise<number | string>((resolve) => {
      session.once("error", (error) => resolve(error.message));
      session.once("close", () => resolve("closed"));
      const request = session.request({ ":path": path });
      request.once("response", (headers) => resolve(headers[":status"] ?? 0));
      request.once("error", (error) => resolve(error.message));
      request.end();
    });
  } finally {
    session.destroy();
  }
}

it("services A and B call each other through rotations and a new intermediate: 0 failed, and /admin is for one identity alone", async ({
  place,
}) => {
  await place.out("init", "--trust-domain", trustDomain);
  await place.server();
  await Promise.all(["a", "b", "boss", "other"].map((name) => agentFor(place, name)));
  const b = service(place, "b", "--accept", idOf("a"), "--admin", idOf("boss"), "--call", "-", "--expect", idOf("a"));
  const { address = "" } = JSON.parse(await b.shown(/"listening"/)) as Event;
  const a = service(place, "a", "--accept", idOf("b"), "--call", address, "--expect", idOf("b"));
  await a.shown(/"first_call"/);

  expect(await get(place, address, "/hello", "a")).toBe(200);
  expect(await get(place, address, "/admin", "a")).toBe(403);
  expect(await get(place, address, "/admin", "boss")).toBe(200);
  expect(await get(place, address, "/hello", "boss")).toBe(403);
  expect(await get(place, address, "/hello", "other")).not.toBeTypeOf("number");
  await b.shown(new RegExp(`"refused".*"id_not_allowed".*"${idOf("other")}"`));

  const watches = [watchIdentity(place.path(dirOf("a"))), watchIdentity(place.path(dirOf("b")))];
  await Promise.all(watches.map((watch) => watch.after(1)));
  await place.out("authority", "rotate");
  for (const watch of watches) {
    while (watch.seen.at(-1)?.authority !== "int-2") await watch.after(watch.seen.length);
    await watch.after(watch.seen.length);
    await watch.stop();
    expect(watch.torn).toEqual([]);
  }
  // The newest certificate is shown on the next new connection, of which there is one in less than a second.
  const newest = watches[0]?.seen.at(-1)?.serialHex ?? "";
  await b.shown(new RegExp(`"accepted".*${newest}`));
  for (const service of [a, b]) service.kill("SIGTERM");
  expect(await Promise.all([a.ended, b.ended])).toMatchObject([{ code: 0 }, { code: 0 }]);
  const [last] = events(a)
    .filter(({ event }) => event === "stats")
    .slice(-1);
  expect(events(a).filter(({ event }) => event === "failed")).toEqual([]);
  expect(last?.failed).toBe(0);
  expect(last?.calls).toBeGreaterThan(50);
  const accepted = events(b).filter(({ event, spiffeId }) => event === "accepted" && spiffeId === idOf("a"));
  expect(new Set(accepted.map(({ serialHex }) => serialHex)).size).toBeGreaterThanOrEqual(4);
  expect(new Set(accepted.map(({ authorityKeyId }) => authorityKeyId)).size).toBe(2);
});
