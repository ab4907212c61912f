// signet agent status and renew: a running agent, over the socket in its data directory.
import type { GetAgentStatusResponse, HeldIdentity } from "../../proto/gen/signet/v1/node.ts";
import { formatDuration } from "../platform/durations.ts";
import { foreign } from "../platform/foreign-text.ts";
import { nearest } from "../platform/nearest.ts";
import { type NodePeer, withAgent } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode, wrongUse } from "./failure.ts";
import { counted, plain, wrap } from "./layout.ts";
import { ago, endsShort, left, moment, secondsTo, when } from "./moments.ts";
import { agentStatusObject, renewedObject } from "./objects.ts";
import { placeFlags } from "./place.ts";
import { identityState, pathUnder, spaced, toneOf } from "./words.ts";

// Renewing all of a large node takes its time; the agent answers when each is done.
const renewDeadlineMs = 60_000;

export async function agentStatus(cli: Cli): Promise<ExitCode> {
  return withAgent<ExitCode>(cli, "cannot show the agent's status", async (agent) => {
    const { print } = cli;
    const status = await agent.call("getAgentStatus", {});
    if (print.format !== "table") await print.value(agentStatusObject(status));
    else if (print.quiet) print.line(status.ready ? "ready" : "not ready");
    else printStatus(cli, status);
    return 0;
  });
}

function printStatus(cli: Cli, status: GetAgentStatusResponse): void {
  const { print } = cli;
  const now = status.agentTime ?? cli.clock.now();
  print.sentence(`${status.trustDomain}  ${pathUnder(status.trustDomain, status.agentId)}  ${reachText(status, now)}`);
  if (status.identities.length === 0) {
    print.line("no identities: no entry names this agent");
  } else {
    print.table<HeldIdentity>(
      [
        { head: "ID", cell: ({ report }) => pathUnder(status.trustDomain, report?.spiffeId ?? "") },
        { head: "ENDS", cell: ({ report }) => (report?.notAfter === undefined ? "" : moment(report.notAfter, now)) },
        { head: "LEFT", cell: (identity) => leftOf(identity, now) },
        { head: "BY", cell: ({ authority }) => authority, drop: 1 },
        {
          head: "STATE",
          cell: (identity) => stateOf(identity, now),
          tone: ({ report }) => toneOf(identityState(report?.state ?? 0)),
        },
      ],
      status.identities,
    );
  }
  const own = `itself until ${endsShort(status.agentNotAfter, now)}, renews ${when(status.agentRenewAt, now)}`;
  for (const part of wrap(
    `${own}; bundle ${status.bundleSequence}, ${counted(status.roots, "root")}, deny list ${status.deniedSequence}`,
    print.width,
  )) {
    print.line(part);
  }
  const failing = status.identities.find(({ report }) => (report?.lastError ?? "") !== "");
  if (failing?.report === undefined) return;
  const { report } = failing;
  const path = pathUnder(status.trustDomain, report.spiffeId);
  if (report.notAfter !== undefined && secondsTo(report.notAfter, now) > 0) {
    const retry = failing.retryAt === undefined ? "" : `; tried again ${when(failing.retryAt, now)}`;
    print.sentence(`${path} on disk stays valid until ${moment(report.notAfter, now)}${retry}`);
  }
  const full = /no space|ENOSPC/i.test(report.lastError) && failing.directory !== "";
  print.hint(`try: ${full ? `df -h ${plain(failing.directory)}; then: ` : ""}signet agent renew ${plain(path)}`);
}

function reachText(status: GetAgentStatusResponse, now: Date): string {
  const clock = `clock ${Math.abs(status.clockOffsetSeconds).toFixed(1)} s off`;
  if (status.serverConnected) return `server reached ${ago(status.lastContact, now)}, ${clock}`;
  const since =
    status.lastContact === undefined
      ? "no server yet"
      : `no server for ${formatDuration(Math.max(0, -secondsTo(status.lastContact, now)))}`;
  const why =
    status.lastError === "" ? `nobody answers at ${foreign(status.serverAddress)}` : foreign(status.lastError);
  return `${since}: ${why}`;
}

function leftOf({ report, ttlSeconds }: HeldIdentity, now: Date): string {
  if (report?.notAfter === undefined) return "";
  const seconds = secondsTo(report.notAfter, now);
  return seconds > 0 ? `${formatDuration(seconds)} of ${formatDuration(ttlSeconds)}` : left(report.notAfter, now);
}

function stateOf(identity: HeldIdentity, now: Date): string {
  const { report } = identity;
  if (report === undefined) return "unknown";
  const word = spaced(identityState(report.state));
  if (report.lastError !== "") {
    // Reloads are tried again by themselves and counted in the metrics alone.
    const tries = identity.failures === 0 ? "" : ` (${counted(identity.failures, "try", "tries")})`;
    return `${word}: ${foreign(report.lastError)}${tries}`;
  }
  if (identity.withdrawn) return `${word}, its entry is gone: not renewed`;
  if (report.renewAt === undefined) return word;
  const due = secondsTo(report.renewAt, now);
  return due > 0
    ? `${word}, renews ${when(report.renewAt, now)}`
    : `${word}, renewal due since ${moment(report.renewAt, now)}`;
}

export async function renewIdentities(cli: Cli, flags: { readonly all?: boolean }, id?: string): Promise<ExitCode> {
  if ((id === undefined) === (flags.all !== true)) {
    throw wrongUse("signet agent renew takes an ID or --all", "signet agent renew --all");
  }
  return withAgent<ExitCode>(cli, "cannot renew", async (agent) => {
    const { print } = cli;
    if (id !== undefined) await checkHeld(cli, agent, id);
    const request = { ids: id === undefined ? [] : [id], all: flags.all === true };
    const { results } = await agent.call("renewIdentities", request, { deadlineMs: renewDeadlineMs });
    const failed = results.filter(({ renewed }) => !renewed);
    if (print.format !== "table") {
      await print.value(results.map(renewedObject));
    } else if (print.quiet) {
      for (const { renewed, serialHex } of results) if (renewed) print.line(serialHex);
    } else if (results.length === 0) {
      print.line("no identities to renew");
    } else {
      const now = cli.clock.now();
      print.table(
        [
          { head: "ID", cell: ({ spiffeId }) => spiffeId },
          { head: "ENDS", cell: ({ notAfter }) => endsShort(notAfter, now) },
          {
            head: "RESULT",
            cell: ({ renewed, error }) => (renewed ? "renewed" : `failed: ${foreign(error)}`),
            tone: ({ renewed }) => (renewed ? "good" : "bad"),
          },
        ],
        results,
      );
    }
    if (failed.length > 0) {
      throw new CliError(
        1,
        `not renewed: ${counted(failed.length, "identity", "identities")} of ${results.length}; what is valid stays in use`,
        {
          cure: `signet agent status${placeFlags(cli.shared)}`,
        },
      );
    }
    return 0;
  });
}

// Says at once that there is no such identity here, and which one may have been meant.
async function checkHeld(cli: Cli, agent: NodePeer, id: string): Promise<void> {
  const { trustDomain, identities } = await agent.call("getAgentStatus", {});
  const where = placeFlags(cli.shared);
  const gone = identities.find(({ report, withdrawn }) => {
    const spiffeId = report?.spiffeId ?? "";
    return withdrawn && (spiffeId === id || pathUnder(trustDomain, spiffeId) === id);
  });
  if (gone !== undefined) {
    throw new CliError(1, `the entry of ${id} was deleted: it is not renewed, and its files go when it ends`, {
      cure: `signet agent status${where}`,
    });
  }
  const held = identities.flatMap(({ report, withdrawn }) =>
    report === undefined || withdrawn ? [] : [report.spiffeId],
  );
  const paths = held.map((spiffeId) => pathUnder(trustDomain, spiffeId));
  if (held.includes(id) || paths.includes(id)) return;
  const near = nearest(id, [...paths, ...held]);
  throw new CliError(1, `this node holds no identity ${id}${near === undefined ? "" : `: the nearest is ${near}`}`, {
    cure: near === undefined ? `signet agent status${where}` : `signet agent renew ${near}${where}`,
  });
}
