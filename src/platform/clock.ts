/** The wall clock and a clock that never goes back. Passed in everywhere; nothing of ours reads the time by itself. */
export interface Clock {
  /** The wall clock. */
  now(): Date;
  /** Milliseconds since some moment, never going back. */
  monotonicMs(): number;
  /**
   * Resolves after `ms` (any length, also beyond 2^31), or at once when `signal` aborts; never rejects. The timer does
   * not keep the process alive on its own when `unref` is set.
   */
  sleep(ms: number, options?: { readonly signal?: AbortSignal; readonly unref?: boolean }): Promise<void>;
}

/** What setTimeout takes at most; longer sleeps are cut into pieces. */
const longestTimerMs = 2 ** 31 - 1;

/** The clocks of this machine. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, { signal, unref = false } = {}) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      let timer: NodeJS.Timeout;
      let leftMs = Number.isNaN(ms) ? 0 : Math.max(0, ms);
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const wait = (): void => {
        const pieceMs = Math.min(leftMs, longestTimerMs);
        leftMs -= pieceMs;
        timer = setTimeout(leftMs > 0 ? wait : end, pieceMs);
        if (unref) timer.unref();
      };
      signal?.addEventListener("abort", end, { once: true });
      wait();
    }),
};
