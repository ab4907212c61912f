import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";
import { exactly, openDirectorySource, openHttp2Client, parseSpiffeId } from "../../../src/sdk/sdk.ts";
import { makeCa, makeIdentityDir, writeSet } from "./test-ca.ts";

const idA = parseSpiffeId("spiffe://demo.signet/svc/a");
const idB = parseSpiffeId("spiffe://demo.signet/svc/b");
const idC = parseSpiffeId("spiffe://demo.signet/svc/c");
const repository = join(import.meta.dirname, "../../..");

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Event {
  readonly event: string;
  readonly [field: string]: unknown;
}

interface Running {
  readonly child: ChildProcess;
  readonly events: Event[];
  readonly stderr: () => string;
  /** The next event of a kind, from those that came already too. */
  saw(kind: string, accept?: (event: Event) => boolean): Promise<Event>;
}

function start(service: "service-a" | "service-b", args: readonly string[]): Running {
  const main = join(repository, `deploy/samples/${service}/main.ts`);
  const child = spawn(process.execPath, ["--conditions=signet-source", main, "--report", ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  closers.push(() => void child.kill("SIGKILL"));
  const events: Event[] = [];
  const waiting = new Set<() => void>();
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += String(chunk);
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    events.push(JSON.parse(line) as Event);
    for (const look of [...waiting]) look();
  });
  return {
    child,
    events,
    stderr: () => errors,
    saw: (kind, accept = () => true) =>
      new Promise((resolve) => {
        const look = (): void => {
          const found = events.find((event) => event.event === kind && accept(event));
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
      }),
  };
}

async function stop({ child }: Running): Promise<number | null> {
  const exited = once(child, "exit") as Promise<[number | null]>;
  child.kill("SIGTERM");
  return (await exited)[0];
}

test("the samples call each other through rotations without a failed call, refuse strangers and end by SIGTERM", async () => {
  const ca = makeCa("demo.signet");
  const bundle = ca.bundle();
  const [a, b] = [await makeIdentityDir(), await makeIdentityDir()];
  closers.push(a.remove, b.remove);
  // The identities come after the services have started.
  const serviceA = start("service-a", ["--identity", a.dir, "--accept", idB, "--call", "-", "--expect", idB]);
  const serviceB = start("service-b", [
    "--identity",
    b.dir,
    "--accept",
    idA,
    "--admin",
    idC,
    "--call",
    "-",
    "--expect",
    idA,
  ]);
  await writeSet(a.dir, { leaf: ca.leaf(idA, { endsIn: 6 }), bundle });
  await writeSet(b.dir, { leaf: ca.leaf(idB, { endsIn: 6 }), bundle });
  const addressA = String((await serviceA.saw("listening"))["address"]);
  const addressB = String((await serviceB.saw("listening"))["address"]);
  serviceA.child.stdin?.write(`${addressB}\n`);
  serviceB.child.stdin?.write(`${addressA}\n`);
  await Promise.all([serviceA.saw("first_call"), serviceB.saw("first_call")]);

  // A rotation of both, under another intermediate.
  const next = ca.rotate();
  const [leafA, leafB] = [next.leaf(idA), next.leaf(idB)];
  await writeSet(a.dir, { leaf: leafA, bundle });
  await writeSet(b.dir, { leaf: leafB, bundle });
  const isOf = (serialHex: string) => (event: Event) => event["serialHex"] === serialHex;
  await Promise.all([
    serviceB.saw("accepted", isOf(leafA.certificate.serialHex)),
    serviceA.saw("accepted", isOf(leafB.certificate.serialHex)),
  ]);

  // Who may call what.
  const c = await makeIdentityDir({ leaf: ca.leaf(idC), bundle });
  closers.push(c.remove);
  const sources = await Promise.all([c.dir, a.dir].map((dir) => openDirectorySource(dir)));
  const [asC, asA] = sources.map((source) => openHttp2Client(source, addressB, { authorize: exactly(idB) }));
  const status = async (client: typeof asC, path: string): Promise<number | undefined> =>
    (await client?.request({ path }))?.status;
  expect(await status(asC, "/")).toBe(200);
  expect(await status(asC, "/admin")).toBe(200);
  expect(await status(asC, "/hello")).toBe(403);
  expect(await status(asA, "/hello")).toBe(200);
  expect(await status(asA, "/admin")).toBe(403);
  expect(await status(asA, "/nowhere")).toBe(404);
  await Promise.all([asC?.close(), asA?.close()]);
  for (const source of sources) source.close();

  // A stranger under the right CA, and what B says of it.
  const stranger = await openDirectorySource(c.dir);
  const knocking = openHttp2Client(stranger, addressA, { authorize: exactly(idA) });
  await expect(knocking.request({ path: "/hello" })).rejects.toMatchObject({ code: "lost" });
  expect(await serviceA.saw("refused")).toMatchObject({ role: "server", reason: "id_not_allowed", spiffeId: idC });
  await knocking.close();
  stranger.close();

  // Past the end of the first identities.
  const end = Date.now() + 6_000;
  await serviceA.saw("stats", () => Date.now() > end);
  expect(await Promise.all([stop(serviceA), stop(serviceB)])).toEqual([0, 0]);
  for (const { events, stderr } of [serviceA, serviceB]) {
    const last = events.at(-1);
    expect(last).toMatchObject({
      event: "stats",
      failed: 0,
      serials: expect.any(Number),
      authorities: 2,
      tls: ["TLSv1.3"],
    });
    expect(Number(last?.["calls"])).toBeGreaterThan(60);
    expect(Number(last?.["handshakes"])).toBeGreaterThanOrEqual(6);
    expect(events.filter(({ event }) => event === "failed")).toEqual([]);
    expect(stderr()).toBe("");
  }
}, 60_000);

test("a sample counts calls as failed while the other one is away, and reaches it when it is back", async () => {
  const ca = makeCa("demo.signet");
  const bundle = ca.bundle();
  const [a, b] = [
    await makeIdentityDir({ leaf: ca.leaf(idA), bundle }),
    await makeIdentityDir({ leaf: ca.leaf(idB), bundle }),
  ];
  closers.push(a.remove, b.remove);
  const argsB = ["--identity", b.dir, "--accept", idA, "--linger-ms", "0"];
  const first = start("service-b", argsB);
  const address = String((await first.saw("listening"))["address"]);
  const caller = start("service-a", ["--identity", a.dir, "--accept", idB, "--call", address, "--expect", idB]);
  await caller.saw("first_call");
  first.child.kill("SIGKILL");
  await caller.saw("failed");
  const again = start("service-b", [...argsB, "--listen", address]);
  await again.saw("accepted");
  const failedBefore = Number((await caller.saw("stats", ({ failed }) => Number(failed) > 0))["failed"]);
  const now = caller.events.length;
  await caller.saw("stats", (event) => caller.events.indexOf(event) > now + 4);
  expect(await stop(caller)).toBe(0);
  expect(Number(caller.events.at(-1)?.["failed"])).toBeGreaterThanOrEqual(failedBefore);
  expect(await stop(again)).toBe(0);
}, 60_000);

test("a sample says how it is used when a flag is missing or wrong", async () => {
  for (const args of [[], ["--identity", "/x", "--nonsense"], ["--identity", "/x", "--accept", "http://x"]]) {
    const running = start("service-b", args);
    expect((await once(running.child, "exit"))[0]).toBe(2);
    expect(running.stderr()).toMatch(/^service-b: .+\nusage: service-b /);
  }
});
