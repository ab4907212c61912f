// Whether the server's clock can be trusted, by the time since boot, which nobody can set, and by what the agents say.
// Pure: readings come in, a verdict goes out.
import { agrees, type ClockAnchor, type ClockReading, expectedMs, toleranceMs } from "../platform/clock-anchor.ts";

/** What is kept of the clock over a restart. */
export interface KeptClock {
  /** The latest time that was used. */
  readonly latestMs: number;
  /** The time since boot then, and which boot it was. */
  readonly bootMs: number;
  readonly bootId: string | undefined;
  /** When the clock stopped being sure; undefined while it is. */
  readonly unsureSinceMs: number | undefined;
}

/**
 * The anchor of a process that starts. A clock that was sure when it was last used is taken as it is, unless it has gone
 * back: how long a server was away nobody knows. One that was not sure stays so over a restart. The caller judges the
 * reading against the anchor.
 */
export function anchorAtStart(
  kept: KeptClock | undefined,
  reading: ClockReading,
  bootId: string | undefined,
): ClockAnchor {
  if (kept === undefined) return reading;
  const sameBoot = bootId !== undefined && kept.bootId === bootId && reading.bootMs >= kept.bootMs;
  // In another boot it is known only that it is not earlier than the latest time that was used.
  const expected = kept.latestMs + (sameBoot ? reading.bootMs - kept.bootMs : 0);
  const wentBack = reading.wallMs < expected - toleranceMs;
  if (!wentBack && kept.unsureSinceMs === undefined) return reading;
  const anchor = { wallMs: expected, bootMs: reading.bootMs };
  return sameBoot || kept.unsureSinceMs !== undefined ? anchor : { ...anchor, atLeast: true };
}

/** What the clocks of the live agents say. */
export interface AgentVotes {
  /** Agents whose certificate has not ended and that are not banned. */
  readonly live: number;
  /** Those of them whose clock is where this wall clock is. */
  readonly withWall: number;
  /** Those of them whose clock is where this wall clock was expected. */
  readonly withExpected: number;
}

/** Counts the clocks of live agents; `offsets` hold each one's wall clock minus our time since boot. */
export function countVotes(
  anchor: ClockAnchor,
  reading: ClockReading,
  { live, offsets }: { readonly live: readonly string[]; readonly offsets: ReadonlyMap<string, number> },
): AgentVotes {
  let withWall = 0;
  let withExpected = 0;
  for (const agentId of live) {
    const offset = offsets.get(agentId);
    if (offset === undefined) continue;
    // What the agent's clock shows at the moment of this reading, whenever it was heard.
    const showsMs = offset + reading.bootMs;
    if (Math.abs(showsMs - reading.wallMs) <= toleranceMs) withWall++;
    if (Math.abs(showsMs - expectedMs(anchor, reading.bootMs)) <= toleranceMs) withExpected++;
  }
  return { live: live.length, withWall, withExpected };
}

/** Why the clock is sure, or that it is not. */
export type ClockVerdict = "agrees" | "agents_agree" | "accepted" | "unsure";

/** The rule: both clocks agree, or most live agents agree with the wall clock, or an admin accepted it. */
export function judgeClock(
  anchor: ClockAnchor,
  reading: ClockReading,
  evidence: { readonly votes?: AgentVotes; readonly accepted?: boolean } = {},
): ClockVerdict {
  if (agrees(anchor, reading)) return "agrees";
  if (evidence.accepted === true) return "accepted";
  const { votes } = evidence;
  if (votes !== undefined && votes.withWall * 2 > votes.live) return "agents_agree";
  return "unsure";
}
