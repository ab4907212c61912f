// One run of named tests in processes of their own, with or without a planted breach.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Mutant } from "./mutants.ts";

/** The repository's root. */
export const root: string = fileURLToPath(new URL("../..", import.meta.url));

/** What tests said: the names of tests by how each ended. */
export interface TestRun {
  readonly passed: readonly string[];
  /** Failed by what they assert. */
  readonly failed: readonly string[];
  /** Failed because they did not end in time. */
  readonly late: readonly string[];
  /** What did not even load, or why there is no report; empty when all is well. */
  readonly broken: string;
}

export interface RunOptions {
  readonly files: readonly string[];
  /** Only tests with this text in their full name. */
  readonly only?: string;
  readonly planted?: Pick<Mutant, "file" | "from" | "to">;
  /** After so long the run is given up. */
  readonly withinMs: number;
  /** Instead of what the project says. */
  readonly testTimeoutMs?: number;
}

/** Runs tests with vitest. A run that hangs is ended, with all it started. */
export async function runTests(options: RunOptions): Promise<TestRun> {
  const dir = await mkdtemp(join(tmpdir(), "signet-mutant-"));
  const report = join(dir, "report.json");
  try {
    const { ended, output } = await vitest(options, report);
    const text = await readFile(report, "utf8").catch(() => undefined);
    if (!ended) return { passed: [], failed: [], late: [], broken: `no end within ${options.withinMs / 1000} s` };
    if (text === undefined) return { passed: [], failed: [], late: [], broken: `no report: ${output.slice(-2000)}` };
    return read(JSON.parse(text) as Report);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

function read({ testResults }: Report): TestRun {
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const isLate = ({ failureMessages }: (typeof all)[number]): boolean =>
    failureMessages.length > 0 && failureMessages.every((message) => /timed out in \d+ ?ms/.test(message));
  const failures = all.filter(({ status }) => status === "failed");
  // A file that fails without a failed test did not load, or one of its hooks failed.
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((each) => each.status === "failed"),
  );
  return {
    passed: all.filter(({ status }) => status === "passed").map(({ title }) => title),
    failed: failures.filter((each) => !isLate(each)).map(({ title }) => title),
    late: failures.filter(isLate).map(({ title }) => title),
    broken: broken.map(({ name, message }) => `${name}: ${message}`).join("\n"),
  };
}

function vitest(options: RunOptions, report: string): Promise<{ readonly ended: boolean; readonly output: string }> {
  const { planted, only, testTimeoutMs } = options;
  const args = [
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=json",
    `--outputFile=${report}`,
    ...(testTimeoutMs === undefined ? [] : [`--testTimeout=${testTimeoutMs}`]),
    ...(only === undefined ? [] : ["-t", only.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")]),
    ...options.files,
  ];
  const plan =
    planted === undefined
      ? {}
      : {
          SIGNET_MUTANT: JSON.stringify({
            url: pathToFileURL(join(root, planted.file)).href,
            from: planted.from,
            to: planted.to,
          }),
          NODE_OPTIONS: `--import ${new URL("./substitute.ts", import.meta.url).href}`,
        };
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...plan, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    let ended = true;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output = `${output}${text}`.slice(-8000);
      });
    }
    const late = setTimeout(() => {
      ended = false;
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, options.withinMs);
    child.once("close", () => {
      clearTimeout(late);
      resolve({ ended, output });
    });
  });
}
