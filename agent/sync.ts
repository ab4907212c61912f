// The sync stream: entries, bundle, deny list and addresses come down, reports go up. When the server is away the loop
// tries its addresses in turn; nothing that is held is touched by that.
import { once } from "node:events";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { AgentReport, SyncRequest, SyncResponse } from "../proto/gen/signet/v1/issuance.ts";
import type { Clock } from "../src/platform/clock.ts";
import type { Logger } from "../src/platform/logger.ts";
import type { Random } from "../src/platform/random.ts";
import { addressesFromWire, bundleFromWire, denyListFromWire, WireError } from "../src/sdk/from-wire.ts";
import { type RetryLimits, retryDelayMs } from "../src/sdk/renew-at.ts";
import { decodeFailure, type RpcFailure } from "../src/sdk/rpc.ts";
import { ContactError, type ServerChannel } from "../src/sdk/server-channel.ts";
import type { SpiffeId } from "../src/spiffe/id.ts";
import type { CameBack } from "./enrol/come-back.ts";
import type { OwnIdentity } from "./enrol/own-identity.ts";
import type { EntryBook } from "./entries.ts";
import { entryFromWire, workloadId } from "./from-wire.ts";
import { reportMark } from "./report.ts";
import type { Session } from "./session.ts";
import type { TrustStore } from "./trust.ts";
import { Wake } from "./wake.ts";

export interface SyncLimits {
  readonly reportIntervalMs: number;
  /** Between two reports at least. */
  readonly reportGapMs: number;
  /** From opening the stream to the server's full state. */
  readonly firstAnswerMs: number;
  /** Between two looks at our own certificate at most. */
  readonly ownLookMs: number;
  readonly reconnect: RetryLimits;
  /** When the server refuses us, and when it has banned us. */
  readonly refusedMs: number;
  readonly bannedMs: number;
}

export interface SyncDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly own: OwnIdentity;
  readonly session: Session;
  readonly trust: TrustStore;
  readonly entries: EntryBook;
  readonly report: () => AgentReport;
  readonly comeBack: (address: string) => Promise<CameBack>;
  /** The server wants these renewed now; the agent's own ID may be among them. */
  readonly renewNow: (ids: readonly string[]) => void;
  /** The server answers again. */
  readonly connected: () => void;
  readonly limits: SyncLimits;
}

type Outcome =
  /** Our certificate changed: the next conversation begins at once. */
  | { readonly kind: "replaced" }
  | { readonly kind: "away"; readonly why: string }
  /** The server does not take our certificate. */
  | { readonly kind: "stranger"; readonly why: string }
  | { readonly kind: "banned"; readonly why: string };

/** One loop: come back if need be, converse, wait, again. */
export class ServerSync {
  readonly #deps: SyncDeps;
  readonly #reports: Wake;
  #failures = 0;
  #refused = 0;
  #stranger = false;
  #lastSaid = "";

  constructor(deps: SyncDeps) {
    this.#deps = deps;
    this.#reports = new Wake(deps.clock);
  }

  /** Something that a report tells has changed. */
  reportSoon(): void {
    this.#reports.poke();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { own, clock, session } = this.#deps;
    while (!signal.aborted) {
      if (this.#stranger || !own.isAlive(clock.now())) {
        const back = await this.#comeBack();
        if (!back.ok) {
          session.failed(back.why);
          this.#say(back.why);
          await this.#pause(back.kept, signal);
          continue;
        }
        this.#stranger = false;
      }
      const outcome = await this.#converse(signal);
      if (signal.aborted) break;
      if (outcome.kind === "replaced") continue;
      this.#say(outcome.why);
      this.#stranger = outcome.kind === "stranger";
      await this.#pause(outcome.kind === "stranger" ? "refused" : outcome.kind, signal);
    }
    session.close();
  }

  async #comeBack(): Promise<CameBack> {
    try {
      return await this.#deps.comeBack(this.#deps.session.nextAddress());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { ok: false, why, kept: "away", joinRefused: false };
    }
  }

  /** The same trouble is said once, not at every try. */
  #say(why: string): void {
    if (why !== this.#lastSaid) this.#deps.logger.warn({ reason: why }, "no server");
    this.#lastSaid = why;
  }

  async #pause(kept: "away" | "refused" | "banned", signal: AbortSignal): Promise<void> {
    const { clock, random, limits } = this.#deps;
    this.#failures += 1;
    if (kept !== "away") this.#refused += 1;
    const mostMs = { away: limits.reconnect.mostMs, refused: limits.refusedMs, banned: limits.bannedMs }[kept];
    const failures = kept === "away" ? this.#failures : this.#refused;
    await clock.sleep(retryDelayMs(failures, 0, random.fraction(), { ...limits.reconnect, mostMs }), { signal });
  }

  async #converse(signal: AbortSignal): Promise<Outcome> {
    const { own, session, trust, clock, limits } = this.#deps;
    const channel = session.open();
    const over = new AbortController();
    let ending: Outcome | undefined;
    const call = channel.issuance.sync();
    // A cancelled stream says so as an error; the reason is known here.
    call.on("error", () => {});
    const end = (outcome: Outcome): void => {
      ending ??= outcome;
      over.abort();
      call.cancel();
    };
    const judge = (): void => {
      if (!own.isAlive(clock.now())) end({ kind: "away", why: "our own certificate has ended" });
      const fault = channel.serverFault();
      if (fault !== undefined) end({ kind: "away", why: `${channel.address} is no longer our server: ${fault}` });
    };
    const onAbort = (): void => end({ kind: "replaced" });
    signal.addEventListener("abort", onAbort, { once: true });
    const forget = [own.subscribe(() => end({ kind: "replaced" })), trust.subscribe(judge)];
    let answered = false;
    const watch = clock.sleep(limits.firstAnswerMs, { signal: over.signal }).then(() => {
      if (!answered && !over.signal.aborted) {
        end({ kind: "away", why: `no answer within ${limits.firstAnswerMs / 1000} s from ${channel.address}` });
      }
    });
    const sending = this.#sendReports(call, over.signal, judge);
    const judging = this.#judgeAtEnd(judge, over.signal);
    let outcome: Outcome;
    try {
      for await (const message of call as AsyncIterable<SyncResponse>) {
        if (!answered) this.#answered(channel);
        answered = true;
        session.heard();
        await this.#take(message);
      }
      outcome = { kind: "away", why: `${channel.address} ended the conversation` };
    } catch (error) {
      outcome = outcomeOf(decodeFailure(error), channel);
    }
    for (const stop of forget) stop();
    signal.removeEventListener("abort", onAbort);
    over.abort();
    call.cancel();
    await Promise.all([sending, judging, watch]);
    outcome = ending ?? outcome;
    session.ended(channel, outcome.kind === "replaced" ? undefined : outcome.why);
    return outcome;
  }

  /** Judges when our certificate ends; looks now and then, since a host that slept has timers that are late. */
  async #judgeAtEnd(judge: () => void, signal: AbortSignal): Promise<void> {
    const { clock, own, limits } = this.#deps;
    while (!signal.aborted) {
      const leftMs = (own.held?.notAfter.getTime() ?? 0) - clock.now().getTime();
      await clock.sleep(Math.min(Math.max(leftMs, 0), limits.ownLookMs), { signal });
      if (!signal.aborted) judge();
    }
  }

  #answered(channel: ServerChannel): void {
    const { session, logger, connected } = this.#deps;
    const wasAway = !session.contact.connected;
    session.established(channel);
    this.#failures = 0;
    this.#refused = 0;
    this.#lastSaid = "";
    if (wasAway) logger.info({ address: channel.address }, "server reached");
    connected();
  }

  /** Sends the newest state when something changed and at every interval; an older one that waits is dropped. */
  async #sendReports(
    call: ClientDuplexStream<SyncRequest, SyncResponse>,
    signal: AbortSignal,
    judge: () => void,
  ): Promise<void> {
    const { clock, limits, report } = this.#deps;
    let sentMark = "";
    let sentMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const now = report();
      const mark = reportMark(now);
      const isDue = clock.monotonicMs() - sentMs >= limits.reportIntervalMs;
      if (mark !== sentMark || isDue) {
        if (isDue) judge();
        if (signal.aborted) return;
        if (!call.write({ report: now })) await once(call, "drain", { signal }).catch(() => {});
        sentMark = mark;
        sentMs = clock.monotonicMs();
        await clock.sleep(limits.reportGapMs, { signal });
      }
      await this.#reports.wait(Math.max(0, limits.reportIntervalMs - (clock.monotonicMs() - sentMs)), signal);
    }
  }

  /** Takes one message: trust first, since what is issued next may need it. */
  async #take(message: SyncResponse): Promise<void> {
    const { trust, entries, own, logger, renewNow } = this.#deps;
    const { trustDomain } = trust.state;
    const part = async (what: string, work: () => Promise<void> | void): Promise<void> => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        logger.warn({ reason: error.message }, `${what} from the server refused`);
      }
    };
    const { bundle, denyList, addresses, entries: update, renewNow: urgent } = message;
    if (bundle !== undefined) await part("bundle", () => trust.offer({ bundle: bundleFromWire(bundle, trustDomain) }));
    if (denyList !== undefined) await part("deny list", () => trust.offer(denyListFromWire(denyList)));
    if (addresses !== undefined) await trust.offer({ addresses: addressesFromWire(addresses.addresses) });
    const agentId = own.held?.spiffeId;
    if (update !== undefined && agentId !== undefined) {
      const known = update.entries.flatMap((entry) => narrow(() => entryFromWire(entry, agentId), logger));
      const deleted = update.deleted.flatMap(({ spiffeId, revision }) =>
        narrow(
          (): { spiffeId: SpiffeId; revision: bigint } => ({ spiffeId: workloadId(spiffeId, trustDomain), revision }),
          logger,
        ),
      );
      entries.apply({ full: update.full, entries: known, deleted, revision: update.revision });
      this.reportSoon();
    }
    if (urgent !== undefined) renewNow(urgent.spiffeIds);
  }
}

/** One bad entry does not hide the others. */
function narrow<T>(read: () => T, logger: Pick<Logger, "warn">): readonly T[] {
  try {
    return [read()];
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    logger.warn({ reason: error.message }, "entry from the server refused");
    return [];
  }
}

function outcomeOf(failure: RpcFailure, channel: ServerChannel): Outcome {
  const why = new ContactError(failure, channel).message;
  if (failure.rule === "node_banned") return { kind: "banned", why: "this agent is banned" };
  const strange = ["node_unknown", "certificate_replaced", "key_not_ours"].includes(failure.rule);
  if (failure.code === "unauthenticated" || strange) return { kind: "stranger", why };
  return { kind: "away", why };
}
