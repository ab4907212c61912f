// Waits until the agent of an entry has it on disk.
import type { EntryState } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { foreign } from "../platform/foreign-text.ts";
import type { AdminPeer } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode } from "./failure.ts";
import { left } from "./moments.ts";
import { startProgress } from "./progress.ts";
import { identityState, pathUnder, trustDomainIn } from "./words.ts";

/** 0 when it is on disk, 5 when the time ran out. Throws CliError 130 on Ctrl-C; the entry stays in any case. */
export async function waitForEntry(
  cli: Cli,
  admin: AdminPeer,
  wanted: { readonly state: EntryState; readonly seconds: number },
): Promise<{ readonly exit: ExitCode; readonly state: EntryState }> {
  const { entry } = wanted.state;
  if (entry === undefined) throw new CliError(1, "the server answered without the entry");
  const agent = pathUnder(trustDomainIn(entry.spiffeId), entry.agentId);
  const interrupted = cli.interrupts.signal();
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), wanted.seconds * 1000);
  const progress = startProgress(cli, { afterMs: 1000, leaves: "Ctrl-C ends the waiting, not the entry" });
  let latest = wanted.state;
  const tell = (): void => progress.update(`${entry.entryId} on its way to ${agent}: ${holdUp(latest)}`);
  try {
    tell();
    const signal = AbortSignal.any([interrupted, over.signal]);
    for await (const answer of admin.stream("watchEntry", { entry: entry.entryId, revision: entry.revision }, signal)) {
      latest = answer.entry ?? latest;
      if (answer.onDisk) {
        progress.stop();
        const { reported } = latest;
        const until = reported?.notAfter === undefined ? "" : `, ${left(reported.notAfter, cli.clock.now())}`;
        cli.print.hint(`  on disk at ${agent}${until}`);
        return { exit: 0, state: latest };
      }
      tell();
    }
  } finally {
    clearTimeout(timer);
    progress.stop();
  }
  const stays = `${entry.entryId} stays and goes there as soon as it can`;
  if (interrupted.aborted) throw new CliError(130, `interrupted: ${stays}`);
  if (!over.signal.aborted)
    throw new CliError(1, `the server stopped watching ${entry.entryId}: ${stays}`, {
      cure: `signet entry show ${entry.entryId}`,
    });
  cli.print.note(
    `signet: not on disk at ${agent} after ${formatDuration(wanted.seconds)}: ${holdUp(latest)}; ${stays}`,
  );
  cli.print.note(
    `try: ${latest.agentJoined ? `signet entry show ${entry.entryId}` : `signet token create --agent ${agent.replace("/agent/", "")}`}`,
  );
  return { exit: 5, state: latest };
}

function holdUp(state: EntryState): string {
  if (!state.agentJoined) return "the agent has not joined";
  if (!state.agentConnected) return "the agent is not connected";
  const { reported } = state;
  if (reported === undefined) return "the agent has not reported it yet";
  const error = reported.lastError === "" ? "" : `: ${foreign(reported.lastError)}`;
  return `the agent says ${identityState(reported.state).replaceAll("_", " ")}${error}`;
}
