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
