// Keeps the agent's own certificate young, by the same rule as those of its identities.
import type { Clock } from "../src/platform/clock.ts";
import type { Logger } from "../src/platform/logger.ts";
import type { Random } from "../src/platform/random.ts";
import { issuedFromWire } from "../src/sdk/from-wire.ts";
import { bothClocks, type DualTime, dualTime, type RetryLimits, retryDelayMs, untilMs } from "../src/sdk/renew-at.ts";
import { RpcFailure } from "../src/sdk/rpc.ts";
import { isAway } from "../src/sdk/server-channel.ts";
import { buildCsr } from "../src/x509/csr.ts";
import type { OwnIdentity } from "./enrol/own-identity.ts";
import type { RenewalResult } from "./identities/rotator.ts";
import type { Session } from "./session.ts";
import type { TrustStore } from "./trust.ts";
import { Wake } from "./wake.ts";

export interface OwnRenewalDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly own: OwnIdentity;
  readonly trust: TrustStore;
  readonly session: Session;
  readonly retry: RetryLimits;
  readonly deadlineMs: number;
  readonly counted: (result: RenewalResult) => void;
}

/** One loop for the agent's own certificate. While it has ended this loop rests: coming back is another's job. */
export class OwnRenewal {
  readonly #deps: OwnRenewalDeps;
  readonly #wake: Wake;
  #due: DualTime | undefined;
  #retry: DualTime | undefined;
  #failures = 0;
  #forced = false;
  #lastError = "";

  constructor(deps: OwnRenewalDeps) {
    this.#deps = deps;
    this.#wake = new Wake(deps.clock);
    this.#begin();
    deps.own.subscribe(() => {
      this.#begin();
      this.#wake.poke();
    });
  }

  /** Empty when the last renewal went well. */
  get lastError(): string {
    return this.#lastError;
  }

  /** Looks again: the server came back. */
  poke(): void {
    this.#wake.poke();
  }

  /** Renews as soon as the server can be asked, whatever renewAt says. */
  force(): void {
    this.#forced = true;
    this.#retry = undefined;
    this.#wake.poke();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const waitMs = this.#waitMs();
      if (waitMs <= 0) await this.#renew(signal);
      else await this.#wake.wait(waitMs, signal);
    }
  }

  #begin(): void {
    const now = bothClocks(this.#deps.clock);
    const { held } = this.#deps.own;
    this.#due = held === undefined ? undefined : dualTime(held.renewAt, now);
    this.#retry = dualTime(new Date(now.at.getTime() + this.#deps.retry.leastMs), now);
    this.#failures = 0;
    this.#forced = false;
    this.#lastError = "";
  }

  #waitMs(): number {
    const now = bothClocks(this.#deps.clock);
    const { own, session } = this.#deps;
    if (this.#due === undefined || session.live === undefined || !own.isAlive(now.at)) return Number.POSITIVE_INFINITY;
    const blockedMs = this.#retry === undefined ? 0 : untilMs(this.#retry, now);
    return Math.max(blockedMs, this.#forced ? 0 : untilMs(this.#due, now));
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, random, logger, own, session, trust, deadlineMs, counted } = this.#deps;
    const channel = session.live;
    const id = own.held?.spiffeId;
    if (channel === undefined || id === undefined) return;
    try {
      const key = await own.nextKey();
      const csrDer = await buildCsr(key);
      const sentAt = clock.now();
      const method = channel.issuance.renew.bind(channel.issuance);
      const { certificate } = await channel.call(method, { csrDer }, { deadlineMs, signal });
      session.heard();
      const issued = issuedFromWire(certificate);
      const now = clock.now();
      if (issued.serverTime !== undefined) session.sawServerTime(issued.serverTime, { sentAt, receivedAt: now });
      const jitter = random.fraction() * 2 - 1;
      // What the server said may have set our clock.
      const judgedAt = clock.now();
      const offMs = judgedAt.getTime() - now.getTime();
      const times = { sentAt: new Date(sentAt.getTime() + offMs), now: judgedAt };
      const held = await own.install({ issued, key, id, trust: trust.state, jitter, ...times });
      counted("renewed");
      const { serialHex, notAfter, renewAt, authority } = held;
      logger.info({ serialHex, notAfter, renewAt, authority }, "agent certificate renewed");
    } catch (error) {
      if (signal.aborted) return;
      const away = error instanceof RpcFailure && isAway(error);
      counted(away ? "unavailable" : error instanceof RpcFailure ? "refused" : "not_accepted");
      this.#failures += 1;
      this.#lastError = error instanceof Error ? error.message : String(error);
      const now = bothClocks(clock);
      const leftMs = (own.held?.notAfter.getTime() ?? 0) - now.at.getTime();
      const delayMs = retryDelayMs(this.#failures, leftMs, random.fraction(), this.#deps.retry);
      this.#retry = dualTime(new Date(now.at.getTime() + delayMs), now);
      logger.warn(
        { reason: this.#lastError, failures: this.#failures, retryAt: this.#retry.at },
        "agent certificate not renewed",
      );
    }
  }
}
