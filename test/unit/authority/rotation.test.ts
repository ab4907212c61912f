import { expect, test } from "vitest";
import { establish } from "../../../src/authority/establish.ts";
import { movedFrom } from "../../../src/authority/leaves.ts";
import {
  activate,
  destroyRetiredKeys,
  prepareIntermediate,
  rotateWhatIsDue,
  stepsToCome,
  waitingFor,
} from "../../../src/authority/rotation.ts";
import { openTrustState } from "../../../src/authority/trust-state.ts";
import { memoryKeys } from "../../../src/keys/memory.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import { systemRandom } from "../../../src/platform/random.ts";
import { deleteEntry, getEntry } from "../../../src/registry/entries.ts";
import { recordReport } from "../../../src/registry/nodes.ts";
import { readDenyList } from "../../../src/revocation/deny-list.ts";
import { publishDueCrls } from "../../../src/revocation/publish-crls.ts";
import { rotationUpkeep } from "../../../src/server/upkeep.ts";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import type { NodeReportRecord } from "../../../src/store/collections/node-reports.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { StoreError } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { parseCrl, verifyCrl } from "../../../src/x509/crl.ts";
import { validatePath } from "../../../src/x509/path.ts";
import { verifySignature } from "../../../src/x509/signature.ts";
import { buildServer, type TestServer, testActor } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { testKey } from "../x509/signers.ts";

const day = 86_400_000;

const states = (server: TestServer): readonly string[] =>
  server.state
    .view()
    .authorities.filter(({ record }) => record.kind === "intermediate")
    .map(({ record }) => `${record.name} ${record.state}`);

const authority = (
  server: TestServer,
  name: string,
): ReturnType<TestServer["state"]["view"]>["authorities"][number] => {
  const found = server.state.view().authorities.find(({ record }) => record.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

async function report(server: TestServer, agent: string, deniedSequence: bigint): Promise<void> {
  const record: NodeReportRecord = {
    agentId: server.agent(agent),
    seenAt: server.clock.now().getTime(),
    version: "",
    address: "",
    bundleSequence: 1n,
    deniedSequence,
    entryRevision: 0,
    clockOffsetMs: 0,
    heldBackBy: "",
    identities: [],
  };
  await recordReport(server.nouns, record);
}

/** The leaf that the line issues now verifies by its chain. */
async function expectGoodLeaf(server: TestServer, name: string): Promise<void> {
  const { record, chainDer } = await server.issue("one", "/svc/a");
  expect(record.authority).toBe(name);
  const [leaf, issuer] = chainDer.map(parseCertificate);
  if (leaf === undefined || issuer === undefined) throw new Error("no chain");
  const verdict = validatePath(leaf, {
    intermediates: [issuer],
    roots: server.state.view().bundle.roots,
    at: server.clock.now(),
    purpose: "server",
  });
  expect(verdict).toMatchObject({ ok: true });
}

/** Every current authority has a CRL that verifies, in its life. */
function expectGoodCrls(server: TestServer): void {
  const view = server.state.view();
  const current = view.authorities.filter(({ record }) => record.state !== "retired");
  expect(view.crls.map(({ value }) => value.authority).sort()).toEqual(current.map(({ record }) => record.name).sort());
  for (const { value } of view.crls) {
    const crl = parseCrl(value.der);
    expect(verifyCrl(crl, authority(server, value.authority).certificate)).toBe(true);
    expect(value.nextUpdate).toBeGreaterThan(server.clock.now().getTime());
  }
}

async function withAgent(options: Parameters<typeof buildServer>[0] = {}): Promise<TestServer> {
  const server = await buildServer(options);
  await server.join();
  await server.entry();
  return server;
}

test("rotateWhatIsDue() prepares at 1/2, activates at 2/3, and retires after the last leaf with its key destroyed", async () => {
  const server = await withAgent();
  await server.clock.advance(15 * day - 1);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  await server.clock.advance(1);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual(["int-2 prepared"]);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  await publishDueCrls(server.rotation);
  expectGoodCrls(server);
  await server.clock.advance(5 * day - 1000);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  await server.clock.advance(3_600_000);
  // Its own certificate ended long ago: no live agent is waited for.
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual(["int-2 active"]);
  expect(states(server)).toEqual(["int-1 old", "int-2 active"]);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual(["int-1 retired"]);
  expect(states(server)).toEqual(["int-1 retired", "int-2 active"]);
  expect(await server.keys.list()).toEqual(["int-2", "root-1"]);
  await publishDueCrls(server.rotation);
  expectGoodCrls(server);
  expect(authority(server, "int-1").record.keyHere).toBe(false);
});

test("rotateWhatIsDue() waits for every live agent to have the CRL on disk, and activates at once when they have", async () => {
  const server = await withAgent();
  await server.join("two");
  const made = await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  expect(made.record.announcedBy).toBe(2n);
  expect((await rotateWhatIsDue(server.rotation)).waitingFor).toEqual([server.agent("one"), server.agent("two")]);
  await report(server, "one", 2n);
  await report(server, "two", 1n);
  expect(await waitingFor(server.rotation, made)).toEqual([server.agent("two")]);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  await report(server, "two", 2n);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual(["int-2 active"]);
  await expectGoodLeaf(server, "int-2");
});

test("rotateWhatIsDue() waits 5 min at most, then goes on and names who has not acknowledged", async () => {
  const server = await withAgent();
  await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await server.clock.advance(299_999);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  await server.clock.advance(1);
  const looked = await rotateWhatIsDue(server.rotation);
  expect(looked).toMatchObject({ done: ["int-2 active"], waitingFor: [server.agent("one")] });
  const events = await Array.fromAsync(server.store.scan(auditEvents, "key"));
  expect(events.find(({ value }) => value.action === "authority.activate")?.value).toMatchObject({
    actor: "server",
    subject: "int-2",
    before: { active: ["int-1"] },
    after: { active: "int-2", unacknowledged: [server.agent("one")] },
  });
});

test("an old authority signs nothing and is kept until its last leaf has ended", async () => {
  const server = await withAgent();
  await server.issue("one", "/svc/a");
  await report(server, "one", 99n);
  await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await rotateWhatIsDue(server.rotation);
  await expectGoodLeaf(server, "int-2");
  await server.clock.advance(day); // The agent's own certificate is valid to this very moment.
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual([]);
  expect(await server.keys.list()).toContain("int-1");
  await server.clock.advance(1000);
  expect((await rotateWhatIsDue(server.rotation)).done).toEqual(["int-1 retired"]);
});

test("every step of a rotation raises the deny-list sequence or keeps it, never lowers it, and an announcement follows", async () => {
  const server = await withAgent();
  const sequences: bigint[] = [];
  server.announcements.subscribe(({ kind }) => {
    if (kind === "trust") sequences.push(server.state.view().trust.value.deniedSequence);
  });
  await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await server.clock.advance(400_000);
  await rotateWhatIsDue(server.rotation);
  await server.clock.advance(2 * day);
  await rotateWhatIsDue(server.rotation);
  expect(sequences).toEqual([2n, 2n, 3n]);
  const list = await readDenyList(server.store, server.state.view(), server.clock.now());
  expect(list).toMatchObject({ sequence: 3n, denied: [] });
  expect(list.crlsDer).toHaveLength(2);
});

test("a root key elsewhere: the schedule asks, rotate without it is denied with a cure, and works with it", async () => {
  const rootKeys = memoryKeys();
  const server = await withAgent({ rootKeys });
  expect(await server.keys.list()).toEqual(["int-1"]);
  await server.clock.advance(15 * day);
  expect(await rotateWhatIsDue(server.rotation)).toMatchObject({ done: [], rootKeyWanted: ["services"] });
  await expect(
    prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor),
  ).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "root_key_elsewhere", value: "root-1", cure: "signet authority rotate --root-key FILE" },
  });
  expect(await server.keys.list()).toEqual(["int-1"]);
  const wish = { activateFrom: server.clock.now(), rootSigner: await rootKeys.open("root-1") };
  await prepareIntermediate(server.rotation, wish, testActor);
  await rotateWhatIsDue(server.rotation);
  expect(states(server)).toEqual(["int-1 old", "int-2 active"]);
  await server.join("two");
  await server.entry({ agent: "two", path: "/svc/b" });
  expect((await server.issue("two", "/svc/b")).record.authority).toBe("int-2");
});

test.each(["ec-p256", "ec-p384", "rsa-2048", "ed25519"] as const)(
  "prepareIntermediate() with a wrong root key (%s) is refused, changes nothing, and the right one still works",
  async (type) => {
    const rootKeys = memoryKeys();
    const server = await buildServer({ rootKeys });
    const wish = { activateFrom: server.clock.now() };
    await expect(
      prepareIntermediate(server.rotation, { ...wish, rootSigner: testKey(type) }, testActor),
    ).rejects.toMatchObject({
      name: "CaError",
      code: "bad_request",
    });
    expect(states(server)).toEqual(["int-1 active"]);
    const made = await prepareIntermediate(
      server.rotation,
      { ...wish, rootSigner: await rootKeys.open("root-1") },
      testActor,
    );
    expect(made.record.name).toBe("int-2");
  },
);

test("two admins and the schedule at once: one authority is prepared, and its key is the one of its certificate", async () => {
  const server = await withAgent();
  await server.clock.advance(15 * day);
  const wish = { activateFrom: server.clock.now() };
  const [first, second] = await Promise.all([
    prepareIntermediate(server.rotation, wish, testActor),
    prepareIntermediate(server.rotation, wish, { name: "local", reason: "the other" }),
    rotateWhatIsDue(server.rotation),
  ]);
  expect(first?.record.name).toBe("int-2");
  expect(second?.record.name).toBe("int-2");
  await server.state.reload();
  expect(states(server)).toEqual(["int-1 active", "int-2 prepared"]);
  expect((await server.keys.open("int-2")).spkiDer).toEqual(authority(server, "int-2").certificate.publicKey.der);
  expect(await server.keys.list()).toEqual(["int-1", "int-2", "root-1"]);
  await server.clock.advance(400_000);
  await rotateWhatIsDue(server.rotation);
  await server.join("two");
  await server.entry({ agent: "two", path: "/svc/b" });
  const { chainDer } = await server.issue("two", "/svc/b");
  const [leaf, issuer] = chainDer.map(parseCertificate);
  if (leaf === undefined || issuer === undefined) throw new Error("no chain");
  expect(verifySignature(issuer.publicKey, leaf.signatureAlgorithmDer, leaf.tbs, leaf.signature)).toBe(true);
});

test("prepareIntermediate() brings the activation of a waiting one forward, and never puts it off", async () => {
  const server = await withAgent();
  await server.clock.advance(15 * day);
  await rotateWhatIsDue(server.rotation);
  const planned = authority(server, "int-2").record.activateFrom;
  const sooner = await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  expect(sooner.record.name).toBe("int-2");
  expect(sooner.record.activateFrom).toBe(server.clock.now().getTime());
  expect(sooner.record.activateFrom).toBeLessThan(planned ?? 0);
  const later = await prepareIntermediate(
    server.rotation,
    { activateFrom: new Date(server.clock.now().getTime() + day) },
    testActor,
  );
  expect(later.record.activateFrom).toBe(server.clock.now().getTime());
});

test("activate() of what was activated meanwhile is a conflict", async () => {
  const server = await buildServer();
  const made = await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await activate(server.rotation, made, [], testActor);
  await expect(activate(server.rotation, made, [], testActor)).rejects.toMatchObject({ code: "conflict" });
  expect(states(server)).toEqual(["int-1 old", "int-2 active"]);
});

test("a restart mints nothing: the same authorities, keys, sequences and CRLs", async () => {
  const clock = fakeClock();
  const store = createMemoryStore({ clock });
  const keys = memoryKeys();
  const server = await withAgent({ clock, store, keys });
  const again = await buildServer({ clock, store, keys });
  await rotateWhatIsDue(again.rotation);
  await publishDueCrls(again.rotation);
  expect(again.state.view().authorities).toEqual(server.state.view().authorities);
  expect(again.state.view().trust).toEqual(server.state.view().trust);
  expect(again.state.view().crls).toEqual(server.state.view().crls);
  expect(await keys.list()).toEqual(["int-1", "root-1"]);
});

test("establish() refuses a store that has a trust domain", async () => {
  const server = await buildServer();
  const deps = {
    store: server.store,
    keys: memoryKeys(),
    rootKeys: memoryKeys(),
    clock: server.clock,
    random: systemRandom,
  };
  const wish = {
    trustDomain: parseTrustDomain("new.example"),
    keyType: "ec-p256",
    rootTtlSeconds: 1000,
    intermediateTtlSeconds: 100,
  } as const;
  await expect(establish(deps, wish, testActor)).rejects.toMatchObject({ code: "exists" });
});

test("buildServer() of another trust domain than the store's is refused", async () => {
  const server = await buildServer();
  await expect(buildServer({ store: server.store, trustDomain: "new.example" })).rejects.toMatchObject({
    code: "bad_request",
  });
});

test("buildServer() with a lifetime over a quarter of the intermediate's is refused with the cure", async () => {
  await expect(buildServer({ intermediateTtlSeconds: 86_400 })).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "ttl_over_authority", cure: expect.stringContaining("lifetimes") },
  });
});

test("rotationUpkeep() destroys the key of a retired authority that a kill left behind, at its first look", async () => {
  const clock = fakeClock();
  const store = createMemoryStore({ clock });
  const keys = memoryKeys();
  const server = await buildServer({ clock, store, keys: { ...keys, destroy: async () => undefined } });
  await prepareIntermediate(server.rotation, { activateFrom: clock.now() }, testActor);
  await rotateWhatIsDue(server.rotation);
  await rotateWhatIsDue(server.rotation);
  expect(states(server)).toEqual(["int-1 retired", "int-2 active"]);
  expect(await keys.list()).toContain("int-1");
  const again = await buildServer({ clock, store, keys });
  await rotationUpkeep({ ...again.rotation, log: silentLogger })();
  expect(await keys.list()).toEqual(["int-2", "root-1"]);
});

test("destroyRetiredKeys() keeps the keys of all others", async () => {
  const server = await buildServer();
  await prepareIntermediate(server.rotation, { activateFrom: new Date(server.clock.now().getTime() + day) }, testActor);
  await destroyRetiredKeys(server.rotation);
  expect(await server.keys.list()).toEqual(["int-1", "int-2", "root-1"]);
});

test("a key that a kill left without an authority is made anew, and nobody used the old one", async () => {
  const server = await buildServer();
  const left = await server.keys.create("int-2", "ec-p256");
  const made = await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  expect(made.certificate.publicKey.der).not.toEqual(left.spkiDer);
  expect((await server.keys.open("int-2")).spkiDer).toEqual(made.certificate.publicKey.der);
});

test("a successor lives as long as the one it follows, or as configured, and may have another key type", async () => {
  const server = await buildServer();
  await server.clock.advance(day);
  const made = await prepareIntermediate(
    server.rotation,
    { activateFrom: server.clock.now(), keyType: "ec-p384" },
    testActor,
  );
  expect(made.certificate.notAfter.getTime() - server.clock.now().getTime()).toBe(30 * day);
  expect(made.certificate.publicKey.type).toBe("ec-p384");
  const settings = {
    ...server.rotation.settings,
    intermediateTtlSeconds: { services: 86_400 * 10, devices: 0 },
  };
  const other = await buildServer();
  const short = await prepareIntermediate(
    { ...other.rotation, settings },
    { activateFrom: other.clock.now() },
    testActor,
  );
  expect(short.certificate.notAfter.getTime() - other.clock.now().getTime()).toBe(10 * day);
});

test("prepareIntermediate() is denied when the root ends before the new one would", async () => {
  const server = await buildServer({ rootTtlSeconds: 40 * 86_400 });
  await server.clock.advance(15 * day);
  await expect(
    prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor),
  ).rejects.toMatchObject({
    code: "denied",
    facts: { rule: "authority_ends" },
  });
});

test("publishDueCrls() signs an intermediate's CRL anew each day with a higher number, long before nextUpdate", async () => {
  const server = await withAgent();
  expect(await publishDueCrls(server.rotation)).toEqual([]);
  await server.clock.advance(day - 1);
  expect(await publishDueCrls(server.rotation)).toEqual([]);
  const before = server.state.view();
  await server.clock.advance(1);
  expect(await publishDueCrls(server.rotation)).toEqual(["int-1"]);
  const view = server.state.view();
  const number = (of: typeof view): bigint | undefined =>
    of.crls.find(({ value }) => value.authority === "int-1")?.value.number;
  expect(number(view)).toBe((number(before) ?? 0n) + 1n);
  expect(view.trust.value.deniedSequence).toBe(before.trust.value.deniedSequence + 1n);
  expectGoodCrls(server);
  for (let days = 0; days < 10; days++) {
    await server.clock.advance(day);
    await publishDueCrls(server.rotation);
    expectGoodCrls(server);
  }
});

test("publishDueCrls() signs the root's 30 d before its end when its key is here, and leaves it when it is not", async () => {
  const here = await buildServer();
  await here.clock.advance(335 * day);
  expect(await publishDueCrls(here.rotation)).toContain("root-1");
  const elsewhere = await buildServer({ rootKeys: memoryKeys() });
  await elsewhere.clock.advance(335 * day);
  expect(await publishDueCrls(elsewhere.rotation)).toEqual(["int-1"]);
});

test("reload() that fails keeps the last reading, and concurrent ones never bring an older reading back", async () => {
  const clock = fakeClock();
  let failing = false;
  const server = await buildServer({ clock });
  const gets: (() => void)[] = [];
  let held = false;
  const slow: typeof server.store = {
    ...server.store,
    get: async (collection, key) => {
      if (failing) throw new StoreError("unavailable", "planted");
      const value = await server.store.get(collection, key);
      if (held && collection.name === "trust") await new Promise<void>((resolve) => gets.push(resolve));
      return value;
    },
  };
  const state = await openTrustState(slow, { refreshHintSeconds: 1 });
  const first = state.view();
  failing = true;
  await expect(state.reload()).rejects.toBeInstanceOf(StoreError);
  expect(state.view()).toBe(first);
  failing = false;
  held = true;
  const old = state.reload();
  await expect.poll(() => gets.length).toBe(1);
  await prepareIntermediate(server.rotation, { activateFrom: clock.now() }, testActor);
  const later = [state.reload(), state.reload()];
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  expect(gets).toHaveLength(1); // The next reading has not begun.
  held = false;
  for (const go of gets) go();
  await old;
  const [one, two] = await Promise.all(later);
  expect(one).toBe(two);
  expect(one?.trust.value.deniedSequence).toBe(2n);
  expect(state.view()).toBe(one);
});

test("stepsToCome() after a rotation: the new one's successor, nothing of the retired one", async () => {
  const server = await buildServer();
  await prepareIntermediate(server.rotation, { activateFrom: server.clock.now() }, testActor);
  await rotateWhatIsDue(server.rotation);
  await rotateWhatIsDue(server.rotation);
  const steps = await stepsToCome(server.rotation);
  expect(steps).toMatchObject([{ step: "prepare", after: { record: { name: "int-2" } } }]);
});

test("stepsToCome() leaves room for the longest ttl of an entry: its successor is active two of them before the end", async () => {
  const server = await buildServer();
  const before = (await stepsToCome(server.rotation))[0];
  await server.entry({ ttlSeconds: 7.5 * 86_400 });
  const after = (await stepsToCome(server.rotation))[0];
  const end = server.state.view().authorities.at(-1)?.certificate.notAfter.getTime() ?? 0;
  expect(before).toMatchObject({ step: "prepare" });
  expect(after).toMatchObject({ step: "prepare", activateAt: new Date(end - 15 * 86_400_000) });
});

test("movedFrom() waits for no identity whose entry was deleted: it ends by itself", async () => {
  const server = await buildServer();
  await server.join();
  await server.entry();
  const { record } = await server.issue("one", "/svc/a");
  const reported: NodeReportRecord = {
    agentId: server.agent("one"),
    seenAt: server.clock.now().getTime(),
    version: "",
    address: "",
    bundleSequence: 1n,
    deniedSequence: 1n,
    entryRevision: 0,
    clockOffsetMs: 0,
    heldBackBy: "",
    identities: [
      {
        spiffeId: record.spiffeId,
        serialHex: record.serialHex,
        notAfter: record.notAfter,
        renewAt: record.notAfter - 1000,
        state: "on_disk",
        lastError: "",
        entryRevision: 1,
      },
    ],
  };
  await recordReport(server.nouns, reported);
  const from = authority(server, "int-1").record;
  expect(await movedFrom(server.store, from, server.clock.now())).toMatchObject({ moved: 0, total: 2 });
  await deleteEntry(server.nouns, await getEntry(server.nouns, "/svc/a"), testActor);
  expect(await movedFrom(server.store, from, server.clock.now())).toMatchObject({
    moved: 0,
    total: 1,
    movedBy: undefined,
  });
});
