import { beforeEach, describe, expect, test } from "vitest";
import { withCache } from "../../../src/store/cache.ts";
import { type StoreCall, withFaults } from "../../../src/store/faults.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { expectRevision, putIfAbsent, remove, type Store, StoreError, update } from "../../../src/store/store.ts";
import { others, thing, things } from "../../fakes/things.ts";

let store: Store;
let cached: Store;
let gets: string[];
let hold: Promise<void> | undefined;
let inDoubt: boolean;

beforeEach(() => {
  gets = [];
  hold = undefined;
  inDoubt = false;
  store = createMemoryStore({ clock: { now: () => new Date(0) } });
  const watched = withFaults(store, {
    before(call: StoreCall) {
      if (call.operation === "get") gets.push(call.key);
      return undefined;
    },
    after: (call) => {
      if (call.operation === "commit" && inDoubt) return new StoreError("in_doubt", "planted");
      return hold?.then(() => undefined);
    },
  });
  cached = withCache(watched, { collections: ["things"], maxRecords: 3 });
});

async function put(id: string): Promise<number> {
  const result = await cached.commit([putIfAbsent(things, thing(id))]);
  return result.done ? (result.revisions[0] ?? 0) : 0;
}

describe("withCache()", () => {
  test("reads a record once, of the named collections only", async () => {
    await put("a");
    await cached.commit([putIfAbsent(others, thing("a"))]);
    for (let i = 0; i < 3; i++) {
      expect((await cached.get(things, "a"))?.value).toEqual(thing("a"));
      expect((await cached.get(others, "a"))?.value).toEqual(thing("a"));
    }
    expect(gets).toHaveLength(4);
  });

  test("reads that start together are one", async () => {
    await put("a");
    await Promise.all([cached.get(things, "a"), cached.get(things, "a")]);
    expect(gets).toEqual(["a"]);
  });

  test("sees its own update and deletion at once", async () => {
    const revision = await put("a");
    await cached.get(things, "a");
    const updated = await cached.commit([update(things, thing("a", { size: 2 }), revision)]);
    expect((await cached.get(things, "a"))?.value.size).toBe(2);
    await cached.commit([remove(things, "a", updated.done ? (updated.revisions[0] ?? 0) : 0)]);
    expect(await cached.get(things, "a")).toBeUndefined();
  });

  test("does not remember that a key had no value", async () => {
    expect(await cached.get(things, "a")).toBeUndefined();
    await store.commit([putIfAbsent(things, thing("a"))]);
    expect(await cached.get(things, "a")).toBeDefined();
  });

  test("reads a key anew after a condition on it failed", async () => {
    const revision = await put("a");
    await cached.get(things, "a");
    await store.commit([update(things, thing("a", { size: 2 }), revision)]);
    expect((await cached.get(things, "a"))?.value.size).toBe(1);
    expect(await cached.commit([expectRevision(things, "a", revision)])).toEqual({ done: false, failed: 0 });
    expect((await cached.get(things, "a"))?.value.size).toBe(2);
  });

  test("reads a key anew after a commit in doubt", async () => {
    const revision = await put("a");
    await cached.get(things, "a");
    inDoubt = true;
    await expect(cached.commit([update(things, thing("a", { size: 2 }), revision)])).rejects.toMatchObject({
      code: "in_doubt",
    });
    expect((await cached.get(things, "a"))?.value.size).toBe(2);
  });

  test("a read that a commit overtook is not remembered", async () => {
    const revision = await put("a");
    let release = (): void => undefined;
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const slow = cached.get(things, "a");
    hold = undefined;
    await cached.commit([update(things, thing("a", { size: 2 }), revision)]);
    release();
    expect((await slow)?.value.size).toBe(1);
    expect((await cached.get(things, "a"))?.value.size).toBe(2);
  });

  test("nothing is remembered while a commit that changes it is under way", async () => {
    const revision = await put("a");
    let release = (): void => undefined;
    hold = new Promise((resolve) => {
      release = resolve;
    });
    const committing = cached.commit([update(things, thing("a", { size: 2 }), revision)]);
    hold = undefined;
    await cached.get(things, "a");
    release();
    await committing;
    expect((await cached.get(things, "a"))?.value.size).toBe(2);
  });

  test("forgets what was not asked for longest", async () => {
    for (const id of ["a", "b", "c", "d"]) await put(id);
    for (const id of ["a", "b", "c", "a", "d"]) await cached.get(things, id);
    gets.length = 0;
    for (const id of ["a", "c", "d"]) await cached.get(things, id);
    expect(gets).toEqual([]);
    await cached.get(things, "b");
    expect(gets).toEqual(["b"]);
  });

  test("a read that failed is not remembered", async () => {
    await put("a");
    await expect(cached.get(things, "")).rejects.toMatchObject({ code: "wrong_use" });
    await cached.close();
    await expect(cached.get(things, "a")).rejects.toMatchObject({ code: "closed" });
  });
});
