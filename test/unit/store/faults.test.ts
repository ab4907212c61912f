import { describe, expect, test } from "vitest";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { putIfAbsent, StoreError } from "../../../src/store/store.ts";
import { itemsOf, thing, things } from "../../fakes/things.ts";

const clock = { now: (): Date => new Date(0) };

describe("faults of the memory store", () => {
  test("before: the call fails and nothing is stored; the numbers count each operation", async () => {
    const calls: string[] = [];
    const store = createMemoryStore({
      clock,
      faults: {
        before(call) {
          calls.push(`${call.operation} ${call.number}`);
          return call.operation === "commit" && call.number === 2
            ? new StoreError("unavailable", "planted")
            : undefined;
        },
      },
    });
    await store.commit([putIfAbsent(things, thing("a"))]);
    await expect(store.commit([putIfAbsent(things, thing("b"))])).rejects.toThrow("planted");
    expect(await store.get(things, "b")).toBeUndefined();
    expect(await itemsOf(store.scan(things, "key"))).toHaveLength(1);
    expect(calls).toEqual(["commit 1", "commit 2", "get 1", "scan 1"]);
  });

  test("after: the call fails although it was stored", async () => {
    const after = (): StoreError => new StoreError("in_doubt", "planted");
    const store = createMemoryStore({
      clock,
      faults: { after: (call) => (call.operation === "commit" ? after() : undefined) },
    });
    await expect(store.commit([putIfAbsent(things, thing("a"))])).rejects.toMatchObject({ code: "in_doubt" });
    expect(await store.get(things, "a")).toBeDefined();
  });

  test("a promise delays the call until it resolves", async () => {
    let release = (): void => undefined;
    const held = new Promise<undefined>((resolve) => {
      release = () => resolve(undefined);
    });
    const store = createMemoryStore({ clock, faults: { before: (call) => (call.number === 1 ? held : undefined) } });
    const late = store.commit([putIfAbsent(things, thing("a", { size: 1 }))]);
    expect((await store.commit([putIfAbsent(things, thing("a", { size: 2 }))])).done).toBe(true);
    release();
    expect(await late).toEqual({ done: false, failed: 0 });
  });

  test("a get and a scan can fail too", async () => {
    const store = createMemoryStore({ clock, faults: { before: () => new StoreError("damaged", "planted") } });
    await expect(store.get(things, "a")).rejects.toMatchObject({ code: "damaged" });
    await expect(itemsOf(store.scan(things, "key"))).rejects.toMatchObject({ code: "damaged" });
  });
});
