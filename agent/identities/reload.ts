// Telling a service that its identity changed: one command without a shell, or one signal. Requests that come while one
// runs are answered together by the next run; what fails is tried again until it succeeds.
import { spawn } from "node:child_process";
import type { Clock } from "../../src/platform/clock.ts";
import { foreign } from "../../src/platform/foreign-text.ts";
import type { Random } from "../../src/platform/random.ts";
import { type RetryLimits, retryDelayMs } from "../../src/sdk/renew-at.ts";
import { signalByPidFile } from "./pid-file.ts";

export type ReloadAction =
  | { readonly kind: "command"; readonly command: readonly string[]; readonly deadlineMs: number }
  | {
      readonly kind: "signal";
      readonly signal: NodeJS.Signals;
      readonly pidFile: string;
      /** Owner of the identity's files, and the user that the process must have. */
      readonly ownerUid: number;
      readonly processUid: number;
    };

/** Does an action once. Rejects with an Error whose message is for people. */
export type RunReload = (action: ReloadAction, options: { readonly signal: AbortSignal }) => Promise<void>;

export interface ReloadDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly run: RunReload;
  readonly retry: RetryLimits;
  readonly start: (name: string, work: (signal: AbortSignal) => Promise<void>) => void;
  /** Told after each run, with every request that the run answered; `error` is undefined when it went well. */
  readonly done: (requests: readonly string[], error: string | undefined) => void;
}

interface Queue {
  readonly action: ReloadAction;
  readonly waiting: Set<string>;
  failures: number;
  /** Ends the pause after a failure. */
  hurry: AbortController;
}

/** Runs reload actions, one at a time for each distinct action. */
export class Reloader {
  readonly #deps: ReloadDeps;
  readonly #queues = new Map<string, Queue>();

  constructor(deps: ReloadDeps) {
    this.#deps = deps;
  }

  /** Asks for one run of the action that begins after now. `request` names who asks, such as a SPIFFE ID. */
  request(request: string, action: ReloadAction): void {
    const key = JSON.stringify(action);
    const running = this.#queues.get(key);
    if (running !== undefined) {
      running.waiting.add(request);
      running.hurry.abort();
      return;
    }
    const queue: Queue = { action, waiting: new Set([request]), failures: 0, hurry: new AbortController() };
    this.#queues.set(key, queue);
    this.#deps.start("reload", async (signal) => {
      await this.#work(queue, signal);
    });
  }

  async #work(queue: Queue, signal: AbortSignal): Promise<void> {
    const { clock, random, retry } = this.#deps;
    while (queue.waiting.size > 0 && !signal.aborted) {
      const requests = [...queue.waiting];
      queue.waiting.clear();
      queue.hurry = new AbortController();
      try {
        await this.#deps.run(queue.action, { signal });
        queue.failures = 0;
        this.#deps.done(requests, undefined);
      } catch (error) {
        if (signal.aborted) break;
        queue.failures += 1;
        this.#deps.done(requests, error instanceof Error ? error.message : String(error));
        for (const request of requests) queue.waiting.add(request);
        const delay = retryDelayMs(queue.failures, 0, random.fraction(), retry);
        await clock.sleep(delay, { signal: AbortSignal.any([signal, queue.hurry.signal]) });
      }
    }
    // No await between the last look at `waiting` and this, or a request could be lost.
    this.#queues.delete(JSON.stringify(queue.action));
  }
}

const stderrBytes = 256;
const cleanEnvironment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", LANG: "C.UTF-8" };

/** Does a reload action on this system. */
export async function runReload(action: ReloadAction, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  if (action.kind === "command") {
    await runCommand(action, signal);
    return;
  }
  await signalByPidFile(action.pidFile, action.signal, {
    ownerUid: action.ownerUid,
    processUid: action.processUid,
    agentPid: process.pid,
    agentParentPid: process.ppid,
  });
}

/** A process group of its own, so that the deadline ends what the command started too. */
function runCommand(action: Extract<ReloadAction, { kind: "command" }>, signal: AbortSignal): Promise<void> {
  const [file = "", ...args] = action.command;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: "/",
      env: cleanEnvironment,
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
      shell: false,
    });
    let said = "";
    let late = false;
    const killGroup = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended already.
      }
    };
    const timer = setTimeout(() => {
      late = true;
      killGroup();
    }, action.deadlineMs);
    signal.addEventListener("abort", killGroup, { once: true });
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", killGroup);
      child.stderr.destroy();
    };
    // Read to the end, kept only up to a few words: a command that prints megabytes must not stand still.
    child.stderr.on("data", (chunk: Uint8Array) => {
      if (said.length < stderrBytes) said += Buffer.from(chunk).toString("utf8").slice(0, stderrBytes);
    });
    child.on("error", (error) => {
      end();
      reject(
        new Error(
          `cannot run ${file}: ${"code" in error && error.code === "ENOENT" ? "no such command" : error.message}`,
        ),
      );
    });
    child.on("exit", (code, by) => {
      end();
      if (code === 0) resolve();
      else if (late) reject(new Error(`${file} did not end within ${action.deadlineMs / 1000} s`));
      else {
        const words = said.trim() === "" ? "" : `: ${foreign(said.trim())}`;
        reject(new Error(`${file} ended with ${code === null ? by : code}${words}`));
      }
    });
  });
}
