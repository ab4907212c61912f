import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { it as base, type TestAPI } from "vitest";
import { type Ending, type Started, start } from "./started.ts";

const signet: readonly string[] = ["--conditions=signet-source", join(import.meta.dirname, "../../src/cli/main.ts")];

export interface RunningServer extends Started {
  /** host:port of gRPC. */
  readonly api: string;
  readonly ops: string;
}

export interface RunningAgent extends Started {
  readonly ops: string;
}

export interface ProcessOptions {
  /** Below the folder of the test. */
  readonly dataDir?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Given on the standard input. */
  readonly input?: string;
}

/** A temporary folder, and the processes that were started in it as a user starts them. */
export class Place {
  readonly folder: string;
  readonly #atEnd: (() => Promise<unknown>)[] = [];
  readonly #started: { readonly name: string; readonly process: Started }[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  path(...parts: readonly string[]): string {
    return join(this.folder, ...parts);
  }

  async write(name: string, text: string, mode: number = 0o600): Promise<string> {
    const path = isAbsolute(name) ? name : this.path(name);
    await writeFile(path, text, { mode });
    return path;
  }

  async json(name: string): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await readFile(this.path(name), "utf8")) as Readonly<Record<string, unknown>>;
  }

  /** Starts `signet ARGS`. */
  signet(args: readonly string[], options: RunOptions = {}): Started {
    return this.keep(args.join(" "), start(process.execPath, [...signet, ...args], { cwd: this.folder, ...options }));
  }

  /** Starts any other program here. */
  program(path: string, args: readonly string[]): Started {
    return this.keep(`${path} ${args.join(" ")}`, start(path, args, { cwd: this.folder }));
  }

  /** Runs `signet ARGS` to its end. */
  run(args: readonly string[], options: RunOptions = {}): Promise<Ending> {
    return this.signet(args, options).ended;
  }

  /** Runs `signet ARGS` to its end, which must be 0; answers its standard output without the last line break. */
  async out(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`signet ${args.join(" ")}: ${code}\n${stdout}${stderr}`);
    return stdout.trimEnd();
  }

  /** Starts a server on free ports; resolves once it serves. */
  async server(options: ProcessOptions = {}): Promise<RunningServer> {
    const { dataDir = ".signet", args = [], env = {} } = options;
    const listen = ["--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0"];
    const server = this.signet(["server", "--data-dir", dataDir, ...listen, ...args], { env });
    await server.shown(/^ready after/);
    const { api, ops } = await this.json(join(dataDir, "endpoints.json"));
    return { ...server, api: String(api), ops: String(ops) };
  }

  /** Starts an agent that is allowed to run; resolves once it has begun its work. */
  async agent(options: ProcessOptions & { readonly join?: string } = {}): Promise<RunningAgent> {
    const { dataDir = ".signet-agent", args = [], env = {}, join: joinString } = options;
    const joins = joinString === undefined ? [] : ["--join-file", "-"];
    const agent = this.signet(["agent", "--data-dir", dataDir, "--listen-ops", "127.0.0.1:0", ...joins, ...args], {
      env,
      ...(joinString === undefined ? {} : { input: joinString }),
    });
    await agent.shown(/"event":"agent started"/);
    const { ops } = await this.json(join(dataDir, "endpoints.json"));
    return { ...agent, ops: String(ops) };
  }

  keep<Process extends Started>(name: string, process: Process): Process {
    this.#started.push({ name, process });
    return process;
  }

  /** Does something once all processes have ended, before the folder is removed. */
  atEnd(work: () => Promise<unknown>): void {
    this.#atEnd.push(work);
  }

  /** Everything that was said, for a test that failed. */
  said(): string {
    return this.#started.map(({ name, process }) => [`--- ${name}`, ...process.lines.slice(-30)].join("\n")).join("\n");
  }

  /** Ends what still runs, each by its own number, and removes the folder. */
  async close(): Promise<void> {
    for (const { process } of this.#started) process.kill("SIGKILL");
    await Promise.all(this.#started.map(({ process }) => process.ended.catch(() => undefined)));
    for (const work of this.#atEnd) await work();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** `it` with a place of its own for each test. */
export const it: TestAPI<{ readonly place: Place }> = base.extend<{ readonly place: Place }>({
  place: async ({ task }, use) => {
    const place = new Place(await mkdtemp(join(tmpdir(), "signet-e2e-")));
    await use(place);
    if (task.result?.state === "fail") console.log(place.said());
    await place.close();
  },
});

/** Asks `probe` until it has an answer: for what tells nobody when it changes. */
export async function until<Answer>(probe: () => Promise<Answer | undefined> | Answer | undefined): Promise<Answer> {
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** GET over plain HTTP. */
export function fetchText(address: string, path: string): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    get(`http://${address}${path}`, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      response.once("end", () => resolve({ status: response.statusCode ?? 0, text }));
    }).once("error", reject);
  });
}

/** Runs another program to its end. */
export function runProgram(program: string, args: readonly string[], cwd: string): Promise<Ending> {
  return start(program, args, { cwd }).ended;
}
