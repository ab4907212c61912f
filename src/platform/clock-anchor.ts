// The wall clock held against the time since boot, which nobody can set. Pure.
//
// An anchor is a pair of readings that was taken for true. From it the wall clock is expected to go on as the time since
// boot does; the time it would have then is the expected time. A wall clock that is set in small steps (no NTP slewing, a
// poor oscillator) is followed, by a thousandth of the time that went by, so that small steps never add up to a jump.

/** Readings of both clocks at one moment, milliseconds. */
export interface ClockReading {
  readonly wallMs: number;
  readonly bootMs: number;
}

/** A reading that was taken for true. */
export interface ClockAnchor extends ClockReading {
  /** Only known not to be later than this: how long the machine was off nobody knows. */
  readonly atLeast?: true;
}

/** How far the wall clock may be from the expected time. */
export const toleranceMs = 60_000;

/** The part of the time gone by over which the wall clock is followed: NTP itself slews by half of that at most. */
const followedShare = 0.001;

/** The time that the wall clock is expected to have. */
export function expectedMs(anchor: ClockReading, bootMs: number): number {
  return anchor.wallMs + (bootMs - anchor.bootMs);
}

/** Whether the wall clock is where it is expected, give or take the tolerance. */
export function agrees(anchor: ClockAnchor, reading: ClockReading): boolean {
  const offMs = reading.wallMs - expectedMs(anchor, reading.bootMs);
  return offMs >= -toleranceMs && (anchor.atLeast === true || offMs <= toleranceMs);
}

/** The anchor after a reading that agrees with it. */
export function followed(anchor: ClockAnchor, reading: ClockReading): ClockAnchor {
  if (anchor.atLeast === true) return reading;
  const expected = expectedMs(anchor, reading.bootMs);
  const mostMs = Math.max(0, reading.bootMs - anchor.bootMs) * followedShare;
  const offMs = Math.min(mostMs, Math.max(-mostMs, reading.wallMs - expected));
  return { wallMs: expected + offMs, bootMs: reading.bootMs };
}
