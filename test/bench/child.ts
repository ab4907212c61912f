// The processes of the bench: each is asked over IPC, one question at a time, and ends when the bench is gone.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { sourceFlags } from "../../src/cli/demo/crew.ts";

export interface Child {
  readonly pid: number;
  /** Sends a question and resolves to its answer. Throws when the process ends first. */
  ask<Question extends object, Answer>(question: Question): Promise<Answer>;
  /** SIGTERM, and SIGKILL when it has not ended after `graceMs`. */
  end(graceMs?: number): Promise<void>;
}

export interface ChildOptions {
  readonly name: string;
  readonly script: string;
  readonly args: readonly string[];
  readonly nodeFlags?: readonly string[];
  readonly folder: string;
  /** Where its output goes. */
  readonly log: string;
}

/** Starts a process that lives until `end`. */
export function startChild({ name, script, args, nodeFlags = [], folder, log }: ChildOptions): Child {
  const output = openSync(log, "a", 0o600);
  let child: ChildProcess;
  try {
    child = fork(script, args, {
      cwd: folder,
      // Its own process group: Ctrl-C is for the bench, which then ends the others in order.
      detached: true,
      env: Object.fromEntries(Object.entries(process.env).filter(([variable]) => !variable.startsWith("SIGNET_"))),
      execArgv: [...sourceFlags, ...nodeFlags],
      serialization: "advanced",
      stdio: ["ignore", output, output, "ipc"],
    });
  } finally {
    closeSync(output);
  }
  const ended = once(child, "exit");
  return {
    pid: child.pid ?? 0,
    ask: async (question) => {
      const over = new AbortController();
      const answer = once(child, "message", { signal: over.signal });
      // The loser of the race rejects by the abort.
      answer.catch(() => undefined);
      try {
        child.send(question);
        const first = await Promise.race([answer, ended.then(() => undefined)]);
        if (first !== undefined) return first[0];
        throw new Error(`${name} ended unasked${lastWords(log)}`);
      } finally {
        over.abort();
      }
    },
    end: async (graceMs = 5000) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), graceMs);
      await ended;
      clearTimeout(late);
    },
  };
}

function lastWords(log: string): string {
  const lines = readFileSync(log, "utf8").split("\n");
  const words = lines.findLast((line) => line.startsWith("signet: ")) ?? lines.findLast((line) => line.trim() !== "");
  return words === undefined ? "" : `: ${words.slice(0, 300)}`;
}
