// Runs the command line in this process as a terminal or pipe would see it.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type {
  CliContext,
  InitOptions,
  InitResult,
  RunAgentOptions,
  RunServerOptions,
} from "../../../src/cli/context.ts";
import { runCli } from "../../../src/cli/program.ts";
import { fakeNow } from "../../fakes/fake-admin.ts";

export interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Both, in the order written, as a person sees them. */
  readonly screen: string;
}

export interface RunOptions {
  readonly terminal?: boolean;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** What is typed, or piped in. */
  readonly input?: string;
  readonly cwd?: string;
  readonly etcDir?: string;
  readonly interrupt?: AbortController;
  readonly starters?: Partial<CliContext["starters"]>;
}

export async function run(args: readonly string[], options: RunOptions = {}): Promise<Run> {
  const terminal = options.terminal ?? true;
  let stdout = "";
  let stderr = "";
  let screen = "";
  const columns = (): number | undefined => (terminal ? (options.columns ?? 80) : undefined);
  let rest = options.input ?? "";
  const interrupt = options.interrupt ?? new AbortController();
  const code = await runCli(
    {
      out: { write: (text) => void ((stdout += text), (screen += text)), isTerminal: terminal, columns },
      err: { write: (text) => void ((stderr += text), (screen += text)), isTerminal: terminal, columns },
      input: {
        isTerminal: terminal,
        line: (signal) => {
          if (rest === "" || signal?.aborted === true) return Promise.resolve(undefined);
          const [line = "", ...others] = rest.split("\n");
          rest = others.join("\n");
          screen += `${line}\n`; // A terminal shows what is typed.
          return Promise.resolve(line);
        },
        all: () => Promise.resolve(rest),
      },
      // No colours in goldens; a test that wants them says so.
      env: { NO_COLOR: "1", ...options.env },
      cwd: options.cwd ?? "/nowhere",
      clock: {
        now: () => fakeNow,
        monotonicMs: () => performance.now(),
        sleep: (ms, { signal } = {}) =>
          new Promise((resolve) => {
            const timer = setTimeout(resolve, ms);
            const stop = (): void => {
              clearTimeout(timer);
              resolve();
            };
            signal?.addEventListener("abort", stop, { once: true });
            if (signal?.aborted === true) stop();
          }),
      },
      interrupts: { signal: () => interrupt.signal },
      starters: { server: noStarter, agent: noStarter, init: noStarter, doctor: noStarter, ...options.starters },
      etcDir: options.etcDir ?? "/nowhere/etc",
    },
    args,
  );
  return { code, stdout, stderr, screen };
}

function noStarter(options: RunServerOptions | RunAgentOptions | InitOptions): Promise<never> {
  throw new Error(`nothing is to be started in this test: ${JSON.stringify(Object.keys(options))}`);
}

/** What `init` answers, without making keys. */
export function fakeInit(options: InitOptions): Promise<InitResult> {
  return Promise.resolve({
    dir: options.dataDir,
    encrypted: options.keyPassphraseFile !== undefined,
    root: {
      name: "root-1",
      keyType: options.keyType,
      notAfter: new Date(fakeNow.getTime() + options.rootTtlSeconds * 1000),
      fingerprintHex: createHash("sha256").update("root").digest("hex"),
    },
    intermediate: {
      name: "int-1",
      keyType: options.keyType,
      notAfter: new Date(fakeNow.getTime() + options.intermediateTtlSeconds * 1000),
      fingerprintHex: createHash("sha256").update("intermediate").digest("hex"),
    },
  });
}

const goldenDir = join(import.meta.dirname, "golden");

/**
 * Compares with golden/NAME.txt, exactly; UPDATE_GOLDEN=1 writes it anew. The file holds the command, what a person sees,
 * and below it the exit code and which of the lines went to stdout.
 */
export function expectGolden(name: string, args: readonly string[], result: Run): void {
  const words = args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ");
  const lines = (text: string): string => `${text.split("\n").length - 1}`;
  const text = `$ signet ${words}\n${result.screen}--- exit ${result.code}; ${lines(result.stdout)} lines on stdout, ${lines(result.stderr)} on stderr\n`;
  const file = join(goldenDir, `${name}.txt`);
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(goldenDir, { recursive: true });
    writeFileSync(file, text);
    return;
  }
  expect(existsSync(file), `${file} is missing: UPDATE_GOLDEN=1 writes it`).toBe(true);
  expect(text).toBe(readFileSync(file, "utf8"));
}

/** Lines that a terminal of 80 columns would break; failures are one line, whatever their length. */
export function overlong(screen: string): readonly string[] {
  return screen.split("\n").filter((line) => line.length > 80 && !/^(signet: |try: |sgj1_)/.test(line));
}

/** A short directory of its own (a socket's path has at most 107 octets), and its removal. */
export async function shortDir(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "sgt-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
