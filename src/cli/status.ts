// signet status: the state of the trust domain on one screen.
import type { Command } from "commander";
import type { GetStatusResponse } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { authorityColumns } from "./authority.ts";
import type { Declare } from "./command.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode } from "./failure.ts";
import { counted, grouped, octets, plain, table, wrap } from "./layout.ts";
import { moment, secondsTo } from "./moments.ts";
import { statusObject } from "./objects.ts";
import { jsonText } from "./print.ts";

const watchEveryMs = 2000;

export function addStatus(program: Command, declare: Declare): void {
  declare
    .verb(program, "status", {
      summary: "the state of the trust domain, and what needs attention",
      examples: ["signet status", "signet status --watch", "signet status -o json"],
      reach: "admin",
    })
    .option("--watch", "show it again every 2 s, until Ctrl-C")
    .action(declare.run(showStatus));
}

async function showStatus(cli: Cli, flags: { readonly watch?: boolean }): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot show the status", async (admin) => {
    if (flags.watch === true) return watchStatus(cli, admin);
    const { print } = cli;
    const status = await admin.call("getStatus", {});
    if (print.format !== "table") await print.value(statusObject(status));
    else if (print.quiet) print.line(status.problems.length === 0 ? "ok" : counted(status.problems.length, "problem"));
    else {
      for (const line of statusLines(status, cli)) print.line(line);
      const cures = status.problems.filter(({ cure }) => cure !== "");
      if (cures.length > 0) print.hint(`try: ${cures.map(({ cure }) => plain(cure)).join("\n     ")}`);
    }
    return 0;
  });
}

async function watchStatus(cli: Cli, admin: AdminPeer): Promise<ExitCode> {
  const { print } = cli;
  const interrupted = cli.interrupts.signal();
  while (!interrupted.aborted) {
    const status = await admin.call("getStatus", {});
    if (print.format !== "table") print.line(jsonText(statusObject(status), 0));
    else
      print.redraw([
        ...statusLines(status, cli),
        ...status.problems.flatMap(({ cure }) => (cure === "" ? [] : [`try: ${plain(cure)}`])),
      ]);
    await cli.clock.sleep(watchEveryMs, { signal: interrupted });
  }
  throw new CliError(130, "interrupted: nothing but the watching ends");
}

/** The screen of `signet status`. */
function statusLines(status: GetStatusResponse, cli: Pick<Cli, "print" | "clock">): readonly string[] {
  const { width, paint } = cli.print;
  const now = status.serverTime ?? cli.clock.now();
  const problems = status.problems.length;
  const word = problems === 0 ? paint("no problems", "good") : paint(counted(problems, "problem"), "bad");
  const up = status.startedAt === undefined ? "" : `   up ${formatDuration(-secondsTo(status.startedAt, now))}`;
  const store = `${status.storeKind}, ${counted(status.certificatesStored, "certificate")}, ${octets(status.storeBytes)}`;
  const alive = status.authorities.filter(({ state }) => state !== 4 && state !== 6);
  const labelled = (label: string, text: string): readonly string[] =>
    wrap(plain(text), Math.max(width - labelWidth, 20)).map(
      (part, index) => `${(index === 0 ? label : "").padEnd(labelWidth)}${part}`,
    );
  const denied =
    status.deniedLastHour === 0n
      ? "denied 0"
      : `denied ${grouped(status.deniedLastHour)} (${status.deniedRules.slice(0, 3).join(", ")})`;
  const p99 = status.issuedLastHour === 0n ? "" : `, p99 ${Math.max(1, Math.round(status.issueP99Seconds * 1000))} ms`;
  const gone = status.agentsGone === 0 ? "" : `, ${status.agentsGone} gone`;
  return [
    `${plain(status.trustDomain)}  ${word}${up}   ${plain(store)}`,
    ...runwayLines(runway(status, now), width),
    ...table(authorityColumns(now), alive, { width, paint }).lines,
    ...labelled(
      "agents",
      `${status.agentsLive} live, ${status.agentsLate} late, ${status.agentsBanned} banned${gone}; bundle ${status.bundleSequence} on disk at ${status.agentsWithBundle} of ${status.agentsLive}`,
    ),
    ...labelled("identities", `${grouped(status.identitiesLive)} live, ${grouped(status.identitiesLate)} late`),
    ...labelled("last hour", `issued ${grouped(status.issuedLastHour)}${p99}; ${denied}`),
    ...(status.rootKeyOnServer ? ["root key: on this server"] : []),
    ...rootCrl(status, now),
    ...status.problems.flatMap(({ what }) => labelled("problem", what)),
  ];
}

const labelWidth = 11;
// Too long for 80 columns: broken after its first half where it has to be broken.
function runwayLines(text: string, width: number): readonly string[] {
  if (text.length <= width) return [text];
  const [first = "", ...rest] = text.split(/(?<=,) (?=half )/);
  return [first, ...rest.map((part) => `  ${part}`)].flatMap((part) => wrap(part, width));
}

const crlWarnSeconds = 30 * 86_400;

/** How long everything goes on without the server. */
function runway(status: GetStatusResponse, now: Date): string {
  const { runwayFirst, runwayHalf } = status;
  if (runwayFirst === undefined) return "if the server stopped now, nothing would end: no identity is alive";
  const inTime = (date: Date): string => formatDuration(Math.max(0, secondsTo(date, now)));
  const half = runwayHalf === undefined ? "" : `, half of them in ${inTime(runwayHalf)}`;
  return `if the server stopped now, the first identity ends in ${inTime(runwayFirst)}${half}`;
}

function rootCrl(status: GetStatusResponse, now: Date): readonly string[] {
  const next = status.rootCrlNextUpdate;
  if (next === undefined) return [];
  const soon = secondsTo(next, now) < crlWarnSeconds ? ": sign a new one" : "";
  return [`root CRL: valid until ${moment(next, now)}${soon}`];
}
