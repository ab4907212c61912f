// The crash table: every call of a port, each of four faults, then a restart over what survived.
import { createHash, sign } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import { destroyRetiredKeys, prepareIntermediate, rotateWhatIsDue } from "../../src/authority/rotation.ts";
import { memoryKeys } from "../../src/keys/memory.ts";
import { deleteEntry, getEntry, updateEntry } from "../../src/registry/entries.ts";
import { recoverTranscript } from "../../src/spiffe/recover-proof.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import { buildServer, type TestServer, testActor } from "../fakes/build-server.ts";
import { type FakeClock, fakeClock } from "../fakes/fake-clock.ts";
import { type TestKey, testKey } from "../unit/x509/signers.ts";
import { clientOf } from "./client.ts";
import { checkInvariants, type HandedOut, type Held } from "./invariants.ts";
import { faultKinds, liveOnce } from "./ports.ts";

/** Everything that outlives a process, and what its clients were given. */
interface World extends Held {
  readonly clock: FakeClock;
  readonly handedOut: { leafDer: Uint8Array; serialHex: string }[];
  readonly agentKey: TestKey;
  secret: Uint8Array;
  agentLeaf: Uint8Array;
  agentSerial: string;
}

type Work = (server: TestServer, world: World) => Promise<void>;

/** A server with an agent that joined, an entry, and an open join string for another. */
async function newWorld(): Promise<World> {
  const clock = fakeClock();
  const store = createMemoryStore({ clock });
  const keys = memoryKeys();
  const server = await buildServer({ clock, store, keys });
  const { key, recorded } = await server.join("one");
  await server.entry();
  return {
    clock,
    store,
    keys,
    handedOut: [given(recorded.chainDer, recorded.record.serialHex)],
    agentKey: key,
    secret: await server.token("two"),
    agentLeaf: recorded.record.der,
    agentSerial: recorded.record.serialHex,
  };
}

function given(chainDer: readonly Uint8Array[], serialHex: string): HandedOut[number] {
  return { leafDer: chainDer[0] ?? new Uint8Array(), serialHex };
}

const joiningKey = testKey("ec-p256");
const comingBackKey = testKey("ec-p256");

const join: Work = async (server, world) => {
  const csrDer = Buffer.from(await buildCsr(joiningKey));
  const value = { spiffeId: server.agent("two"), secret: Buffer.from(world.secret), csrDer };
  const result = await clientOf(server).attest(async () => ({ step: { $case: "join", value } }));
  keep(world, result.certificate);
};

const recover: Work = async (server, world) => {
  const clientNonce = Buffer.alloc(32, 7);
  const id = server.agent("one");
  // After a lost answer the agent knows its old certificate only, and asks again with the same new key.
  const result = await clientOf(server).attest(async (serverNonce) => {
    const start = { spiffeId: id, serialHex: world.agentSerial, clientNonce };
    if (serverNonce === undefined) return { step: { $case: "recoverStart", value: start } };
    const csrDer = Buffer.from(await buildCsr(comingBackKey));
    const csrSha256 = new Uint8Array(createHash("sha256").update(csrDer).digest());
    const { trustDomain } = server;
    const transcript = recoverTranscript({
      trustDomain,
      id,
      serialHex: world.agentSerial,
      clientNonce,
      serverNonce,
      csrSha256,
    });
    const signature = sign("sha256", transcript, world.agentKey.privateKey);
    return { step: { $case: "recoverProof", value: { csrDer, signature } } };
  });
  keep(world, result.certificate);
};

const renew: Work = async (server, world) => {
  keep(world, await clientOf(server).renew(world.agentLeaf, await buildCsr(testKey("ec-p256"))));
};

const issueOne: Work = async (server, world) => {
  const item = { spiffeId: server.id("/svc/a"), csrDer: await buildCsr(testKey("ec-p256")) };
  keep(world, await clientOf(server).issue(world.agentLeaf, item));
};

const issueBatch: Work = async (server, world) => {
  const items = await Promise.all(
    [1, 2, 3].map(async () => ({ spiffeId: server.id("/svc/a"), csrDer: await buildCsr(testKey("ec-p256")) })),
  );
  const { results } = await clientOf(server).batch(world.agentLeaf, items);
  for (const { result } of results) if (result?.$case === "certificate") keep(world, result.value);
  if (results.some(({ result }) => result?.$case !== "certificate")) throw new Error("not all were issued");
};

const rotate: Work = async (server, world) => {
  await prepareIntermediate(server.rotation, { activateFrom: world.clock.now() }, testActor);
  await world.clock.advance(301_000); // Agents do not report here: the activation goes on after its wait.
  await rotateWhatIsDue(server.rotation);
  await world.clock.advance(25 * 3_600_000); // All leaves of the old one have ended.
  await rotateWhatIsDue(server.rotation);
  await destroyRetiredKeys(server.rotation);
};

const changeEntry: Work = async (server) => {
  const held = await getEntry(server.nouns, "e-1");
  await updateEntry(server.nouns, held, { ttlSeconds: 60 }, testActor);
};

const entryLife: Work = async (server) => {
  const made = await server.entry({ path: "/svc/b" }).catch(async (error: unknown) => {
    if (!(error instanceof Error && error.message.includes("already"))) throw error;
    return getEntry(server.nouns, "/svc/b");
  });
  await deleteEntry(server.nouns, made, testActor);
};

function keep(
  world: World,
  certificate: { readonly chainDer: readonly Uint8Array[]; readonly serialHex: string } | undefined,
): void {
  if (certificate === undefined) throw new Error("an answer without a certificate");
  world.handedOut.push(given(certificate.chainDer, certificate.serialHex));
}

const works: Readonly<Record<string, Work>> = {
  "Attest (join)": join,
  "Attest (recover)": recover,
  Renew: renew,
  Issue: issueOne,
  BatchIssue: issueBatch,
  "authority rotation": rotate,
  "entry update": changeEntry,
  "entry create, delete": entryLife,
};

const table: string[] = [];
const longest = 400;

describe.each(Object.entries(works))("%s", (name, work) => {
  test.each(faultKinds)("holds every invariant when it is %s at any port call", async (kind) => {
    const steps = new Map<string, number>();
    for (let at = 1; at <= longest; at++) {
      const world = await newWorld();
      if (name === "Attest (recover)") await world.clock.advance(25 * 3_600_000);
      let sequences = await checkInvariants(world, world.handedOut, { bundle: 0n, denied: 0n });
      const life = liveOnce(world, { at, kind });
      const server = await buildServer({ clock: world.clock, store: life.store, keys: life.keys });
      life.arm();
      const ended = await Promise.race([
        work(server, world).then(
          () => "done" as const,
          () => "failed" as const,
        ),
        life.killed,
      ]);
      const met = life.met();
      if (met === undefined) {
        expect(ended).toBe("done");
        break;
      }
      steps.set(met, (steps.get(met) ?? 0) + 1);
      sequences = await checkInvariants(world, world.handedOut, sequences);
      // The restart: the same work is asked for again, and goes through.
      const again = await buildServer({ clock: world.clock, store: world.store, keys: world.keys });
      const handedBefore = world.handedOut.length;
      await work(again, world);
      await checkInvariants(world, world.handedOut, sequences);
      if (name === "Attest (join)") {
        // The same string by the same key is the same certificate, however often it is asked.
        expect(world.handedOut.length).toBe(handedBefore + 1);
        const byName = new Set(world.handedOut.slice(1).map(({ serialHex }) => serialHex));
        expect(byName.size).toBe(1);
      }
      expect(at).toBeLessThan(longest);
    }
    expect(steps.size).toBeGreaterThan(0);
    const count = [...steps.values()].reduce((sum, each) => sum + each, 0);
    table.push(`${name}, ${kind}: ${count} (${[...steps].map(([step, times]) => `${step} ${times}`).join(", ")})`);
  });
});

afterAll(() => {
  const total = table.reduce((sum, line) => sum + Number(/: (\d+) \(/.exec(line)?.[1] ?? 0), 0);
  process.stdout.write(`crash table, ${total} faults:\n${table.map((line) => `  ${line}\n`).join("")}`);
});
