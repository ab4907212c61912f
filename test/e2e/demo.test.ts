import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { until } from "../../src/cli/demo/wait.ts";
import { systemClock } from "../../src/platform/clock.ts";

const root = join(import.meta.dirname, "../..");
let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-e2e-demo-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface Demo {
  readonly pid: number;
  readonly lines: readonly string[];
  /** Resolves when a line matches. */
  shown(pattern: RegExp): Promise<string>;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts `signet demo` as `npm run demo` does, with a temporary directory of its own. */
function startDemo(...args: readonly string[]): Demo {
  const command = [...process.execArgv, join(root, "src/cli/main.ts"), "demo", ...args];
  const child = spawn(process.execPath, command, {
    cwd: folder,
    env: { ...process.env, TMPDIR: folder, DEMO_MARK: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const waiting: { readonly pattern: RegExp; readonly resolve: (line: string) => void }[] = [];
  const take = (line: string): void => {
    lines.push(line);
    for (const each of waiting) if (each.pattern.test(line)) each.resolve(line);
  };
  createInterface({ input: child.stdout }).on("line", take);
  createInterface({ input: child.stderr }).on("line", take);
  const { promise: ended, resolve } = Promise.withResolvers<number | null>();
  child.once("close", resolve);
  return {
    pid: child.pid ?? 0,
    lines,
    shown: (pattern) => {
      const before = lines.find((line) => pattern.test(line));
      if (before !== undefined) return Promise.resolve(before);
      const found = new Promise<string>((done) => waiting.push({ pattern, resolve: done }));
      const over = ended.then(() => Promise.reject(new Error(`never said ${pattern}:\n${lines.join("\n")}`)));
      return Promise.race([found, over]);
    },
    ended,
    kill: (signal) => void child.kill(signal),
  };
}

function numbers(line: string | undefined): Readonly<Record<string, string>> {
  expect(line).toMatch(
    /^demo: calls=\d+ failed=\d+ retried=\d+ handshakes=\d+ rotations=\d+ authorities=\d+ refused=\d+ tls=\S+$/,
  );
  return Object.fromEntries(
    (line ?? "")
      .slice("demo: ".length)
      .split(" ")
      .map((field) => field.split("=")),
  );
}

/** Pids of processes that inherited the mark of this test; Linux only. */
async function left(): Promise<readonly number[]> {
  if (!existsSync("/proc/self/environ")) return [];
  const pids = (await readdir("/proc")).map(Number).filter((pid) => pid > 0 && pid !== process.pid);
  const environments = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/environ`, "latin1").catch(() => "")));
  return pids.filter((_, index) => environments[index]?.includes(`DEMO_MARK=${folder}\0`));
}

async function nothingLeft(): Promise<void> {
  const patience = {
    clock: systemClock,
    signal: new AbortController().signal,
    what: "no process left",
    limitMs: 10_000,
  };
  await until(async () => ((await left()).length === 0 ? true : undefined), patience);
}

it("demo: many rotations, one change of the intermediate, four strangers, no failed call", {
  timeout: 120_000,
}, async () => {
  const dir = join(folder, "kept");
  const demo = startDemo("--for", "16s", "--ttl", "6s", "--dir", dir);
  const code = await demo.ended;
  const totals = numbers(demo.lines.at(-1));
  expect(totals, demo.lines.join("\n")).toMatchObject({ failed: "0", authorities: "2", refused: "4", tls: "TLSv1.3" });
  expect(code).toBe(0);
  expect(Number(totals["rotations"])).toBeGreaterThanOrEqual(4);
  expect(Number(totals["calls"])).toBeGreaterThanOrEqual(16 * 2 * 10);
  expect(Number(totals["handshakes"])).toBeGreaterThanOrEqual(16 * 2);
  expect((await readdir(dir)).sort()).toEqual(["a", "b", "endpoints.json", "events.jsonl"]);
  const endpoints: unknown = JSON.parse(await readFile(join(dir, "endpoints.json"), "utf8"));
  const address = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
  expect(endpoints).toEqual({ server: address, a: address, b: address });
  expect(await readdir(join(dir, "a"))).toEqual(
    expect.arrayContaining(["tls.crt", "tls.key", "ca.crt", "identity.json"]),
  );
  const events = (await readFile(join(dir, "events.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events).toContainEqual(expect.objectContaining({ from: "service b", event: "refused", reason: "expired" }));
  // Nothing else is left behind: no process, no data directory.
  expect(await readdir(folder)).toEqual(["kept"]);
  await nothingLeft();
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  it(`demo: ${signal} in the middle gives summary and last line, exit 130, and leaves nothing`, {
    timeout: 90_000,
  }, async () => {
    const demo = startDemo("--for", "60s", "--ttl", "6s");
    await demo.shown(/first one was answered/);
    await demo.shown(/2nd identity on disk/);
    demo.kill(signal);
    expect(await demo.ended, demo.lines.join("\n")).toBe(130);
    expect(numbers(demo.lines.at(-1))).toMatchObject({ failed: "0" });
    expect(demo.lines.some((line) => line.startsWith("stopped after "))).toBe(true);
    await nothingLeft();
    expect(await readdir(folder)).toEqual([]);
  });
}

it("demo: an interruption before anything runs leaves nothing either", { timeout: 60_000 }, async () => {
  const demo = startDemo("--for", "60s");
  await demo.shown(/root-1/);
  demo.kill("SIGINT");
  expect(await demo.ended, demo.lines.join("\n")).toBe(130);
  expect(numbers(demo.lines.at(-1))).toMatchObject({ calls: "0", tls: "none" });
  await nothingLeft();
  expect(await readdir(folder)).toEqual([]);
});

it("demo: a process that dies unasked is named, the last line still comes, exit 1", { timeout: 90_000 }, async () => {
  const demo = startDemo("--for", "60s", "--ttl", "6s", "--dir", join(folder, "kept"));
  await demo.shown(/first one was answered/);
  const events = await readFile(join(folder, "kept/events.jsonl"), "utf8");
  const agent = events.split("\n").find((line) => line.includes('"agent two"'));
  process.kill((JSON.parse(agent ?? "{}") as { readonly pid: number }).pid, "SIGKILL");
  expect(await demo.ended, demo.lines.join("\n")).toBe(1);
  expect(demo.lines).toContainEqual(expect.stringContaining("agent two ended unasked, SIGKILL"));
  numbers(demo.lines.at(-1));
  await nothingLeft();
});

it("demo: killed by SIGKILL it still leaves no process", { timeout: 90_000 }, async () => {
  const demo = startDemo("--for", "60s");
  await demo.shown(/first one was answered/);
  demo.kill("SIGKILL");
  await demo.ended;
  await nothingLeft();
});

it("demo: a --dir that holds something else is refused, exit 2", async () => {
  const demo = startDemo("--dir", root);
  expect(await demo.ended).toBe(2);
  expect(demo.lines[0]).toMatch(/^signet: cannot use .*: it holds .*, which is not a former demo's$/);
});
