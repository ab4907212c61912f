import type { Clock } from "../src/platform/clock.ts";

/** Wakes one loop: a poke that comes before the loop waits is not lost. */
export class Wake {
  readonly #clock: Pick<Clock, "sleep">;
  #poked = false;
  #waiting: AbortController | undefined;

  constructor(clock: Pick<Clock, "sleep">) {
    this.#clock = clock;
  }

  poke(): void {
    this.#poked = true;
    // A reason of its own: without one every abort makes an exception with a stack.
    this.#waiting?.abort(poked);
  }

  /** Resolves after `ms` (any length, Infinity too), at a poke, or when `signal` aborts. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#poked && !signal.aborted) {
      const waiting = new AbortController();
      this.#waiting = waiting;
      const onAbort = (): void => waiting.abort(poked);
      signal.addEventListener("abort", onAbort, { once: true });
      await this.#clock.sleep(Math.min(ms, mostMs), { signal: waiting.signal });
      signal.removeEventListener("abort", onAbort);
      this.#waiting = undefined;
    }
    this.#poked = false;
  }
}

const poked = "poked";

/** Loops look around at least so often, whatever the clocks did meanwhile. */
const mostMs = 60_000;
