// When a certificate is renewed, and when a renewal that failed is tried again. Pure.

/**
 * The moment of renewal: 0.4 to 0.6 of the ttl after the certificate was obtained; `jitter` in [-1, 1] is drawn once for
 * a certificate. A leaf that was shortened by the end of its authority is not renewed before `leastSeconds` (a quarter of
 * the life that its entry asks for).
 */
export function renewAt(obtainedAt: Date, ttlSeconds: number, jitter: number, leastSeconds: number = 0): Date {
  const afterSeconds = Math.max(ttlSeconds * (0.5 + 0.1 * jitter), leastSeconds);
  return new Date(obtainedAt.getTime() + Math.round(afterSeconds * 1000));
}

export interface RetryLimits {
  /** The first back-off, the longest one, and the shortest pause between two tries, all in milliseconds. */
  readonly baseMs: number;
  readonly mostMs: number;
  readonly leastMs: number;
}

/**
 * How long to wait after `failures` failed tries in a row: full jitter (`fraction` in [0, 1)) below a limit that doubles
 * each time, up to `mostMs` or a quarter of what is left of the certificate, whichever is less.
 */
export function retryDelayMs(failures: number, leftMs: number, fraction: number, limits: RetryLimits): number {
  const doubled = limits.baseMs * 2 ** Math.min(failures - 1, 30);
  const capMs = Math.min(doubled, limits.mostMs, leftMs > 0 ? leftMs / 4 : limits.mostMs);
  return Math.max(Math.round(capMs * fraction), limits.leastMs);
}

/** A point in time by both clocks. It has come as soon as one of them says so: the wall clock may jump, or be set back. */
export interface DualTime {
  readonly at: Date;
  readonly monotonicMs: number;
}

/** Both clocks at one moment. */
export function bothClocks(clock: { now(): Date; monotonicMs(): number }): DualTime {
  return { at: clock.now(), monotonicMs: clock.monotonicMs() };
}

/** The dual time of a wall-clock moment, seen from now. */
export function dualTime(at: Date, now: DualTime): DualTime {
  return { at, monotonicMs: now.monotonicMs + (at.getTime() - now.at.getTime()) };
}

/** Milliseconds until it has come by either clock; 0 when it has. */
export function untilMs(time: DualTime, now: DualTime): number {
  const wall = time.at.getTime() - now.at.getTime();
  return Math.max(0, Math.min(wall, time.monotonicMs - now.monotonicMs));
}
