import { rm } from "node:fs/promises";
import { join } from "node:path";

import type { Cli } from "../context.ts";
import { asCliError, type ExitCode, wrongUse } from "../failure.ts";
import { Crew } from "./crew.ts";
import { makeFolders } from "./folders.ts";
import { hanging } from "./hanging.ts";
import { type Moved, play } from "./play.ts";
import type { StrangerView } from "./scene.ts";
import { createScreen, leastSize } from "./screen.ts";
import { noStats } from "./service-line.ts";
import { Stage } from "./stage.ts";
import { type Outcome, summaryLines } from "./summary.ts";
import { type Counted, lastLine, totalsOf } from "./totals.ts";
import { repeat } from "./wait.ts";
import { fillLedger, Ledger, watchIdentity } from "./watch.ts";
import { type Builder, buildWorld, type Folders, type Service, trustDomain, type World } from "./world.ts";

export interface DemoOptions {
  /** Counted from the first successful call. */
  readonly forSeconds: number;
  /** Life of the services' certificates. */
  readonly ttlSeconds: number;
  /** Keeps identity directories, endpoints.json and events.jsonl there. */
  readonly dir?: string;
  /** Keeps everything, data directories and logs too. */
  readonly keep: boolean;
}

const drawEveryMs = 200;
const leastTtlSeconds = 5;

/**
 * Runs the whole product for a while and says how it went: 0 when nobody noticed anything, 1 when a call failed, a
 * stranger got in or could not be tried, or a process died unasked, 130 on Ctrl-C. Whatever happens, the summary and the
 * last line come, and nothing that was started is left.
 */
export async function runDemo(cli: Cli, options: DemoOptions): Promise<ExitCode> {
  if (options.ttlSeconds < leastTtlSeconds)
    throw wrongUse(`--ttl is at least ${leastTtlSeconds}s, got ${options.ttlSeconds}s`);
  if (options.forSeconds < 1) throw wrongUse(`--for is at least 1s, got ${options.forSeconds}s`);
  const folders = await makeFolders(options.dir, cli.cwd);
  const screen = createScreen(cli.out, { dumb: cli.env["TERM"] === "dumb" });
  const eventsFile = join(folders.kept, "events.jsonl");
  if (screen.tooSmall) {
    const text = `the live view takes ${leastSize.columns} columns and ${leastSize.rows} lines; here is a line for each event`;
    for (const line of hanging("", text, screen.width)) screen.line(line);
  }
  const stage = await Stage.open({ clock: cli.clock, screen }, { ...options, eventsFile, trustDomain });
  const run = new Run(cli, { folders, stage });
  const outcome = await run.perform(options);
  await stage.close();
  const kept = await cleanUp(folders, options);
  for (const line of summaryLines({ ...outcome, kept }, screen.width)) screen.line(line);
  screen.line(lastLine(outcome.totals));
  if (outcome.interrupted) return 130;
  return outcome.problems.length === 0 ? 0 : 1;
}

/** One run: its processes, what went wrong, and how it ends. */
class Run {
  readonly #cli: Cli;
  readonly #folders: Folders;
  readonly #stage: Stage;
  readonly #crew: Crew;
  readonly #ledger: Ledger = new Ledger();
  readonly #over = new AbortController();
  readonly #problems: string[] = [];
  #interrupted = false;
  #moved: Moved | undefined;
  #world: World | undefined;

  constructor(cli: Cli, parts: { readonly folders: Folders; readonly stage: Stage }) {
    this.#cli = cli;
    this.#folders = parts.folders;
    this.#stage = parts.stage;
    this.#crew = new Crew({
      folder: parts.folders.work,
      clock: cli.clock,
      onLoss: (name, how) => this.#fail(`${name} ended unasked, ${how}`),
    });
  }

  async perform(options: DemoOptions): Promise<Omit<Outcome, "kept">> {
    const release = this.#takeSignals();
    const watched = new AbortController();
    const watching = this.#watch(watched.signal);
    const signal = this.#over.signal;
    const builder: Builder = { cli: this.#cli, crew: this.#crew, stage: this.#stage, folders: this.#folders, signal };
    try {
      this.#world = await buildWorld(builder, options);
      await play(builder, this.#world, {
        forSeconds: options.forSeconds,
        ledger: this.#ledger,
        onMoved: (moved) => (this.#moved = moved),
      });
    } catch (error) {
      if (!signal.aborted) this.#fail(sentenceOf(error));
    }
    const endedAt = this.#cli.clock.now().getTime();
    try {
      await this.#endAll();
    } finally {
      watched.abort();
      await watching;
      release();
    }
    const { startedAt } = this.#stage.scene;
    const seconds = startedAt === undefined ? 0 : (endedAt - startedAt) / 1000;
    return { ...this.#outcome(), seconds, ttlSeconds: options.ttlSeconds };
  }

  /** Services first, so that no call meets an end; then what was issued is held against the store; then the rest. */
  async #endAll(): Promise<void> {
    const world = this.#world;
    if (world !== undefined) {
      await this.#crew.end([world.a.member, world.b.member]);
      await this.#closeLedger(world);
      await this.#crew.end(world.agents);
    }
    await this.#crew.end();
  }

  async #closeLedger(world: World): Promise<void> {
    try {
      await fillLedger(this.#cli, this.#ledger, { world, identityDirs: world.identityDirs });
      await this.#ledger.check(world.admin);
    } catch (error) {
      // After a failure the server may be gone: then the ledger stays as it was.
      if (this.#problems.length === 0 && !this.#interrupted) this.#fail(sentenceOf(error));
    }
    const { seen, known } = this.#ledger.counts;
    this.#stage.change({ issued: seen, recorded: known });
  }

  #outcome(): Omit<Outcome, "kept" | "seconds" | "ttlSeconds"> {
    const { strangers } = this.#stage.scene;
    const refused = strangers.filter(({ state }) => state === "refused").length;
    const totals = totalsOf(countedBy(this.#world?.a), countedBy(this.#world?.b), refused);
    const recorded = this.#ledger.counts;
    const problems = [...this.#problems];
    if (totals.failed > 0) problems.push(`${totals.failed} ${totals.failed === 1 ? "call" : "calls"} failed`);
    if (recorded.known < recorded.seen)
      problems.push(`${recorded.seen - recorded.known} certificates are not in the store`);
    // What ended the run early is the reason why a stranger never came.
    const early = this.#interrupted || problems.length > 0;
    problems.push(...strangers.flatMap((stranger) => strangerProblem(stranger, { early })));
    return { totals, problems, interrupted: this.#interrupted, moved: this.#moved, strangers, recorded };
  }

  #watch(signal: AbortSignal): Promise<unknown> {
    const watching = { cli: this.#cli, stage: this.#stage, signal };
    const { kept } = this.#folders;
    return Promise.all([
      repeat(() => this.#stage.draw(), { clock: this.#cli.clock, signal, everyMs: drawEveryMs }),
      watchIdentity(watching, "one", { dir: join(kept, "a"), service: "A" }),
      watchIdentity(watching, "two", { dir: join(kept, "b"), service: "B" }),
    ]);
  }

  #fail(problem: string): void {
    this.#problems.push(problem);
    this.#stage.tell("demo", problem);
    this.#over.abort(new Error(problem));
  }

  /** Ctrl-C, and what a closing terminal or a supervisor sends, end the run in order; a second one at once. */
  #takeSignals(): () => void {
    const stop = (): void => {
      if (this.#interrupted) this.#crew.kill();
      this.#interrupted = true;
      this.#over.abort(new Error("interrupted"));
    };

    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.on(signal, stop);
    return () => {
      for (const signal of signals) process.off(signal, stop);
    };
  }
}

/** What was thrown, as one clause. Our own errors are whole sentences; others are said to be the demo's. */
function sentenceOf(error: unknown): string {
  return error instanceof Error && error.name === "Error" ? error.message : asCliError(error, "it failed").message;
}

function countedBy(service: Service | undefined): Counted {
  if (service === undefined) return { stats: noStats, authorities: new Set() };
  const { stats, authorities } = service.reports;
  return { stats, authorities };
}

function strangerProblem(
  { kind, state, detail }: StrangerView,
  { early }: { readonly early: boolean },
): readonly string[] {
  switch (state) {
    case "refused":
      return [];
    case "let in":
      return [`a stranger was let in, ${kind}: ${detail}`];
    case "untried":
      return early ? [] : [`a stranger could not be tried, ${kind}: ${detail}`];
    case "waiting":
    case "knocking":
      return early ? [] : [`a stranger did not come to knock: ${kind}`];
  }
}

/** Removes what nobody asked to keep; answers what is kept, for people. */
async function cleanUp({ work, kept }: Folders, options: DemoOptions): Promise<string | undefined> {
  if (!options.keep) await rm(work, { recursive: true, force: true, maxRetries: 3 });
  const places = [...(options.dir === undefined ? [] : [kept]), ...(options.keep ? [work] : [])];
  return places.length === 0 ? undefined : places.join(", ");
}
