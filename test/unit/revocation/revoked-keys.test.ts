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

test("withRevokedKeys() knows the keys that the store holds, also those whose certificates have ended", async () => {
  const store = memory();
  await store.commit([putIfAbsent(revocations, revocation("k1")), putIfAbsent(revocations, revocation(""))]);
  const { keyWasRevoked } = await withRevokedKeys(store);
  expect([keyWasRevoked("k1"), keyWasRevoked("k2"), keyWasRevoked("")]).toEqual([true, false, false]);
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
