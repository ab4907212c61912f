import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-e2e-bench-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const bench = (...args: readonly string[]): Promise<{ readonly stdout: string }> =>
  promisify(execFile)(process.execPath, [...process.execArgv, join(root, "test/bench/main.ts"), ...args], {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder },
  });

it("bench --quick prints a ratio to raw crypto for each kind of work, and leaves nothing", async () => {
  const { stdout } = await bench("--quick", "-o", "json");
  const { works } = JSON.parse(stdout) as {
    readonly works: readonly { readonly work: string; readonly ratio: number }[];
  };
  expect(works.map(({ work }) => work)).toEqual([
    "one RPC each, 64 in flight",
    "one RPC each, 16 in flight",
    "batches of 50, 4 in flight",
  ]);
  // How fast it is, is for people to read: a test only sees that there is a number.
  for (const { ratio } of works) expect(ratio).toBeGreaterThan(0);
  expect(await readdir(folder)).toEqual([]);
});

it("bench with a flag that it does not know ends with 2", async () => {
  await expect(bench("--seconds", "0")).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("1 to 60") });
});
