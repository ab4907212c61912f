// Both adapters against a model of a few lines: random groups of commits, reads and scans, and for level reopening.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  expectRevision,
  type Op,
  putIfAbsent,
  remove,
  type ScanRange,
  type Store,
  type Stored,
  update,
} from "../../src/store/store.ts";
import { itemsOf, type Thing, thing, things } from "../fakes/things.ts";
import { levelUnderTest, memoryUnderTest } from "./stores.ts";

const KEYS = ["a", "b", "ab", "\u{1f600}", "\ufffd"];
const SIZES = [-1.5, 0, 1, 2, 1e12];

const value = fc.record({
  id: fc.constantFrom(...KEYS),
  size: fc.constantFrom(...SIZES),
  owner: fc.constantFrom("", "ada", "bob", "\u{1f600}", "\ufffd"),
  tags: fc.array(fc.constantFrom("x", "y", "z"), { maxLength: 3 }),
});
/** What an op says of the revision: the one held before the tick, or another. */
const planned = fc.record({
  kind: fc.constantFrom("put_if_absent", "update", "expect", "delete"),
  value,
  revision: fc.constantFrom("held", "held", "held", "other", "absent"),
});
const bound = fc.tuple(fc.constantFrom("", "ada", "b", "\ufffd"), fc.constantFrom(...SIZES));
const range = fc.record(
  { from: bound, to: bound, prefix: fc.constantFrom(["ada"], ["bob", 1], []) },
  { requiredKeys: [] },
) as fc.Arbitrary<ScanRange>;
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      what: fc.constant("commit" as const),
      commits: fc.array(fc.array(planned, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant("scan" as const),
      range,
      reverse: fc.boolean(),
      limit: fc.constantFrom(1, 2, 100),
    }),
  },
  { weight: 1, arbitrary: fc.record({ what: fc.constant("reopen" as const) }) },
);
type Planned = typeof planned extends fc.Arbitrary<infer P> ? P : never;

/** The promises of the port in the plainest words: a map. A revision that is not known yet equals nothing. */
class Model {
  readonly records = new Map<string, { value: Thing; revision: number | undefined }>();

  commit(ops: readonly Op[]): number | undefined {
    const failed = ops.findIndex((op) => {
      const held = this.records.get(op.key);
      const wanted = op.kind === "put_if_absent" ? "absent" : op.revision;
      return wanted === "absent" ? held !== undefined : held === undefined || held.revision !== wanted;
    });
    if (failed >= 0) return failed;
    for (const op of ops) {
      if (op.kind === "delete") this.records.delete(op.key);
      else if (op.kind !== "expect") this.records.set(op.key, { value: op.value as Thing, revision: undefined });
    }
    return undefined;
  }

  scan({ from, to, prefix = [] }: ScanRange, reverse: boolean): readonly string[] {
    const found = [...this.records.values()].map(({ value: { owner, size, id } }) => ({ tuple: [owner, size], id }));
    const inRange = found.filter(({ tuple }) => {
      const rest = tuple.slice(prefix.length);
      const begins = prefix.every((part, i) => part === tuple[i]);
      return begins && (from === undefined || order(rest, from) >= 0) && (to === undefined || order(rest, to) < 0);
    });
    inRange.sort((a, b) => order([...a.tuple, a.id], [...b.tuple, b.id]));
    return (reverse ? inRange.reverse() : inRange).map(({ id }) => id);
  }
}

function order(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i] ?? 0, b[i] ?? 0];
    // Numbers come before text, as a range may hold either at a place.
    const difference =
      typeof x === "number" && typeof y === "number"
        ? x - y
        : typeof x === "string" && typeof y === "string"
          ? Buffer.compare(Buffer.from(x), Buffer.from(y))
          : typeof x === "number"
            ? -1
            : 1;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function opsOf(plans: readonly Planned[], model: Model): readonly Op[] {
  const changed = new Set<string>();
  return plans.flatMap(({ kind, value: planned, revision: which }): Op[] => {
    const held = model.records.get(planned.id)?.revision;
    const revision = which === "held" && held !== undefined ? held : 1_000_000;
    if (kind === "expect") {
      return [
        expectRevision(
          things,
          planned.id,
          which === "absent" || (which === "held" && held === undefined) ? "absent" : revision,
        ),
      ];
    }
    if (changed.has(planned.id)) return [];
    changed.add(planned.id);
    if (kind === "put_if_absent") return [putIfAbsent(things, thing(planned.id, planned))];
    return [
      kind === "delete" ? remove(things, planned.id, revision) : update(things, thing(planned.id, planned), revision),
    ];
  });
}

async function run(
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
  open: { store: Store; reopen?: () => Promise<Store> },
): Promise<void> {
  const model = new Model();
  const given = new Set<number>();
  let { store } = open;
  for (const next of steps) {
    if (next.what === "reopen" && open.reopen !== undefined) {
      await store.close();
      store = await open.reopen();
    }
    if (next.what === "commit") {
      const commits = next.commits.map((plans) => opsOf(plans, model));
      const results = await Promise.all(commits.map((ops) => store.commit(ops)));
      for (const [i, result] of results.entries()) {
        const ops = commits[i] ?? [];
        const failed = model.commit(ops);
        expect(result.done ? undefined : result.failed).toBe(failed);
        if (!result.done) continue;
        const fresh = new Set<number>();
        for (const [j, op] of ops.entries()) {
          const revision = result.revisions[j];
          const wrote = op.kind === "update" || op.kind === "put_if_absent";
          expect(revision !== undefined).toBe(wrote);
          if (revision === undefined) continue;
          for (const old of given) expect(revision).toBeGreaterThan(old);
          fresh.add(revision);
          const record = model.records.get(op.key);
          if (record !== undefined) record.revision = revision;
        }
        for (const revision of fresh) given.add(revision);
      }
    }
    if (next.what === "scan") {
      const expected = model.scan(next.range, next.reverse).slice(0, next.limit);
      const items = await itemsOf(
        store.scan(things, "owner", next.range, { reverse: next.reverse, limit: next.limit }),
      );
      expect(items.map(({ value: { id } }) => id)).toEqual(expected);
    }
    await compare(store, model);
  }
}

async function compare(store: Store, model: Model): Promise<void> {
  for (const key of KEYS) {
    const stored: Stored<Thing> | undefined = await store.get(things, key);
    expect(stored).toEqual(model.records.get(key));
  }
  const tags = await itemsOf(store.scan(things, "tag"));
  const expected = [...model.records.values()].reduce((sum, { value: { tags: held } }) => sum + new Set(held).size, 0);
  expect(tags).toHaveLength(expected);
  expect((await store.stats()).counts["things"] ?? 0).toBe(model.records.size);
}

describe("the stores and a model", () => {
  const steps = fc.array(step, { minLength: 1, maxLength: 12 });

  test("memory does what the model does", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const under = await memoryUnderTest();
        await run(all, under);
        await under.dispose();
      }),
      { numRuns: 300 },
    );
  });

  test("level does what the model does, also when it is opened anew in between", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const under = await levelUnderTest();
        try {
          await run(all, { store: under.store, reopen: () => under.open() });
        } finally {
          await under.dispose();
        }
      }),
      { numRuns: 60 },
    );
  });
});
