// What `signet agent` says while it starts: facts, then one line on what comes next.
import { isAbsolute, relative } from "node:path";
import { formatDuration } from "../src/platform/durations.ts";
import { pathOf, type SpiffeId, type TrustDomain } from "../src/spiffe/id.ts";
import { type IdentitySlot, notReadyReason } from "./identities/cache.ts";

export interface JoinedFacts {
  readonly trustDomain: TrustDomain;
  readonly agentId: SpiffeId;
  readonly address: string;
  readonly bundleSequence: bigint;
  readonly roots: number;
}

/** After joining. */
export function joinedText(facts: JoinedFacts): string {
  const roots = `${facts.roots} ${facts.roots === 1 ? "root" : "roots"}`;
  return [
    `joined ${facts.trustDomain} as ${pathOf(facts.agentId)}; the join string is spent and not needed again`,
    `  server   ${facts.address}, root as the join string says`,
    `  bundle   ${facts.bundleSequence} on disk, ${roots}`,
    "",
  ].join("\n");
}

/** After a start that joined before. */
export function startedText(facts: {
  readonly trustDomain: TrustDomain;
  readonly agentId: SpiffeId;
  readonly notAfter: Date;
  readonly now: Date;
}): string {
  const left = facts.notAfter.getTime() - facts.now.getTime();
  const life =
    left > 0
      ? `its certificate ends in ${formatDuration(left / 1000)}`
      : `its certificate ended ${formatDuration(-left / 1000)} ago`;
  return `${pathOf(facts.agentId)} of ${facts.trustDomain}, joined before; ${life}\n`;
}

/** An enrolled agent was given a join string. */
export const ignoredJoinText = "the join string is not used: this agent has joined already\n";

const mostLines = 12;

/** One line an identity, and what the agent is now. */
export function identitiesText(
  slots: readonly IdentitySlot[],
  {
    now,
    cwd,
    agentId,
    connected,
  }: { readonly now: Date; readonly cwd: string; readonly agentId: SpiffeId; readonly connected: boolean },
): string {
  const width = Math.max(8, ...slots.slice(0, mostLines).map(({ spiffeId }) => pathOf(spiffeId).length));
  const lines = slots
    .slice(0, mostLines)
    .map((slot) => `  ${pathOf(slot.spiffeId).padEnd(width)} ${identityText(slot, now, cwd)}`);
  if (slots.length > mostLines) lines.push(`  and ${slots.length - mostLines} more: signet agent status`);
  if (slots.length === 0) {
    lines.push(
      connected
        ? `  no identity yet; on the server: signet entry create --id /svc/a --agent ${pathOf(agentId).replace(/^\/agent\//, "")}`
        : "  no identity yet, and the server does not answer; the agent goes on trying",
    );
  }
  const isReady = slots.every((slot) => notReadyReason(slot, now) === undefined);
  return `${[...lines, isReady ? "ready" : "running; not ready: signet agent status"].join("\n")}\n`;
}

function identityText(slot: IdentitySlot, now: Date, cwd: string): string {
  const { held } = slot;
  const reason = notReadyReason(slot, now);
  if (held === undefined || reason !== undefined) return reason ?? "withdrawn";
  const left = formatDuration(Math.max(0, (held.notAfter.getTime() - now.getTime()) / 1000));
  const where = slot.directory === undefined ? "in memory only" : shortPath(slot.directory, cwd);
  const next = slot.withdrawn ? "withdrawn: not renewed" : `renews at about ${clockTime(held.renewAt)}`;
  return `${where}, ${left} left, ${next}`;
}

function shortPath(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short.startsWith("..") || isAbsolute(short) ? path : `./${short}`;
}

function clockTime(date: Date): string {
  return [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
}
