export interface BackoffLimits {
  /** Ceiling of the first delay. */
  readonly baseMs: number;
  /** Ceiling of every delay. */
  readonly mostMs: number;
  /** Never less, so that a loop cannot spin; 0 by default. */
  readonly leastMs?: number;
}

/**
 * Delay before the next try after `failures` of them (1, 2, ...): full jitter, `fraction` in [0, 1) of a ceiling that
 * doubles with each failure.
 */
export function backoffMs(failures: number, fraction: number, limits: BackoffLimits): number {
  const doublings = Math.min(Math.max(failures, 1) - 1, 30);
  const ceiling = Math.min(limits.baseMs * 2 ** doublings, limits.mostMs);
  return Math.max(limits.leastMs ?? 0, Math.round(ceiling * fraction));
}
