// What every store promises, as `store.ts` words it. An adapter passes by running all of it.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { jsonCodec } from "../../src/store/json-codec.ts";
import {
  type Collection,
  expectRevision,
  type Op,
  putIfAbsent,
  remove,
  type Store,
  StoreError,
  type StoreErrorCode,
  update,
} from "../../src/store/store.ts";
import { idsOf, itemsOf, others, type Thing, thing, things } from "../fakes/things.ts";
import type { StoreUnderTest } from "./stores.ts";

/** Resolves with the error of a promise that must reject with a StoreError of this code. */
export async function refused(promise: Promise<unknown>, code: StoreErrorCode): Promise<StoreError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StoreError)) throw new Error(`expected a StoreError "${code}", got ${String(error)}`);
  expect(error.code, error.message).toBe(code);
  return error;
}

/** Stores things that must not be there yet; returns their revisions. */
export async function store(target: Store, ...values: readonly Thing[]): Promise<readonly number[]> {
  const result = await target.commit(values.map((value) => putIfAbsent(things, value)));
  if (!result.done) throw new Error(`op ${result.failed} failed`);
  return result.revisions.map((revision) => revision ?? 0);
}

export function storeSuite(name: string, create: () => Promise<StoreUnderTest>): void {
  describe(`the ${name} store`, () => {
    let under: StoreUnderTest;
    let db: Store;
    beforeEach(async () => {
      under = await create();
      db = under.store;
    });
    afterEach(() => under.dispose());

    describe("get()", () => {
      test("gives the value that was written, with its revision", async () => {
        const [revision] = await store(db, thing("a", { note: "ä\u0000€𝄞" }));
        expect(await db.get(things, "a")).toEqual({ value: thing("a", { note: "ä\u0000€𝄞" }), revision });
      });

      test("gives undefined for a key that has no value, and for that key of another collection", async () => {
        await store(db, thing("a"));
        expect(await db.get(things, "b")).toBeUndefined();
        expect(await db.get(others, "a")).toBeUndefined();
      });

      test("gives each reader a value of its own", async () => {
        await store(db, thing("a", { tags: ["x"] }));
        const first = await db.get(things, "a");
        if (first !== undefined) (first.value.tags as string[]).push("y");
        expect((await db.get(things, "a"))?.value.tags).toEqual(["x"]);
      });

      test("gives octets of its own to a decoder that does not copy", async () => {
        const raw: Collection<{ readonly octets: Uint8Array }> = {
          name: "raw",
          key: () => "k",
          indexes: {},
          version: 1,
          encode: ({ octets }) => Buffer.from(octets),
          decode: (octets) => ({ octets }),
        };
        await db.commit([putIfAbsent(raw, { octets: Buffer.from([1, 2, 3]) })]);
        (await db.get(raw, "k"))?.value.octets.fill(9);
        expect([...((await db.get(raw, "k"))?.value.octets ?? [])]).toEqual([1, 2, 3]);
      });

      test("keeps apart keys that differ in case, length and Unicode form", async () => {
        const keys = ["a", "A", "aa", "a/", "é", "e\u0301", "\u{1d11e}", "\uffff", "~", "\x01", " ", "x".repeat(512)];
        await store(db, ...keys.map((key, size) => thing(key, { size })));
        for (const [size, key] of keys.entries()) expect((await db.get(things, key))?.value.size, key).toBe(size);
      });

      test("is damaged, naming collection and key, when the value cannot be decoded", async () => {
        await store(db, thing("a"));
        const newer: Collection<Thing> = { ...things, version: 2, ...jsonCodec<Thing>({ version: 2 }) };
        const error = await refused(db.get(newer, "a"), "damaged");
        expect(error.message).toContain('record "a" of things');
      });
    });

    describe("commit()", () => {
      test("of nothing is done", async () => {
        expect(await db.commit([])).toEqual({ done: true, revisions: [] });
      });

      test("put if absent fails on a key that has a value, and stores nothing of its commit", async () => {
        await store(db, thing("a"));
        const ops = [putIfAbsent(things, thing("b")), putIfAbsent(things, thing("a", { size: 2 }))];
        expect(await db.commit(ops)).toEqual({ done: false, failed: 1 });
        expect(await db.get(things, "b")).toBeUndefined();
        expect((await db.get(things, "a"))?.value.size).toBe(1);
        expect((await db.stats()).counts["things"]).toBe(1);
      });

      test("update replaces at the revision held, and fails at any other", async () => {
        const [revision = 0] = await store(db, thing("a"));
        const result = await db.commit([update(things, thing("a", { size: 2 }), revision)]);
        expect(result.done && (result.revisions[0] ?? 0) > revision).toBe(true);
        for (const other of [revision, revision - 1, revision + 100, 0, Number.NaN]) {
          expect(await db.commit([update(things, thing("a", { size: 3 }), other)])).toEqual({ done: false, failed: 0 });
        }
        expect((await db.get(things, "a"))?.value.size).toBe(2);
      });

      test("update of a key that has no value fails", async () => {
        expect(await db.commit([update(things, thing("a"), 1)])).toEqual({ done: false, failed: 0 });
        expect(await db.commit([update(things, thing("a"), 0)])).toEqual({ done: false, failed: 0 });
      });

      test("expect holds at the revision held, and changes nothing", async () => {
        const [revision = 0] = await store(db, thing("a"));
        const ops = [expectRevision(things, "a", revision), expectRevision(things, "b", "absent")];
        expect(await db.commit(ops)).toEqual({ done: true, revisions: [undefined, undefined] });
        expect((await db.get(things, "a"))?.revision).toBe(revision);
        expect(await db.commit([expectRevision(things, "a", "absent")])).toEqual({ done: false, failed: 0 });
        expect(await db.commit([expectRevision(things, "a", revision + 1)])).toEqual({ done: false, failed: 0 });
        expect(await db.commit([expectRevision(things, "b", revision)])).toEqual({ done: false, failed: 0 });
      });

      test("delete removes at the revision held, and fails at any other", async () => {
        const [revision = 0] = await store(db, thing("a"));
        expect(await db.commit([remove(things, "a", revision + 1)])).toEqual({ done: false, failed: 0 });
        expect(await db.commit([remove(things, "a", revision)])).toEqual({ done: true, revisions: [undefined] });
        expect(await db.get(things, "a")).toBeUndefined();
        expect(await db.commit([remove(things, "a", revision)])).toEqual({ done: false, failed: 0 });
      });

      test("names the first condition that failed, in the order of the ops", async () => {
        const [revision = 0] = await store(db, thing("a"));
        const ops = [
          expectRevision(things, "a", revision),
          putIfAbsent(things, thing("a")),
          expectRevision(things, "b", 7),
        ];
        expect(await db.commit(ops)).toEqual({ done: false, failed: 1 });
      });

      test("holds all its conditions against the moment before it", async () => {
        const [revision = 0] = await store(db, thing("a"));
        const ops = [
          update(things, thing("a", { size: 2 }), revision),
          expectRevision(things, "a", revision),
          expectRevision(things, "b", "absent"),
          putIfAbsent(things, thing("b")),
          expectRevision(things, "b", "absent"),
        ];
        expect((await db.commit(ops)).done).toBe(true);
      });

      test("takes the values as they are when it is called", async () => {
        const value = { ...thing("a"), tags: ["x"] };
        const committed = db.commit([putIfAbsent(things, value)]);
        value.tags.push("y");
        value.size = 9;
        await committed;
        expect((await db.get(things, "a"))?.value).toEqual(thing("a", { tags: ["x"] }));
        expect(await idsOf(db, "size", { prefix: [9] })).toEqual([]);
      });

      test("of several collections is one", async () => {
        await store(db, thing("a"));
        const failing = [putIfAbsent(others, thing("a")), putIfAbsent(things, thing("a"))];
        expect((await db.commit(failing)).done).toBe(false);
        expect(await db.get(others, "a")).toBeUndefined();
        const [first] = failing;
        expect(first === undefined ? undefined : (await db.commit([first])).done).toBe(true);
        expect((await db.stats()).counts).toMatchObject({ things: 1, others: 1 });
      });

      test("takes 1,000 ops and refuses 1,001", async () => {
        const ops = Array.from({ length: 1001 }, (_, i) => putIfAbsent(things, thing(`k${i}`)));
        await refused(db.commit(ops), "wrong_use");
        expect((await db.commit(ops.slice(1))).done).toBe(true);
        expect((await db.stats()).counts["things"]).toBe(1000);
      });

      test.each([
        ["put twice", () => [putIfAbsent(things, thing("a")), putIfAbsent(things, thing("a"))]],
        ["updated and deleted", () => [update(things, thing("a"), 1), remove(things, "a", 1)]],
      ] as const)("a key that is %s in one commit is wrong use", async (_, ops) => {
        const error = await refused(db.commit(ops()), "wrong_use");
        expect(error.message).toContain('record "a" of things is changed twice');
        expect(await db.get(things, "a")).toBeUndefined();
      });

      test("the same key of two collections may be changed in one commit", async () => {
        expect((await db.commit([putIfAbsent(things, thing("a")), putIfAbsent(others, thing("a"))])).done).toBe(true);
      });

      test.each(["", "x".repeat(513), "a\0b", "\ud800", "a\udc00b"])(
        "key %j is wrong use, also to read",
        async (key) => {
          await refused(db.commit([putIfAbsent(things, thing(key))]), "wrong_use");
          await refused(db.commit([expectRevision(things, key, "absent")]), "wrong_use");
          await refused(db.get(things, key), "wrong_use");
        },
      );

      test("a value that cannot be encoded or indexed is wrong use", async () => {
        await refused(db.commit([putIfAbsent(things, thing("a", { size: Number.NaN }))]), "wrong_use");
        await refused(db.commit([putIfAbsent(things, thing("a", { owner: "a\0b" }))]), "wrong_use");
        await refused(db.commit([putIfAbsent(things, thing("a", { tags: ["\ud800"] }))]), "wrong_use");
        const broken: Collection<Thing> = {
          ...things,
          encode: () => {
            throw new TypeError("cannot");
          },
        };
        await refused(db.commit([putIfAbsent(broken, thing("a"))]), "wrong_use");
        expect(await db.get(things, "a")).toBeUndefined();
      });

      test.each(["", "Things", "a b", "a\0", "-a", "things1"])("collection name %j is wrong use", async (bad) => {
        await refused(db.get({ ...things, name: bad }, "a"), "wrong_use");
      });

      test("an index named key, or a version below 1, is wrong use", async () => {
        await refused(db.get({ ...others, indexes: { key: () => [] } }, "a"), "wrong_use");
        await refused(db.get({ ...others, version: 0 }, "a"), "wrong_use");
      });
    });

    describe("revisions", () => {
      test("grow by each change of a record", async () => {
        let [revision = 0] = await store(db, thing("a"));
        for (let size = 2; size < 6; size++) {
          const result = await db.commit([update(things, thing("a", { size }), revision)]);
          const next = result.done ? (result.revisions[0] ?? 0) : 0;
          expect(next).toBeGreaterThan(revision);
          expect((await db.get(things, "a"))?.revision).toBe(next);
          revision = next;
        }
      });

      test("never repeat for a key that was deleted and stored again, also within one group", async () => {
        const seen = new Set<number>();
        let [revision = 0] = await store(db, thing("a"));
        seen.add(revision);
        for (let i = 0; i < 5; i++) {
          const [removed, stored] = await Promise.all([
            db.commit([remove(things, "a", revision)]),
            db.commit([putIfAbsent(things, thing("a"))]),
          ]);
          expect([removed.done, stored.done]).toEqual([true, true]);
          revision = stored.done ? (stored.revisions[0] ?? 0) : 0;
          expect(seen.has(revision)).toBe(false);
          seen.add(revision);
        }
      });

      test("one that a commit of the same group will have cannot be used twice", async () => {
        const [revision = 0] = await store(db, thing("a"));
        const guess = revision + 1;
        const results = await Promise.all([
          db.commit([update(things, thing("a", { size: 2 }), revision)]),
          db.commit([remove(things, "a", guess)]),
          db.commit([putIfAbsent(things, thing("a", { size: 3 }))]),
        ]);
        const last = results[2];
        const stored = await db.get(things, "a");
        if (last?.done === true) expect(stored?.revision).toBeGreaterThan(guess);
        else expect(stored?.revision).toBe(guess);
      });
    });

    describe("commits that arrive together", () => {
      test("100 pairs on the same conditions in one tick: each pair has exactly one winner, the first", async () => {
        const revisions = await store(db, ...Array.from({ length: 50 }, (_, i) => thing(`u${i}`)));
        const pair = (i: number, size: number): readonly Op[] => {
          if (i >= 50) return [putIfAbsent(things, thing(`p${i}`, { size }))];
          return [
            update(things, thing(`u${i}`, { size }), revisions[i] ?? 0),
            putIfAbsent(others, thing(`${i}-${size}`)),
          ];
        };
        const results = await Promise.all(
          Array.from({ length: 100 }, (_, i) => [db.commit(pair(i, 10)), db.commit(pair(i, 20))]).flat(),
        );
        for (let i = 0; i < 100; i++) {
          expect([results[2 * i]?.done, results[2 * i + 1]], `pair ${i}`).toEqual([true, { done: false, failed: 0 }]);
          expect((await db.get(things, i < 50 ? `u${i}` : `p${i}`))?.value.size).toBe(10);
        }
        expect((await db.stats()).counts).toMatchObject({ things: 100, others: 50 });
        expect(await idsOf(db, "size", { prefix: [20] })).toEqual([]);
      });

      test("100 commits that spend one token in one tick: one gets it", async () => {
        const [revision = 0] = await store(db, thing("token"));
        const results = await Promise.all(
          Array.from({ length: 100 }, (_, size) =>
            db.commit([update(things, thing("token", { size }), revision), putIfAbsent(others, thing(`c${size}`))]),
          ),
        );
        expect(results.filter(({ done }) => done)).toHaveLength(1);
        expect((await itemsOf(db.scan(others, "key"))).map(({ value }) => value.id)).toEqual(["c0"]);
      });

      test("see the earlier commits of their group", async () => {
        const results = await Promise.all([
          db.commit([expectRevision(things, "a", "absent")]),
          db.commit([putIfAbsent(things, thing("a"))]),
          db.commit([expectRevision(things, "a", "absent"), putIfAbsent(things, thing("b"))]),
          db.commit([putIfAbsent(things, thing("c"))]),
          db.commit([putIfAbsent(things, thing("c"))]),
        ]);
        expect(results.map(({ done }) => done)).toEqual([true, true, false, true, false]);
      });

      test("a failed condition fails its commit alone", async () => {
        const results = await Promise.all(
          Array.from({ length: 20 }, (_, i) =>
            db.commit([putIfAbsent(things, thing(`k${i}`)), expectRevision(things, "x", i % 2 === 0 ? "absent" : 5)]),
          ),
        );
        expect(results.filter(({ done }) => done)).toHaveLength(10);
        expect((await db.stats()).counts["things"]).toBe(10);
      });

      test("a wrong use fails its commit alone", async () => {
        const [good, bad, later] = await Promise.allSettled([
          db.commit([putIfAbsent(things, thing("a"))]),
          db.commit([putIfAbsent(things, thing(""))]),
          db.commit([putIfAbsent(things, thing("b"))]),
        ]);
        expect([good?.status, bad?.status, later?.status]).toEqual(["fulfilled", "rejected", "fulfilled"]);
      });

      test("are answered in the order of arrival", async () => {
        const order: number[] = [];
        await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            db.commit([putIfAbsent(things, thing(`k${i}`))]).then(() => order.push(i)),
          ),
        );
        expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      });
    });

    describe("a write that fails", () => {
      test.each([
        ["not stored", false],
        ["but is stored", true],
      ] as const)("%s: the whole group fails, and a later read tells", async (_, stored) => {
        await store(db, thing("old"));
        under.failNextWrite(stored);
        const group = [
          db.commit([putIfAbsent(things, thing("a", { size: 5 }))]),
          db.commit([putIfAbsent(things, thing("old"))]),
          db.commit([expectRevision(things, "none", "absent")]),
          db.commit([putIfAbsent(things, thing("b", { size: 5 }))]),
        ];
        const answers = await Promise.allSettled(group);
        const codes = answers.map((answer) =>
          answer.status === "rejected" ? (answer.reason as StoreError).code : "done",
        );
        expect(codes).toEqual(["in_doubt", "unavailable", "unavailable", "in_doubt"]);
        await under.recovered();
        expect(await idsOf(db, "size", { prefix: [5] })).toEqual(stored ? ["a", "b"] : []);
        expect((await db.get(things, "a")) !== undefined).toBe(stored);
        expect((await db.stats()).counts["things"]).toBe(stored ? 3 : 1);
        expect((await db.commit([putIfAbsent(things, thing("a"))])).done).toBe(!stored);
      });

      test("gives no revision out again that it had", async () => {
        const [first = 0] = await store(db, thing("a"));
        under.failNextWrite(false);
        await refused(db.commit([update(things, thing("a", { size: 2 }), first)]), "in_doubt");
        await under.recovered();
        const result = await db.commit([update(things, thing("a", { size: 3 }), first)]);
        expect(result.done && (result.revisions[0] ?? 0) > first + 1).toBe(true);
      });
    });

    describe("indexes", () => {
      test("follow an update and a deletion", async () => {
        const [revision = 0] = await store(db, thing("a", { size: 1, tags: ["x", "y"] }));
        const updated = await db.commit([
          update(things, thing("a", { size: 2, owner: "bob", tags: ["y", "z"] }), revision),
        ]);
        expect(await idsOf(db, "size", { prefix: [1] })).toEqual([]);
        expect(await idsOf(db, "size", { prefix: [2] })).toEqual(["a"]);
        expect(await idsOf(db, "owner", { prefix: ["ada"] })).toEqual([]);
        expect(await idsOf(db, "owner", { prefix: ["bob"] })).toEqual(["a"]);
        expect(await idsOf(db, "tag", { prefix: ["x"] })).toEqual([]);
        expect(await idsOf(db, "tag")).toEqual(["a", "a"]);
        await db.commit([remove(things, "a", updated.done ? (updated.revisions[0] ?? 0) : 0)]);
        for (const index of ["size", "owner", "tag", "key"]) expect(await idsOf(db, index), index).toEqual([]);
      });

      test("hold a record once for tuples that are equal, and not at all without a tuple", async () => {
        await store(db, thing("a", { tags: ["x", "x"] }), thing("b"));
        expect(await idsOf(db, "tag")).toEqual(["a"]);
        expect(await idsOf(db, "none")).toEqual([]);
      });

      test("follow several changes of a record within one group", async () => {
        const [revision = 0] = await store(db, thing("a", { size: 1 }));
        await Promise.all([
          db.commit([remove(things, "a", revision)]),
          db.commit([putIfAbsent(things, thing("a", { size: 2 }))]),
          db.commit([putIfAbsent(things, thing("b", { size: 2 }))]),
        ]);
        expect(await idsOf(db, "size")).toEqual(["a", "b"]);
        expect(await idsOf(db, "size", { prefix: [1] })).toEqual([]);
        expect((await db.stats()).counts["things"]).toBe(2);
      });

      test("of two collections are apart", async () => {
        await store(db, thing("a"));
        expect(await itemsOf(db.scan(others, "size"))).toEqual([]);
        expect(await itemsOf(db.scan({ ...things, name: "thing" }, "size"))).toEqual([]);
      });
    });

    describe("scan()", () => {
      const sizes = [-1e300, -2.5, -1, 0, 1e-9, 1, 2, 10, 2 ** 40, 1.7e12, Number.MAX_SAFE_INTEGER];

      test("orders numbers by size", async () => {
        await store(db, ...sizes.toReversed().map((size) => thing(`k${size}`, { size })));
        expect((await itemsOf(db.scan(things, "size"))).map(({ value }) => value.size)).toEqual(sizes);
      });

      test("orders text by its UTF-8 octets, then by key", async () => {
        const owners = [
          "",
          "\x01",
          "A",
          "B",
          "a",
          "a\x01",
          "aa",
          "b",
          "é",
          "\ue000",
          "\uffff",
          "\u{10000}",
          "\u{1f600}",
        ];
        await store(
          db,
          ...owners.toReversed().flatMap((owner, i) => [thing(`${i}-2`, { owner }), thing(`${i}-1`, { owner })]),
        );
        const found = (await itemsOf(db.scan(things, "owner"))).map(({ value }) => value);
        expect(found.map(({ owner }) => owner)).toEqual(owners.flatMap((owner) => [owner, owner]));
        expect(found.map(({ id }) => id.slice(-1)).join("")).toBe("12".repeat(owners.length));
      });

      test("takes from inclusive, to exclusive, and a shorter tuple as a prefix", async () => {
        const made = ["a", "b", "c"].flatMap((owner) =>
          [1, 2, 3].map((size) => thing(`${owner}${size}`, { owner, size })),
        );
        await store(db, ...made);
        expect(await idsOf(db, "owner", { from: ["b"] })).toEqual(["b1", "b2", "b3", "c1", "c2", "c3"]);
        expect(await idsOf(db, "owner", { to: ["b"] })).toEqual(["a1", "a2", "a3"]);
        expect(await idsOf(db, "owner", { from: ["a", 3], to: ["b", 2] })).toEqual(["a3", "b1"]);
        expect(await idsOf(db, "owner", { prefix: ["b"] })).toEqual(["b1", "b2", "b3"]);
        expect(await idsOf(db, "owner", { prefix: ["b"], from: [2] })).toEqual(["b2", "b3"]);
        expect(await idsOf(db, "owner", { prefix: ["b"], to: [3] })).toEqual(["b1", "b2"]);
        expect(await idsOf(db, "owner", { prefix: ["b", 2] })).toEqual(["b2"]);
        expect(await idsOf(db, "owner", { from: ["c"], to: ["a"] })).toEqual([]);
        expect(await idsOf(db, "owner", { prefix: ["bb"] })).toEqual([]);
        expect(await idsOf(db, "owner", { from: [] })).toHaveLength(9);
        expect(await idsOf(db, "owner", { to: [] })).toEqual([]);
        expect(
          await idsOf(db, "size", { from: [Number.NEGATIVE_INFINITY], to: [Number.POSITIVE_INFINITY] }),
        ).toHaveLength(9);
      });

      test("ranges over keys by the index key", async () => {
        await store(db, ...["a", "a/1", "a/2", "b", "\u{1f600}"].map((id) => thing(id)));
        expect(await idsOf(db, "key")).toEqual(["a", "a/1", "a/2", "b", "\u{1f600}"]);
        expect(await idsOf(db, "key", { from: ["a/"], to: ["a0"] })).toEqual(["a/1", "a/2"]);
        expect(await idsOf(db, "key", { prefix: ["a"] })).toEqual(["a"]);
        expect(await idsOf(db, "key", { from: ["b"] })).toEqual(["b", "\u{1f600}"]);
        expect(await idsOf(db, "key", { to: ["a/1"] }, { reverse: true })).toEqual(["a"]);
      });

      test("in reverse gives the same items the other way round", async () => {
        await store(db, ...Array.from({ length: 20 }, (_, i) => thing(`k${i}`, { size: i % 7, tags: [`t${i % 3}`] })));
        for (const [index, range] of [
          ["size", {}],
          ["size", { from: [2], to: [5] }],
          ["tag", { prefix: ["t1"] }],
          ["key", { from: ["k1"], to: ["k5"] }],
        ] as const) {
          const forth = await itemsOf(db.scan(things, index, range));
          expect(forth.length).toBeGreaterThan(2);
          expect(await itemsOf(db.scan(things, index, range, { reverse: true }))).toEqual(forth.toReversed());
        }
      });

      test.each([false, true])("continues after a position, in reverse: %s", async (reverse) => {
        await store(db, ...Array.from({ length: 9 }, (_, i) => thing(`k${i}`, { size: i % 2, tags: ["x", "y"] })));
        for (const [index, range] of [
          ["size", {}],
          ["tag", { prefix: ["x"] }],
          ["key", { from: ["k1"], to: ["k8"] }],
        ] as const) {
          const all = await itemsOf(db.scan(things, index, range, { reverse }));
          const paged: (typeof all)[number][] = [];
          for (let after: string | undefined; ; ) {
            const options = { reverse, limit: 2, ...(after === undefined ? {} : { after }) };
            const page = await itemsOf(db.scan(things, index, range, options));
            paged.push(...page);
            after = page.at(-1)?.position;
            if (after === undefined) break;
          }
          expect(paged, index).toEqual(all);
        }
      });

      test("does not leave its range for a position outside of it", async () => {
        await store(db, ...[1, 2, 3, 4, 5].map((size) => thing(`k${size}`, { size })));
        const [low, , , , high] = await itemsOf(db.scan(things, "size"));
        const middle = { from: [3], to: [4] };
        expect(await idsOf(db, "size", middle, { after: low?.position ?? "" })).toEqual(["k3"]);
        expect(await idsOf(db, "size", middle, { after: high?.position ?? "" })).toEqual([]);
        expect(await idsOf(db, "size", middle, { after: high?.position ?? "", reverse: true })).toEqual(["k3"]);
        expect(await idsOf(db, "size", middle, { after: low?.position ?? "", reverse: true })).toEqual([]);
      });

      test("continues after a position whose record was deleted meanwhile", async () => {
        const [, revision = 0] = await store(db, thing("a"), thing("b"), thing("c"));
        const [, b] = await itemsOf(db.scan(things, "size"));
        await db.commit([remove(things, "b", revision)]);
        expect(await idsOf(db, "size", {}, { after: b?.position ?? "" })).toEqual(["c"]);
      });

      test("takes a limit, also none and more than there are", async () => {
        await store(db, ...Array.from({ length: 300 }, (_, i) => thing(`k${String(i).padStart(3, "0")}`)));
        for (const limit of [0, 1, 127, 128, 129, 300, 1000]) {
          expect(await idsOf(db, "size", {}, { limit }), `${limit}`).toHaveLength(Math.min(limit, 300));
          expect(await idsOf(db, "key", {}, { limit }), `${limit}`).toHaveLength(Math.min(limit, 300));
        }
      });

      test("sees the moment at which it began, whatever is committed meanwhile", async () => {
        const revisions = await store(db, ...Array.from({ length: 400 }, (_, i) => thing(`k${i}`, { size: i })));
        for (const index of ["size", "key"]) {
          const seen: Thing[] = [];
          for await (const { value } of db.scan(things, index)) {
            if (seen.length === 0) {
              const id = `k399`;
              const at = (await db.get(things, id))?.revision ?? 0;
              await db.commit([
                index === "size" ? update(things, thing(id, { size: 1000 }), at) : remove(things, id, at),
                putIfAbsent(things, thing(`later-${index}`, { size: 398.5 })),
              ]);
            }
            seen.push(value);
          }
          expect(seen.filter(({ id }) => id === "k399")).toEqual([
            thing("k399", { size: index === "size" ? 399 : 1000 }),
          ]);
          expect(seen.some(({ id }) => id === `later-${index}`)).toBe(false);
        }
        expect(revisions).toHaveLength(400);
      });

      test("can be left early, and run several at a time", async () => {
        await store(db, ...Array.from({ length: 300 }, (_, i) => thing(`k${i}`, { size: i })));
        for await (const { value } of db.scan(things, "size")) if (value.size === 5) break;
        const all = await Promise.all([1, 2, 3].map(() => idsOf(db, "size")));
        expect(all.map(({ length }) => length)).toEqual([300, 300, 300]);
      });

      test("gives the revisions that get() gives", async () => {
        await store(db, thing("a"), thing("b"));
        for (const item of await itemsOf(db.scan(things, "owner"))) {
          expect(await db.get(things, item.value.id)).toEqual({ value: item.value, revision: item.revision });
        }
      });

      test.each([
        ["an unknown index", "colour", {}, {}],
        ["an inherited name", "toString", {}, {}],
        ["a limit below 0", "size", {}, { limit: -1 }],
        ["half a limit", "size", {}, { limit: 1.5 }],
        ["NaN as limit", "size", {}, { limit: Number.NaN }],
        ["a position that is none", "size", {}, { after: "!" }],
        ["an empty position", "size", {}, { after: "" }],
        ["NaN in a range", "size", { from: [Number.NaN] }, {}],
        ["a NUL in a range", "owner", { prefix: ["a\0"] }, {}],
        ["a number as key", "key", { from: [1] }, {}],
        ["two keys", "key", { from: ["a", "b"] }, {}],
      ] as const)("%s is wrong use", async (_, index, range, options) => {
        await refused(itemsOf(db.scan(things, index, range, options)), "wrong_use");
      });
    });

    describe("stats() and health()", () => {
      test("counts are exact after every change, and none of a failed commit", async () => {
        const [a = 0, b = 0] = await store(db, thing("a"), thing("b"));
        await db.commit([
          update(things, thing("a", { size: 2 }), a),
          remove(things, "b", b),
          putIfAbsent(others, thing("c")),
        ]);
        await db.commit([putIfAbsent(things, thing("d")), expectRevision(things, "a", a)]);
        expect((await db.stats()).counts).toMatchObject({ things: 1, others: 1 });
      });

      test("lastCommitAt is the time of the last durable commit, undefined before", async () => {
        expect((await db.stats()).lastCommitAt).toBeUndefined();
        const before = Date.now();
        await store(db, thing("a"));
        const { lastCommitAt = 0 } = await db.stats();
        expect(lastCommitAt).toBeGreaterThanOrEqual(before);
        expect(lastCommitAt).toBeLessThanOrEqual(Date.now());
      });

      test("health is good after a commit and bad once closed", async () => {
        await store(db, thing("a"));
        expect(db.health().ok).toBe(true);
        await db.close();
        expect(db.health()).toMatchObject({ ok: false, detail: "the store is closed" });
      });
    });

    describe("close()", () => {
      test("finishes the waiting commits; later calls are closed", async () => {
        const waiting = Array.from({ length: 30 }, (_, i) => db.commit([putIfAbsent(things, thing(`k${i}`))]));
        const closing = db.close();
        await refused(db.commit([putIfAbsent(things, thing("late"))]), "closed");
        expect((await Promise.all(waiting)).every(({ done }) => done)).toBe(true);
        await closing;
        await refused(db.get(things, "k1"), "closed");
        await refused(itemsOf(db.scan(things, "size")), "closed");
        await refused(db.commit([]), "closed");
        await db.close();
      });

      test("ends a scan that is under way", async () => {
        await store(db, ...Array.from({ length: 300 }, (_, i) => thing(`k${i}`)));
        const scan = db.scan(things, "size")[Symbol.asyncIterator]();
        await scan.next();
        await db.close();
        const rest = (async () => {
          while ((await scan.next()).done !== true);
        })();
        await refused(rest, "closed");
      });
    });
  });
}
