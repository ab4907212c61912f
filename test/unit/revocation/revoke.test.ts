import { expect, test } from "vitest";
import { memoryKeys } from "../../../src/keys/memory.ts";
import { type Revocation, revokeOps, revokeTogether } from "../../../src/revocation/revoke.ts";
import { auditEvents } from "../../../src/store/collections/audit-events.ts";
import type { CertificateRecord } from "../../../src/store/collections/certificates.ts";
import { crls } from "../../../src/store/collections/crls.ts";
import { revocationKey, revocations } from "../../../src/store/collections/revocations.ts";
import { trust, trustKey } from "../../../src/store/collections/trust.ts";
import { withFaults } from "../../../src/store/faults.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { StoreError } from "../../../src/store/store.ts";
import { type Crl, parseCrl, verifyCrl } from "../../../src/x509/crl.ts";
import { buildServer, type TestServer, testActor } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";

async function joined(given: Parameters<typeof buildServer>[0] = {}): Promise<TestServer> {
  const server = await buildServer(given);
  await server.join();
  await server.entry();
  return server;
}

const issued = async (server: TestServer): Promise<CertificateRecord> => (await server.issue("one", "/svc/a")).record;

const revoke = (server: TestServer, records: readonly CertificateRecord[]): Promise<Revocation> =>
  revokeTogether(server.rotation, () =>
    revokeOps(server.rotation, records, { reason: "keyCompromise", at: server.clock.now(), actor: testActor }),
  );

/** What is in the store, not what anybody remembers. */
async function crlOf(server: TestServer, name: string): Promise<Crl> {
  const held = await server.store.get(crls, name);
  const issuer = server.state.view().authorities.find(({ record }) => record.name === name);
  const crl = parseCrl(held?.value.der ?? new Uint8Array());
  if (issuer === undefined || !verifyCrl(crl, issuer.certificate)) throw new Error("the CRL is not of its authority");
  expect(crl.number).toBe(held?.value.number);
  return crl;
}

test("revokeOps() puts revocation, sequence, CRL and audit event into one commit", async () => {
  const server = await joined();
  const record = await issued(server);
  const root = (await server.store.get(crls, "root-1"))?.value.der;
  const before = server.state.view().trust.value.deniedSequence;
  const commits: number[] = [];
  server.announcements.subscribe(({ kind }) => kind === "trust" && commits.push(1));
  const done = await revoke(server, [record]);
  expect(done).toMatchObject({ already: [], deniedSequence: before + 1n });
  expect(done.revoked.map(({ serialHex }) => serialHex)).toEqual([record.serialHex]);
  const held = await server.store.get(revocations, revocationKey(record.authorityKeyId, record.serialHex));
  expect(held?.value).toEqual({
    authorityKeyId: record.authorityKeyId,
    serialHex: record.serialHex,
    spkiSha256: record.spkiSha256,
    notAfter: record.notAfter,
    revokedAt: server.clock.now().getTime(),
    reason: "keyCompromise",
  });
  expect((await server.store.get(trust, trustKey))?.value.deniedSequence).toBe(before + 1n);
  const crl = await crlOf(server, "int-1");
  expect(crl.number).toBe(2n);
  expect(crl.revoked).toEqual([{ serialHex: record.serialHex, at: expect.any(Date), reason: "keyCompromise" }]);
  expect((await server.store.get(crls, "root-1"))?.value.der).toEqual(root);
  const events = await Array.fromAsync(server.store.scan(auditEvents, "key"));
  expect(events.map(({ value }) => value).filter(({ action }) => action === "certificate.revoke")).toMatchObject([
    { actor: "local", reason: "a test", subject: record.serialHex, after: { serials: [record.serialHex] } },
  ]);
  expect(commits).toHaveLength(1);
});

test("revokeOps() of what is revoked already changes nothing, and keeps the first reason and time", async () => {
  const server = await joined();
  const record = await issued(server);
  const first = await revoke(server, [record]);
  await server.clock.advance(60_000);
  const again = await revokeTogether(server.rotation, () =>
    revokeOps(server.rotation, [record], { reason: "superseded", at: server.clock.now(), actor: testActor }),
  );
  expect(again).toMatchObject({ ops: [], revoked: [], already: [record.serialHex] });
  expect(again.deniedSequence).toBe(first.deniedSequence);
  expect((await crlOf(server, "int-1")).number).toBe(2n);
  const held = await server.store.get(revocations, revocationKey(record.authorityKeyId, record.serialHex));
  expect(held?.value.reason).toBe("keyCompromise");
});

test("revokeTogether() at once from many sides loses none: the CRL holds all, its number and the sequence grew by each", async () => {
  const server = await joined();
  const records = await Promise.all(Array.from({ length: 8 }, () => issued(server)));
  const before = server.state.view().trust.value.deniedSequence;
  const all = await Promise.all(records.map((record) => revoke(server, [record])));
  expect(new Set(all.map(({ deniedSequence }) => deniedSequence)).size).toBe(8);
  const crl = await crlOf(server, "int-1");
  expect(crl.revoked.map(({ serialHex }) => serialHex).sort()).toEqual(records.map((each) => each.serialHex).sort());
  expect(crl.number).toBe(9n);
  expect(server.state.view().trust.value.deniedSequence).toBe(before + 8n);
});

test("revokeTogether() gives no number twice when another process signed a CRL since the last look", async () => {
  const clock = fakeClock();
  const store = createMemoryStore({ clock });
  const keys = memoryKeys();
  const one = await joined({ clock, store, keys });
  const records = [await issued(one), await issued(one)];
  const other = await buildServer({ clock, store, keys });
  await revoke(other, records.slice(0, 1));
  await revoke(one, records.slice(1));
  const crl = await crlOf(one, "int-1");
  expect(crl.number).toBe(3n);
  expect(crl.revoked).toHaveLength(2);
});

test("revokeTogether() that ended in doubt throws so, and what was stored counts at once; asked again it is done", async () => {
  const clock = fakeClock();
  let failing = false;
  const store = withFaults(createMemoryStore({ clock }), {
    after: (call) =>
      failing && call.operation === "commit" ? new StoreError("in_doubt", "no answer came") : undefined,
  });
  const server = await joined({ clock, store });
  const record = await issued(server);
  let told = 0;
  server.announcements.subscribe(({ kind }) => {
    if (kind === "trust") told++;
  });
  failing = true;
  await expect(revoke(server, [record])).rejects.toMatchObject({ code: "in_doubt" });
  failing = false;
  expect(told).toBe(1);
  expect(await revoke(server, [record])).toMatchObject({ already: [record.serialHex] });
});

test("a CRL keeps an entry until it was on one that begins after the certificate ended, and then drops it", async () => {
  const server = await joined();
  const first = await issued(server);
  await revoke(server, [first]);
  await server.clock.advance(3_600_000 + 2000); // The hour of its life.
  await server.join("two");
  await server.entry({ path: "/svc/b", agent: "two" });
  const later = (await server.issue("two", "/svc/b")).record;
  await revoke(server, [later]);
  const serials = async (): Promise<readonly string[]> =>
    (await crlOf(server, "int-1")).revoked.map(({ serialHex }) => serialHex).sort();
  expect(await serials()).toEqual([first.serialHex, later.serialHex].sort());
  await server.clock.advance(60_000);
  await revoke(server, [(await server.issue("two", "/svc/b")).record]);
  expect(await serials()).not.toContain(first.serialHex);
  expect(await serials()).toContain(later.serialHex);
});
