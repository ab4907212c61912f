// signet healthcheck: is the server, or the agent, ready? Asks /readyz on the ops address of the data directory.

import { get } from "node:http";
import type { Command } from "commander";
import { formatDuration } from "../platform/durations.ts";
import { type Declare, duration } from "./command.ts";
import { readEndpoints } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode, reasonOf } from "./failure.ts";
import { plain } from "./layout.ts";
import { findPlace, type PlaceKind } from "./place.ts";
import { startProgress } from "./progress.ts";

const tryEveryMs = 100;
const askMs = 5000;
const maxAnswerBytes = 64 * 1024;

export function addHealthcheck(program: Command, declare: Declare): void {
  declare
    .verb(program, "healthcheck", {
      summary: "exit 0 when the server is ready, 1 when it is not, 4 when it is not there",
      examples: ["signet healthcheck", "signet healthcheck --wait 30s"],
      reach: "agent",
    })
    .option("--wait <DURATION>", "until it is ready; exit 5 when it is not by then", duration("--wait"))
    .action(declare.run((cli, flags: HealthFlags) => healthcheck(cli, flags, "server")));
}

export interface HealthFlags {
  readonly wait?: number;
}

interface Health {
  readonly ready: boolean;
  /** Undefined when nobody answers. */
  readonly detail: string | undefined;
  readonly why: string;
}

export async function healthcheck(cli: Cli, flags: HealthFlags, kind: PlaceKind): Promise<ExitCode> {
  const waitMs = (flags.wait ?? 0) * 1000;
  const since = cli.clock.monotonicMs();
  const signal = waitMs > 0 ? cli.interrupts.signal() : new AbortController().signal;
  const progress = startProgress(cli, { afterMs: 1000, leaves: "Ctrl-C ends the waiting only" });
  let health: Health;
  try {
    for (;;) {
      health = await ask(cli, kind);
      const gone = cli.clock.monotonicMs() - since;
      if (health.ready || gone >= waitMs || signal.aborted) break;
      progress.update(
        `waiting for the ${kind}, ${formatDuration(Math.floor(gone / 1000))} of ${formatDuration(waitMs / 1000)}: ${health.why}`,
      );
      await cli.clock.sleep(Math.min(tryEveryMs, waitMs - gone), { signal });
    }
  } finally {
    progress.stop();
  }
  const { print } = cli;
  if (signal.aborted && !health.ready) throw new CliError(130, `interrupted: the ${kind} is not ready: ${health.why}`);
  if (print.format !== "table") await print.value({ ready: health.ready, detail: health.detail ?? health.why });
  else if (health.ready) print.line("ready");
  else if (health.detail !== undefined && !print.quiet)
    for (const line of health.detail.trimEnd().split("\n")) print.line(plain(line));
  if (health.ready) return 0;
  const exit = waitMs > 0 ? 5 : health.detail === undefined ? 4 : 1;
  const cure = kind === "server" ? "signet status" : "signet agent status";
  throw new CliError(
    exit,
    waitMs > 0
      ? `the ${kind} is not ready after ${formatDuration(waitMs / 1000)}: ${health.why}`
      : health.detail === undefined
        ? `cannot reach the ${kind}: ${health.why}`
        : `the ${kind} is not ready`,
    { cure: health.detail === undefined ? (kind === "server" ? "signet server" : "signet agent") : cure },
  );
}

async function ask(cli: Cli, kind: PlaceKind): Promise<Health> {
  const place = await findPlace(cli, kind, cli.shared);
  const ops = (await readEndpoints(place))?.["ops"];
  const from = place.from === "default" ? "the default data directory" : place.from;
  if (typeof ops !== "string") {
    return {
      ready: false,
      detail: undefined,
      why: `no endpoints.json with an ops address in ${place.shown} (${from})`,
    };
  }
  try {
    const answer = await fetchText(`http://${ops.replace(/^http:\/\//, "")}/readyz?verbose`);
    return { ready: answer.status === 200, detail: answer.body, why: firstComplaint(answer.body, answer.status) };
  } catch (error) {
    return { ready: false, detail: undefined, why: `${ops}: ${reasonOf(error)}` };
  }
}

function firstComplaint(body: string, status: number): string {
  const complaint = body.split("\n").find((line) => /^FAIL /.test(line));
  return (
    plain((complaint?.slice("FAIL ".length) ?? body.split("\n")[0] ?? "").trim().slice(0, 120)) ||
    `/readyz says ${status}`
  );
}

function fetchText(url: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: askMs }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        body += part;
        if (body.length > maxAnswerBytes) request.destroy(new Error("its answer is too long"));
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.on("error", reject);
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${askMs / 1000} s`)));
    request.on("error", reject);
  });
}
