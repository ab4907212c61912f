import { formatDuration } from "../../platform/durations.ts";
import { grouped, plain } from "../layout.ts";
import { hanging } from "./hanging.ts";
import type { StrangerView } from "./scene.ts";
import type { Totals } from "./totals.ts";

/** How a run came out. */
export interface Outcome {
  readonly totals: Totals;
  /** Seconds from the first successful call to the end; 0 when there was none. */
  readonly seconds: number;
  /** Life of the services' certificates. */
  readonly ttlSeconds: number;
  /** What went wrong, each as one clause; empty when all held. */
  readonly problems: readonly string[];
  readonly interrupted: boolean;
  /** The change of the intermediate, when it came to that: `00:30`. */
  readonly moved: { readonly from: string; readonly to: string; readonly at: string } | undefined;
  readonly strangers: readonly StrangerView[];
  /** Certificates seen outside the server, how many of those its store has, and what that holds of its own and in all. */
  readonly recorded: { readonly seen: number; readonly known: number; readonly own: number; readonly stored: number };
  /** What is kept, and where; undefined when everything is gone. */
  readonly kept: string | undefined;
}

/** The end of a run, on lines of `width`: headline, facts, what next; the last line is not among them. */
export function summaryLines(outcome: Outcome, width: number): readonly string[] {
  const { totals, problems, recorded } = outcome;
  const facts: readonly (readonly [name: string, value: number, text: string])[] = [
    ["calls", totals.calls, callsText(totals)],
    ["rotations", totals.rotations, rotationsText(totals)],
    ["authorities", totals.authorities, authoritiesText(outcome)],
    ["refused", totals.refused, refusedText(outcome.strangers)],
    ["recorded", recorded.known, recordedText(recorded)],
  ];
  const lines: readonly (readonly [head: string, text: string])[] = [
    ["", headline(outcome)],
    ...problems.map((problem) => [`  ${"problem".padEnd(12)} `, plain(problem)] as const),
    ...facts.map(([name, value, text]) => [`  ${name.padEnd(12)} ${grouped(value).padStart(5)}   `, text] as const),
    ...(outcome.kept === undefined ? [] : [["kept: ", outcome.kept] as const]),
    problems.length > 0
      ? ["try: ", "signet demo --keep    leaves the logs of every process"]
      : ["next: ", 'README, "Five minutes by hand"'],
  ];
  return lines.flatMap(([head, text]) => hanging(head, text, width));
}

function headline({ totals, seconds, ttlSeconds, problems, interrupted }: Outcome): string {
  const time = `${Math.floor(seconds)} s`;
  if (problems.length > 0) return `${time}, and not as it should be`;
  if (totals.calls === 0) return "stopped before the first call";
  const ran = interrupted ? `stopped after ${time}` : time;
  if (totals.rotations > 0) return `${ran}, and nobody noticed anything`;
  const why = ttlSeconds > seconds ? `: certificates live ${formatDuration(ttlSeconds)}, longer than the run` : "";
  return `${ran}, and nothing was rotated${why}`;
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
  if (totals.authorities < 2) return `${moved.to} active at ${moved.at}; no peer saw it before the end`;
  return `${moved.from} to ${moved.to} at ${moved.at}${totals.failed === 0 ? ", no call failed" : ""}`;
}

function refusedText(strangers: readonly StrangerView[]): string {
  const refused = strangers.filter(({ state }) => state === "refused").map(({ kind }) => kind);
  return refused.join(", ");
}

/** The parts add up to what the store holds. */
function recordedText({ seen, known, own, stored }: Outcome["recorded"]): string {
  const others = stored - known - own;
  const unseen = others > 0 ? `, and ${grouped(others)} not seen outside` : "";
  return `of ${grouped(seen)} certificates handed out, and the server's own ${grouped(own)}${unseen}`;
}
