// Judges rows in a process of its own, so that a hang is cut off and a crash is seen.

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Outcome, Row } from "./table.ts";

/** What the child is told and answers. */
export interface JudgeRequest {
  readonly row: Row;
  readonly dir: string;
}

/** Milliseconds for a row that names no bound of its own: a hang, not a measurement. */
const DEFAULT_MAX_MS = 20_000;

export class JudgeProcess {
  readonly #script: URL;
  #child: ChildProcess | undefined;

  /** `script` says "ready" once and then answers each JudgeRequest with an Outcome. */
  constructor(script: URL = new URL("./judge-child.ts", import.meta.url)) {
    this.#script = script;
  }

  /** Judges one row; one call at a time. */
  async judge(row: Row, dir: string): Promise<Outcome> {
    this.#child ??= await start(this.#script);
    const child = this.#child;
    const outcome = await ask(child, { row, dir }, row.max_ms ?? DEFAULT_MAX_MS);
    if (outcome.kind === "hang" || outcome.kind === "crash") {
      child.kill("SIGKILL");
      this.#child = undefined;
    }
    return outcome;
  }

  close(): void {
    this.#child?.kill();
    this.#child = undefined;
  }
}

/** Resolves when the child has loaded its judges, so that no row pays for that. */
async function start(script: URL): Promise<ChildProcess> {
  // Far more than any row needs: a parser that lets its input grow ends here as a crash.
  const execArgv = ["--conditions=signet-source", "--max-old-space-size=256"];
  const child = fork(fileURLToPath(script), { execArgv });
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the judging process ended with ${code} before it was ready`)));
  });
  child.removeAllListeners();
  return child;
}

function ask(child: ChildProcess, request: JudgeRequest, maxMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const finish = (outcome: Outcome): void => {
      clearTimeout(timer);
      child.removeAllListeners();
      resolve(outcome);
    };
    const timer = setTimeout(() => finish({ kind: "hang", message: `no verdict within ${maxMs} ms` }), maxMs);
    child.once("message", (outcome) => finish(outcome as Outcome));
    child.once("error", (error) => finish({ kind: "crash", message: error.message }));
    child.once("exit", (code, signal) => finish({ kind: "crash", message: `the process ended by ${signal ?? code}` }));
    child.send(request);
  });
}
