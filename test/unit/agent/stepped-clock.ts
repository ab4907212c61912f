import type { Clock } from "../../../src/platform/clock.ts";

/** A clock that moves only when it is told to; the wall clock can jump on its own. */
export class SteppedClock implements Clock {
  #wallMs: number;
  #monotonicMs = 1000;
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();

  constructor(start: Date) {
    this.#wallMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#wallMs);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sleep(ms: number, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (options.signal?.aborted === true || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper = { atMs: this.#monotonicMs + ms, wake: () => end() };
      const end = (): void => {
        this.#sleepers.delete(sleeper);
        options.signal?.removeEventListener("abort", end);
        resolve();
      };
      options.signal?.addEventListener("abort", end, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves both clocks, waking sleepers in order; work that a wake-up begins is done before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settle();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#move(Math.max(0, next.atMs - this.#monotonicMs));
      next.wake();
      await settle();
    }
    this.#move(endMs - this.#monotonicMs);
    await settle();
  }

  /** Sets the wall clock forward or back, without any time passing. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #move(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
}
