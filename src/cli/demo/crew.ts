// The processes of the demo: each started as a user would start it, each ended by its pid.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";

import type { Clock } from "../../platform/clock.ts";

export interface StartOptions {
  /** Shown to people: `server`, `agent one`, `service B`. */
  readonly name: string;
  /** What Node runs, and its arguments. */
  readonly args: readonly string[];
  /** stdin is a pipe, for `say`; without it stdin is empty. */
  readonly listens?: boolean;
  /** Takes each line of stdout; without it stdout goes to the log. */
  readonly onLine?: (line: string) => void;
}

export interface Member {
  readonly name: string;
  readonly pid: number;
  /** Resolves when it has ended and its output is read. */
  readonly ended: Promise<Ending>;
  send(signal: NodeJS.Signals): void;
  /** Writes one line to its stdin, which then ends. Nothing happens when it does not listen. */
  say(line: string): void;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** The command line of this product, in source or as built, for `args` of a member. */
export const commandPath: string = join(import.meta.dirname, `../main${extname(import.meta.filename)}`);

/** A sample service, in source or as built. */
export function samplePath(name: string): string {
  return join(import.meta.dirname, `../../../deploy/samples/${name}/main${extname(import.meta.filename)}`);
}

/** In the repository `signet/sdk` means its source. */
export const sourceFlags: readonly string[] =
  extname(import.meta.filename) === ".ts" ? ["--conditions=signet-source"] : [];

const lifelinePath = new URL(`./lifeline${extname(import.meta.filename)}`, import.meta.url).href;

/** Starts processes, notices when one ends unasked, and ends all of them. */
export class Crew {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #onLoss: (name: string, how: string) => void;
  readonly #members: Member[] = [];
  readonly #expected = new Set<Member>();

  /** Logs go to `folder`, one file a member. `onLoss` is told when one ends that nobody asked to end. */
  constructor(options: {
    readonly folder: string;
    readonly clock: Clock;
    readonly onLoss: (name: string, how: string) => void;
  }) {
    this.#folder = options.folder;
    this.#clock = options.clock;
    this.#onLoss = options.onLoss;
  }

  /** Starts a process that is to live until `end`. Throws when it cannot be started. */
  start(options: StartOptions): Member {
    const member = this.#spawn(options);
    this.#members.push(member);
    void member.ended.then((ending) => {
      if (!this.#expected.has(member))
        this.#onLoss(member.name, `${endingText(ending)}${this.#lastWords(member.name)}`);
    });
    return member;
  }

  /** Runs a process to its end. Throws with its last words when it fails. */
  async run(options: StartOptions): Promise<void> {
    const member = this.#spawn(options);
    this.#members.push(member);
    this.#expected.add(member);
    const ending = await member.ended;
    if (ending.code !== 0)
      throw new Error(`${member.name} ended with ${endingText(ending)}${this.#lastWords(member.name)}`);
  }

  /** Ends members together: SIGTERM, and SIGKILL to what is left after `graceMs`. */
  async end(members: readonly Member[] = this.#members, graceMs = 5000): Promise<void> {
    for (const member of members) {
      this.#expected.add(member);
      member.send("SIGTERM");
    }
    const ended = Promise.all(members.map((member) => member.ended));
    const timer = new AbortController();
    const late = this.#clock.sleep(graceMs, { signal: timer.signal }).then(() => {
      if (!timer.signal.aborted) this.kill(members);
    });
    await ended;
    timer.abort();
    await late;
  }

  /** Ends members at once. */
  kill(members: readonly Member[] = this.#members): void {
    for (const member of members) {
      this.#expected.add(member);
      member.send("SIGKILL");
    }
  }

  logOf(name: string): string {
    return join(this.#folder, `${name.replaceAll(" ", "-").toLowerCase()}.log`);
  }

  #spawn(options: StartOptions): Member {
    const log = openSync(this.logOf(options.name), "a", 0o600);
    let child: ChildProcess;
    try {
      child = spawn(process.execPath, [...sourceFlags, `--import=${lifelinePath}`, ...options.args], {
        cwd: this.#folder,
        // Its own process group: Ctrl-C is for the demo, which then ends the others in order.
        detached: true,
        env: childEnvironment(),
        stdio: [
          options.listens === true ? "pipe" : "ignore",
          options.onLine === undefined ? log : "pipe",
          log,
          // The lifeline.
          "pipe",
        ],
      });
    } finally {
      closeSync(log);
    }
    const { pid } = child;
    const ended = endingOf(child);
    if (pid === undefined) {
      void ended.catch(() => undefined);
      throw new Error(`cannot start ${options.name}`);
    }
    child.stdin?.on("error", () => undefined);
    if (options.onLine !== undefined && child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", options.onLine);
    }
    return {
      name: options.name,
      pid,
      ended,
      send: (signal) => void child.kill(signal),
      say: (line) => void child.stdin?.end(`${line}\n`),
    };
  }

  /** The last line that a member wrote to its log, for the report of a failure. */
  #lastWords(name: string): string {
    const lines = readFileSync(this.logOf(name), "utf8")
      .split("\n")
      .filter((line) => line.trim() !== "");
    const words = lines.findLast((line) => line.startsWith("signet: ")) ?? lines.at(-1);
    return words === undefined ? "" : `: ${words.slice(0, 300)}`;
  }
}

/** The environment without settings of Signet's own: the demo's processes take theirs from files of their own. */
function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SIGNET_")));
}

async function endingOf(child: ChildProcess): Promise<Ending> {
  try {
    const [code, signal]: unknown[] = await once(child, "close");
    return {
      code: typeof code === "number" ? code : null,
      signal: child.signalCode ?? (signal as NodeJS.Signals | null),
    };
  } catch (error) {
    throw new Error(`cannot start a process: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function endingText({ code, signal }: Ending): string {
  return signal === null ? `exit ${code ?? "?"}` : signal;
}
