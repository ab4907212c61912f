import { grouped, plain, wrap } from "../layout.ts";
import type { StrangerView } from "./scene.ts";
import type { Totals } from "./totals.ts";

/** How a run came out. */
export interface Outcome {
  readonly totals: Totals;
  /** Seconds from the first successful call to the end; 0 when there was none. */
  readonly seconds: number;
  /** What went wrong, each as one clause; empty when all held. */
  readonly problems: readonly string[];
  readonly interrupted: boolean;
  /** The change of the intermediate, when it came to that: `00:30`. */
  readonly moved: { readonly from: string; readonly to: string; readonly at: string } | undefined;
  readonly strangers: readonly StrangerView[];
  /** Certificates that left the server, how many of those are in its store, and how many it holds in all. */
  readonly recorded: { readonly seen: number; readonly known: number; readonly stored: number };
  /** What is kept, and where; undefined when everything is gone. */
  readonly kept: string | undefined;
}

/** The end of a run: headline, facts, what next, and the last line is not among them. */
export function summaryLines(outcome: Outcome): readonly string[] {
  const { totals, problems, recorded } = outcome;
  return [
    headline(outcome),
    ...problems.flatMap((problem) =>
      wrap(plain(problem), 63).map((line, index) => `  ${(index === 0 ? "problem" : "").padEnd(12)} ${line}`),
    ),
    fact("calls", totals.calls, callsText(totals)),
    fact("rotations", totals.rotations, rotationsText(totals)),
    fact("authorities", totals.authorities, authoritiesText(outcome)),
    fact("refused", totals.refused, refusedText(outcome.strangers)),
    fact(
      "recorded",
      recorded.known,
      `of ${recorded.seen} certificates that left the server; ${recorded.stored} stored`,
    ),
    ...(outcome.kept === undefined ? [] : [`kept: ${outcome.kept}`]),
    problems.length > 0
      ? "try: signet demo --keep    leaves the logs of every process"
      : 'next: README, "Five minutes by hand"',
  ];
}

function headline({ totals, seconds, problems, interrupted }: Outcome): string {
  const time = `${Math.floor(seconds)} s`;
  if (problems.length > 0) return `${time}, and not as it should be`;
  if (totals.calls === 0) return "stopped before the first call";
  return interrupted ? `stopped after ${time}, and nobody noticed anything` : `${time}, and nobody noticed anything`;
}

function fact(name: string, value: number, text: string): string {
  return `  ${name.padEnd(12)} ${grouped(value).padStart(5)}   ${text}`.trimEnd();
}

function callsText({ calls, failed, retried, slowestMs }: Totals): string {
  if (calls === 0) return "";
  const again = retried === 0 ? "" : `, ${grouped(retried)} sent once more`;
  return `${failed === 0 ? "none failed" : `${grouped(failed)} FAILED`}${again}, slowest ${grouped(Math.round(slowestMs))} ms`;
}

function rotationsText({ rotationsOfA, rotationsOfB, rotations }: Totals): string {
  return rotations === 0 ? "" : `/svc/a ${rotationsOfA}, /svc/b ${rotationsOfB}, each one rename on disk`;
}

function authoritiesText({ moved, totals }: Outcome): string {
  if (moved === undefined) return "";
  return `${moved.from} to ${moved.to} at ${moved.at}${totals.failed === 0 ? ", no call failed" : ""}`;
}

function refusedText(strangers: readonly StrangerView[]): string {
  const refused = strangers.filter(({ state }) => state === "refused").map(({ kind }) => kind);
  return refused.join(", ");
}
