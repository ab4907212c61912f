// The server's clock, watched: what everything here goes by, and whether it may be signed by.
//
// The latest time that was used is kept in one record. Its age matters only to a clock that goes back while the server is
// away: what the record has missed can go back unseen. So it is written ten seconds at the latest after a time was used to
// issue, and once a minute else (an idle server prunes and signs CRLs too), each a commit of one small record that shares
// its sync with whatever else is written; not in the commit of each certificate, where its revision would put every
// certificate into line behind the others.
//
// | killed                                   | what a restart finds                                                |
// | after a time was used, before it is kept | a latest time up to ten seconds old: so much more may go back       |
// | after a jump, before it is kept          | a clock that was sure: only one that went back is still found       |
// | after it was kept that the clock is      | not sure, until the time since boot agrees (in the same boot), most |
// | not sure                                 | agents or an admin do                                               |
// | after an admin's or the agents' commit   | the clock as they took it                                           |
import { type Actor, audited, serverActor } from "../audit/audit.ts";
import type { BootClock, Clock } from "../platform/clock.ts";
import { agrees, type ClockAnchor, type ClockReading, expectedMs, followed } from "../platform/clock-anchor.ts";
import { formatDuration } from "../platform/durations.ts";
import type { Logger } from "../platform/logger.ts";
import type { Random } from "../platform/random.ts";
import { type ClockRecord, clockKey, clocks } from "../store/collections/clock.ts";
import { nodes } from "../store/collections/nodes.ts";
import { type Op, putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import { CaError } from "./ca-error.ts";
import { type AgentVotes, anchorAtStart, countVotes, judgeClock, type KeptClock } from "./clock-rule.ts";
import { commit } from "./committed.ts";

export interface ClockWatchDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly random: Random;
  readonly log: Logger;
}

/** What is held against the clock. */
export interface ClockDoubt {
  /** The wall clock minus the time that it was expected to have, milliseconds. */
  readonly offMs: number;
  /** One sentence: what happened, and what the agents say. */
  readonly detail: string;
}

export interface ClockWatch {
  /**
   * What everything goes by that signs nothing: the wall clock while it is sure, else the time that it would have had. So
   * nobody's certificate ends, and nobody is late, because this clock jumped.
   */
  readonly clock: Clock;
  /** The time to sign by. Throws CaError "clock_unsure". */
  sureNow(): Date;
  /** undefined while the clock is sure. */
  doubt(): ClockDoubt | undefined;
  /** An agent's own clock, as it just reported it. */
  heard(agentId: string, agentTime: Date): void;
  /** Looks at both clocks, counts what agents say while the clock is not sure, keeps what is to be kept. Once a second. */
  look(): Promise<void>;
  /** Takes the wall clock as it is for the right one; audited. Throws "unavailable", "in_doubt", "conflict". */
  accept(actor: Actor): Promise<{ readonly time: Date; readonly was: ClockDoubt | undefined }>;
  /** Keeps the time used last, at the end. */
  close(): Promise<void>;
}

const keepUsedMs = 10_000;
const keepIdleMs = 60_000;
const countEveryMs = 2000;
/** A clock that was read so lately is read again only when its two hands disagree. */
const freshMs = 1000;
/** Agents whose clocks are remembered. */
const maxHeard = 200_000;

export const clockCure = "mend the clock, or if it is right: signet server accept-clock";

/** Opens the watch. Throws what the store throws. */
export async function openClockWatch(deps: ClockWatchDeps): Promise<ClockWatch> {
  return new Watch(deps, await deps.store.get(clocks, clockKey));
}

class Watch implements ClockWatch {
  readonly clock: Clock;
  readonly #deps: ClockWatchDeps;
  readonly #offsets = new Map<string, number>();
  #kept: Stored<ClockRecord> | undefined;
  #anchor: ClockAnchor;
  #looked: { readonly wallMs: number; readonly monotonicMs: number } | undefined;
  #unsureSinceMs: number | undefined;
  #votes: AgentVotes | undefined;
  #countedMs: number | undefined;
  #keptMs: number | undefined;
  #used = false;

  constructor(deps: ClockWatchDeps, kept: Stored<ClockRecord> | undefined) {
    this.#deps = deps;
    this.#kept = kept;
    const reading = this.#read();
    const former = kept === undefined ? undefined : keptClock(kept.value);
    this.#anchor = anchorAtStart(former, reading, deps.boot.bootId);
    if (!agrees(this.#anchor, reading))
      this.#doubted(former?.unsureSinceMs ?? expectedMs(this.#anchor, reading.bootMs));
    const { clock } = deps;
    this.clock = {
      now: () => this.#now(),
      monotonicMs: () => clock.monotonicMs(),
      sleep: (ms, options) => clock.sleep(ms, options),
    };
  }

  sureNow(): Date {
    const now = this.#now();
    const doubt = this.#doubt();
    if (doubt !== undefined) {
      throw new CaError("clock_unsure", `not issuing: ${doubt.detail}`, {
        cure: clockCure,
        retry: "later",
        retryAfterSeconds: 5,
      });
    }
    this.#used = true;
    return now;
  }

  doubt(): ClockDoubt | undefined {
    this.#now();
    return this.#doubt();
  }

  #doubt(): ClockDoubt | undefined {
    if (this.#unsureSinceMs === undefined) return undefined;
    const reading = this.#read();
    const offMs = reading.wallMs - expectedMs(this.#anchor, reading.bootMs);
    const seconds = Math.round(Math.abs(offMs) / 1000);
    // To the minute where nobody cares for seconds: a jump by 5 h 59 min 59 s is one by 6 h.
    const length = formatDuration(seconds < 600 ? seconds : Math.round(seconds / 60) * 60);
    const at = timeText(this.#unsureSinceMs);
    const what = `the server's clock went ${length} ${offMs > 0 ? "forward" : "back"} at ${at}`;
    return { offMs, detail: `${what}${votesText(this.#votes, expectedMs(this.#anchor, reading.bootMs))}` };
  }

  heard(agentId: string, agentTime: Date): void {
    const at = agentTime.getTime();
    if (Number.isNaN(at)) return;
    this.#offsets.delete(agentId);
    this.#offsets.set(agentId, at - this.#deps.boot.sinceBootMs());
    for (const oldest of this.#offsets.keys()) {
      if (this.#offsets.size <= maxHeard) break;
      this.#offsets.delete(oldest);
    }
  }

  async look(): Promise<void> {
    this.#check();
    if (this.#unsureSinceMs !== undefined) await this.#count();
    await this.#keepWhatIsDue();
  }

  async accept(actor: Actor): Promise<{ readonly time: Date; readonly was: ClockDoubt | undefined }> {
    this.#check();
    const was = this.#doubt();
    const reading = this.#read();
    const time = new Date(reading.wallMs);
    if (was === undefined) return { time, was };
    const event = audited(this.#deps, actor, {
      at: time,
      action: "clock.accept",
      subject: "clock",
      before: { expected: new Date(reading.wallMs - was.offMs).toISOString(), because: was.detail },
      after: { time: time.toISOString() },
    });
    await this.#take(reading, event);
    this.#deps.log.warn({ time, by: actor.name }, "clock accepted");
    return { time, was };
  }

  async close(): Promise<void> {
    this.#check();
    await this.#keep();
  }

  #read(): ClockReading {
    return { wallMs: this.#deps.clock.now().getTime(), bootMs: this.#deps.boot.sinceBootMs() };
  }

  /** Both clocks are read once a second, and at once when wall and monotonic clock differ: this is asked at every call. */
  #now(): Date {
    const wall = this.#deps.clock.now();
    const monotonicMs = this.#deps.clock.monotonicMs();
    const looked = this.#looked;
    const isFresh =
      looked !== undefined &&
      this.#unsureSinceMs === undefined &&
      monotonicMs - looked.monotonicMs < freshMs &&
      Math.abs(wall.getTime() - looked.wallMs - (monotonicMs - looked.monotonicMs)) < freshMs;
    if (isFresh) return wall;
    this.#looked = { wallMs: wall.getTime(), monotonicMs };
    const reading = this.#check();
    return new Date(
      this.#unsureSinceMs === undefined ? reading.wallMs : Math.round(expectedMs(this.#anchor, reading.bootMs)),
    );
  }

  #check(): ClockReading {
    const reading = this.#read();
    if (agrees(this.#anchor, reading)) {
      this.#anchor = followed(this.#anchor, reading);
      if (this.#unsureSinceMs !== undefined) {
        this.#sure();
        this.#deps.log.warn({ time: new Date(reading.wallMs) }, "clock sure again: it is where it was expected");
      }
    } else if (this.#unsureSinceMs === undefined) {
      this.#doubted(expectedMs(this.#anchor, reading.bootMs));
    }
    return reading;
  }

  #doubted(sinceMs: number): void {
    this.#unsureSinceMs = sinceMs;
    this.#votes = undefined;
    this.#countedMs = undefined;
    this.#keptMs = undefined;
    this.#deps.log.error({ reason: this.#doubt()?.detail, try: clockCure }, "clock not sure: nothing is signed");
  }

  #sure(): void {
    this.#unsureSinceMs = undefined;
    this.#votes = undefined;
    this.#keptMs = undefined;
    this.#looked = undefined;
  }

  /** Most live agents may know better than this machine. */
  async #count(): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#countedMs !== undefined && nowMs - this.#countedMs < countEveryMs) return;
    this.#countedMs = nowMs;
    const from = [Math.floor(expectedMs(this.#anchor, this.#read().bootMs))];
    const live: string[] = [];
    for await (const { value } of this.#deps.store.scan(nodes, "ends", { from })) {
      if (value.state === "member") live.push(value.agentId);
    }
    if (this.#unsureSinceMs === undefined) return;
    const reading = this.#read();
    const votes = countVotes(this.#anchor, reading, { live, offsets: this.#offsets });
    this.#votes = votes;
    if (judgeClock(this.#anchor, reading, { votes }) !== "agents_agree") return;
    const time = new Date(reading.wallMs);
    const event = audited(this.#deps, serverActor, {
      at: time,
      action: "clock.agents_agree",
      subject: "clock",
      before: { because: this.#doubt()?.detail },
      after: { time: time.toISOString(), agents: votes.withWall, live: votes.live },
    });
    await this.#take(reading, event);
    this.#deps.log.warn(
      { time, agents: votes.withWall, live: votes.live },
      "clock sure again: most agents agree with it",
    );
  }

  /** Takes a reading for true, once that is durable with its event. */
  async #take(reading: ClockReading, event: Op): Promise<void> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const result = await commit(this.#deps.store, [this.#recordOp(this.#recordOf(reading, undefined)), event]);
      this.#kept = await this.#deps.store.get(clocks, clockKey);
      if (!result.done) continue;
      this.#anchor = reading;
      this.#sure();
      return;
    }
    throw new CaError("conflict", "the record of the clock is being changed by somebody else", { retry: "later" });
  }

  async #keepWhatIsDue(): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs();
    const unsure = this.#unsureSinceMs !== undefined;
    const everyMs = this.#used ? keepUsedMs : keepIdleMs;
    // While it is not sure there is nothing new to keep once that is kept.
    if (this.#keptMs !== undefined && (unsure || nowMs - this.#keptMs < everyMs)) return;
    if (await this.#keep()) this.#keptMs = nowMs;
  }

  async #keep(): Promise<boolean> {
    const reading = this.#read();
    const expected = { wallMs: Math.floor(expectedMs(this.#anchor, reading.bootMs)), bootMs: reading.bootMs };
    const record = this.#recordOf(this.#unsureSinceMs === undefined ? reading : expected, this.#unsureSinceMs);
    this.#used = false;
    const result = await commit(this.#deps.store, [this.#recordOp(record)]);
    this.#kept = await this.#deps.store.get(clocks, clockKey);
    return result.done;
  }

  #recordOf({ wallMs, bootMs }: ClockReading, unsureSinceMs: number | undefined): ClockRecord {
    const { bootId } = this.#deps.boot;
    return {
      latest: wallMs,
      bootMs,
      ...(bootId === undefined ? {} : { bootId }),
      ...(unsureSinceMs === undefined ? {} : { unsureSince: Math.floor(unsureSinceMs) }),
    };
  }

  #recordOp(record: ClockRecord): Op {
    return this.#kept === undefined ? putIfAbsent(clocks, record) : update(clocks, record, this.#kept.revision);
  }
}

function keptClock({ latest, bootMs, bootId, unsureSince }: ClockRecord): KeptClock {
  return { latestMs: latest, bootMs, bootId, unsureSinceMs: unsureSince };
}

function votesText(votes: AgentVotes | undefined, expected: number): string {
  if (votes === undefined || votes.live === 0) return "";
  const { live, withWall, withExpected } = votes;
  if (withExpected > 0) return `; ${withExpected} of ${live} agents still say ${timeText(expected).slice(11, 16)}`;
  return withWall > 0 ? `; ${withWall} of ${live} agents agree with it` : "";
}

function timeText(ms: number): string {
  return `${new Date(Math.round(ms)).toISOString().slice(0, 19)}Z`;
}
