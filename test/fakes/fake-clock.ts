import { randomUUID } from "node:crypto";
import type { BootClock, Clock } from "../../src/platform/clock.ts";

interface Sleeper {
  readonly untilMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock, BootClock {
  /** Each fake clock is a machine that was started at its beginning. */
  readonly bootId: string = randomUUID();
  #wallMs: number;
  #monotonicMs = 0;
  #sleepers: Sleeper[] = [];
  #watchers: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(at: Date | string = "2026-01-01T00:00:00Z") {
    this.#wallMs = new Date(at).getTime();
  }

  now(): Date {
    return new Date(this.#wallMs);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sinceBootMs(): number {
    return this.#monotonicMs;
  }

  sleep(ms: number, { signal }: { readonly signal?: AbortSignal; readonly unref?: boolean } = {}): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const end = (): void => {
        signal?.removeEventListener("abort", end);
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        resolve();
      };
      const sleeper: Sleeper = { untilMs: this.#monotonicMs + Math.max(0, ms), wake: end };
      signal?.addEventListener("abort", end, { once: true });
      this.#sleepers.push(sleeper);
      for (const { count, resolve: seen } of this.#watchers) if (this.#sleepers.length >= count) seen();
    });
  }

  /** How many sleep now. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  /** Resolves when at least so many sleep. */
  sleepers(count: number): Promise<void> {
    if (this.#sleepers.length >= count) return Promise.resolve();
    return new Promise((resolve) => {
      const watcher = {
        count,
        resolve: () => {
          this.#watchers = this.#watchers.filter((each) => each !== watcher);
          resolve();
        },
      };
      this.#watchers.push(watcher);
    });
  }

  /**
   * Moves both clocks. Sleepers wake one after another in the order of their times, each at its time, and what each does
   * next (another sleep, too) happens before the next one wakes.
   */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms;
    for (;;) {
      const next = this.#sleepers.reduce<Sleeper | undefined>(
        (first, each) =>
          each.untilMs <= untilMs && (first === undefined || each.untilMs < first.untilMs) ? each : first,
        undefined,
      );
      if (next === undefined) break;
      this.#move(Math.max(0, next.untilMs - this.#monotonicMs));
      next.wake();
      await settled();
    }
    this.#move(untilMs - this.#monotonicMs);
    await settled();
  }

  /** Lets time go by at once, in seconds; sleepers that are due by then wake at the next advance(). */
  pass(seconds: number): void {
    this.#move(seconds * 1000);
  }

  /** Sets the wall clock forward or back; the other clock and the sleepers do not notice. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #move(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }
}

/** What promises and immediates have to do is done. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A clock that stands at `at`. */
export function fakeClock(at: Date | string = "2026-01-01T00:00:00Z"): FakeClock {
  return new FakeClock(at);
}
