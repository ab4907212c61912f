import { expect, test } from "vitest";
import { withRevokedKeys } from "../../../src/revocation/revoked-keys.ts";
import { type RevocationRecord, revocationKey, revocations } from "../../../src/store/collections/revocations.ts";
import { withFaults } from "../../../src/store/faults.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { expectRevision, putIfAbsent, type Store, StoreError } from "../../../src/store/store.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";

const revocation = (spkiSha256: string): RevocationRecord => ({
  authorityKeyId: "aa",
  serialHex: spkiSha256 === "" ? "*" : `5${spkiSha256}`,
  spkiSha256,
  notAfter: 0,
  revokedAt: 0,
  reason: "keyCompromise",
});
const memory = (): Store => createMemoryStore({ clock: fakeClock() });

const running = new AbortController().signal;

test("withRevokedKeys() knows the keys that the store holds, also those whose certificates have ended", async () => {
  const store = memory();
  await store.commit([putIfAbsent(revocations, revocation("k1")), putIfAbsent(revocations, revocation(""))]);
  const { keyWasRevoked, fill } = await withRevokedKeys(store);
  const asked = (): Promise<boolean[]> => Promise.all(["k1", "k2", ""].map(async (key) => keyWasRevoked(key)));
  expect(await asked()).toEqual([true, false, false]);
  await fill(running);
  expect(await asked()).toEqual([true, false, false]);
});

test("withRevokedKeys() reads nothing at its start, asks the index until it is filled, and the store no more then", async () => {
  const inner = memory();
  await inner.commit([putIfAbsent(revocations, revocation("k1"))]);
  let scans = 0;
  const store: Store = { ...inner, stats: () => inner.stats(), scan: (...args) => (scans++, inner.scan(...args)) };
  const { keyWasRevoked, fill } = await withRevokedKeys(store);
  expect(scans).toBe(0);
  expect([await keyWasRevoked("k1"), await keyWasRevoked("k2"), scans]).toEqual([true, false, 2]);
  await fill(running);
  scans = 0;
  expect([keyWasRevoked("k1"), keyWasRevoked("k2"), scans]).toEqual([true, false, 0]);
});

test("withRevokedKeys() of more keys than it holds in memory goes on asking the index, and forgets none", async () => {
  const store = memory();
  const before = ["k1", "k2", "k3"];
  await store.commit(before.map((key) => putIfAbsent(revocations, revocation(key))));
  const revoked = await withRevokedKeys(store, 2);
  await revoked.fill(running);
  await revoked.store.commit([putIfAbsent(revocations, revocation("k4"))]);
  for (const key of [...before, "k4"]) expect(await revoked.keyWasRevoked(key)).toBe(true);
  expect(await revoked.keyWasRevoked("k5")).toBe(false);
});

test("withRevokedKeys() that knew all stops to say so at the revocation that no longer fits", async () => {
  const revoked = await withRevokedKeys(memory(), 1);
  await revoked.store.commit([putIfAbsent(revocations, revocation("k1"))]);
  await revoked.store.commit([putIfAbsent(revocations, revocation("k2"))]);
  expect([await revoked.keyWasRevoked("k1"), await revoked.keyWasRevoked("k2")]).toEqual([true, true]);
});

test("withRevokedKeys() learns of a revocation once its commit is done, and not when a condition failed", async () => {
  const { store, keyWasRevoked } = await withRevokedKeys(memory());
  await store.commit([putIfAbsent(revocations, revocation("k1"))]);
  const failing = expectRevision(revocations, revocationKey("aa", "none"), 7);
  expect((await store.commit([putIfAbsent(revocations, revocation("k2")), failing])).done).toBe(false);
  expect([keyWasRevoked("k1"), keyWasRevoked("k2")]).toEqual([true, false]);
});

test.each([
  ["in_doubt", true],
  ["unavailable", false],
] as const)("withRevokedKeys() after a revocation that ended as %s says %s", async (code, said) => {
  const after = (): StoreError => new StoreError(code, "the disk is gone");
  const { store, keyWasRevoked } = await withRevokedKeys(
    withFaults(memory(), { after: (call) => (call.operation === "commit" ? after() : undefined) }),
  );
  await expect(store.commit([putIfAbsent(revocations, revocation("k1"))])).rejects.toMatchObject({ code });
  expect(keyWasRevoked("k1")).toBe(said);
});
