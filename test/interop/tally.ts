import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** Counts what held and what did not, and prints each as a line. */
export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;

  ok(text: string): void {
    this.passed += 1;
    this.say(`ok   ${text}`);
  }

  fail(text: string): void {
    this.failed += 1;
    this.say(`FAIL ${text}`);
  }

  skip(text: string): void {
    this.skipped += 1;
    this.say(`skip ${text}`);
  }

  say(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** One thing that must not throw. */
  async held(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.ok(name);
    } catch (error) {
      this.fail(`${name}: ${error instanceof Error ? error.message.split("\n").slice(0, 3).join(" ") : String(error)}`);
    }
  }
}

const installWithinMs = 300_000;
const checkWithinMs = 180_000;

/** The folder of checks of others, or undefined. */
export function checksFolder(): string | undefined {
  const shared = process.env["SHARED"] ?? join(import.meta.dirname, "../../../shared");
  const folder = join(shared, "checks");
  return existsSync(folder) ? folder : undefined;
}

/** Fetches the tools of a check; false, with a printed reason, when they cannot be had. */
export async function install(tally: Tally, name: string): Promise<boolean> {
  const folder = checksFolder();
  if (folder === undefined) return false;
  try {
    await promisify(execFile)(join(folder, name, "install.sh"), { timeout: installWithinMs });
    return true;
  } catch (error) {
    const said =
      error instanceof Error && "stderr" in error ? String(error.stderr).trim().split("\n").at(-1) : String(error);
    tally.skip(`${name}: its tools cannot be installed: ${said ?? ""}`);
    return false;
  }
}

/** Runs a check and counts its `ok` and `FAIL` lines; one that ends badly without a FAIL is one failure. */
export async function check(
  tally: Tally,
  name: string,
  options: {
    readonly args: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    readonly onLine?: (line: string) => void;
  },
): Promise<void> {
  const folder = checksFolder();
  if (folder === undefined) return;
  tally.say(`--- ${name} ${options.args.map((arg) => arg.split("/").at(-1)).join(" ")}`);
  const child = spawn(join(folder, name, "run.sh"), options.args, {
    // Proxies live in sbin, which not every user has in PATH.
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`, ...options.env },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: checkWithinMs,
  });
  let failures = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    options.onLine?.(line);
    if (line.startsWith("ok ")) tally.ok(`${name}: ${line.slice(3).trim()}`);
    else if (line.startsWith("FAIL ")) {
      failures += 1;
      tally.fail(`${name}: ${line.slice(5).trim()}`);
    } else if (!/^(?:PASS|FAILED)/.test(line)) tally.say(line);
  }
  const code = child.exitCode ?? (await new Promise<number | null>((resolve) => child.once("exit", resolve)));
  if (code !== 0 && failures === 0) tally.fail(`${name} ended with ${code ?? child.signalCode}`);
}
