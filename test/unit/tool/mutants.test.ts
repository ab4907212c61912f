import { expect, test } from "vitest";
import { mutants } from "../../mutants/mutants.ts";
import { runTests } from "../../mutants/run.ts";
import { misplaced } from "../../mutants/snippets.ts";

// The pass itself takes minutes; what would let it rot is seen here.
test("each mutant's snippet is exactly once in its file, and its name is its own", async () => {
  expect(await misplaced(mutants)).toEqual([]);
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
  expect(mutants.length).toBeGreaterThanOrEqual(24);
});

test("misplaced() names a snippet that is gone, one that is there twice, and a test that is gone", async () => {
  const [one] = mutants;
  if (one === undefined) throw new Error("no mutants");
  const list = [
    { ...one, name: "gone", from: "no such text" },
    { ...one, name: "twice", from: "throw new X509Error" },
    { ...one, name: "same", to: one.from },
    { ...one, name: "untested", test: "test/unit/none.test.ts" },
  ];
  expect((await misplaced(list)).map((fault) => fault.split(":")[0])).toEqual(["gone", "twice", "same", "untested"]);
});

test("runTests() tells a test that fails from one that does not load, and reads the planted snippet", async () => {
  const file = "src/spiffe/kind.ts";
  const wrong = { file, from: 'return "reserved";\n    case "signet":', to: 'return "workload";\n    case "signet":' };
  const files = ["test/unit/spiffe/kind.test.ts"];
  const withinMs = 60_000;
  const [well, planted, broken] = await Promise.all([
    runTests({ files, withinMs }),
    runTests({ files, withinMs, planted: wrong }),
    runTests({ files, withinMs, planted: { ...wrong, to: "this is no program" } }),
  ]);
  expect(well.failed).toEqual([]);
  expect(well.passed.length).toBeGreaterThan(3);
  expect(planted.failed.length).toBeGreaterThan(0);
  expect(planted.broken).toBe("");
  expect(broken.failed).toEqual([]);
  expect(broken.broken).toContain("kind.test.ts");
});
