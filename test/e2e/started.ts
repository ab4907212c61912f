import { type ChildProcess, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface StartOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Given on the standard input. */
  readonly input?: string;
}

export interface Ending {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of this test, and what it said. */
export interface Started {
  readonly pid: number;
  /** Lines of both streams, in the order they came. */
  readonly lines: readonly string[];
  /** Waits for a line from number `from` on; rejects, with all that was said, when the process ends before. */
  shown(pattern: RegExp, from?: number): Promise<string>;
  readonly ended: Promise<Ending>;
  kill(signal: NodeJS.Signals): void;
}

/** Half of the time of a short command goes into reading the same sources again. */
const compileCache = process.env["NODE_COMPILE_CACHE"] ?? join(tmpdir(), "node-compile-cache");

/** Starts a program with a clean environment: nothing of Signet's, nothing of the test runner's. */
export function start(program: string, args: readonly string[], options: StartOptions): Started {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"] ?? "", HOME: options.cwd, NODE_COMPILE_CACHE: compileCache, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {}); // It may end before it has read what it was given.
  child.stdin.end(options.input ?? "");
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const take = (line: string): void => {
    lines.push(line);
    for (const look of waiting) look();
  };
  createInterface({ input: child.stdout }).on("line", take);
  createInterface({ input: child.stderr }).on("line", take);
  const ended = endingOf(child);
  return {
    pid: child.pid ?? 0,
    lines,
    ended,
    kill: (signal) => void child.kill(signal),
    shown: (pattern, from = 0) => {
      const found = new Promise<string>((resolve) => {
        const look = (): void => {
          const line = lines.slice(from).find((each) => pattern.test(each));
          if (line === undefined) return;
          waiting.delete(look);
          resolve(line);
        };
        waiting.add(look);
        look();
      });
      const over = ended.then(({ code }) =>
        Promise.reject(new Error(`ended with ${code} and never said ${pattern}:\n${lines.join("\n")}`)),
      );
      return Promise.race([found, over]);
    },
  };
}

function endingOf(child: ChildProcess): Promise<Ending> {
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8").on("data", (part: string) => {
      text[name] += part;
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...text }));
  });
}
