import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dualTime, renewAt, retryDelayMs, untilMs } from "../../../src/sdk/renew-at.ts";

const at = new Date("2026-11-24T12:00:00Z");
const after = (seconds: number): Date => new Date(at.getTime() + seconds * 1000);
const limits = { baseMs: 2000, mostMs: 30_000, leastMs: 1000 };

describe("renewAt()", () => {
  it("is at 0.5 of the ttl without jitter, at 0.6 and 0.4 with jitter 1 and -1", () => {
    expect(renewAt(at, 3600, 0)).toEqual(after(1800));
    expect(renewAt(at, 3600, 1)).toEqual(after(2160));
    expect(renewAt(at, 3600, -1)).toEqual(after(1440));
  });

  it("is not before a quarter of the life that the entry asks for when the leaf was shortened", () => {
    expect(renewAt(at, 1800, -1, 900)).toEqual(after(900));
    expect(renewAt(at, 3600, -1, 900)).toEqual(after(1440));
  });

  it("lies between 0.4 and 0.6 of the ttl for every ttl and jitter", () => {
    const cases = [fc.integer({ min: 5, max: 4_000_000_000 }), fc.double({ min: -1, max: 1, noNaN: true })] as const;
    fc.assert(
      fc.property(...cases, (ttlSeconds, jitter) => {
        const seconds = (renewAt(at, ttlSeconds, jitter).getTime() - at.getTime()) / 1000;
        return seconds >= ttlSeconds * 0.4 - 0.001 && seconds <= ttlSeconds * 0.6 + 0.001;
      }),
    );
  });
});

describe("retryDelayMs()", () => {
  it("has full jitter below a limit that doubles, up to 30 s", () => {
    expect(retryDelayMs(1, 0, 0.75, limits)).toBe(1500);
    expect(retryDelayMs(2, 0, 0.75, limits)).toBe(3000);
    expect(retryDelayMs(20, 0, 0.5, limits)).toBe(15_000);
  });

  it("is never more than a quarter of what is left, nor less than the least pause", () => {
    const cases = [
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: -100_000, max: 10_000_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
    ] as const;
    fc.assert(
      fc.property(...cases, (failures, leftMs, fraction) => {
        const delay = retryDelayMs(failures, leftMs, fraction, limits);
        const most = leftMs > 0 ? Math.max(leftMs / 4 + 1, limits.leastMs) : limits.mostMs;
        return delay >= limits.leastMs && delay <= Math.min(most, limits.mostMs);
      }),
    );
  });
});

describe("untilMs()", () => {
  const now = { at, monotonicMs: 5000 };
  const due = dualTime(after(60), now);

  it("is over when the wall clock says so, though the monotonic one does not", () => {
    expect(untilMs(due, { at: after(3600), monotonicMs: 6000 })).toBe(0);
  });

  it("is over when the monotonic clock says so, though the wall clock was set back", () => {
    expect(untilMs(due, { at: after(-3600), monotonicMs: 65_000 })).toBe(0);
  });

  it("is the nearer of both otherwise", () => {
    expect(untilMs(due, { at: after(10), monotonicMs: 5500 })).toBe(50_000);
    expect(untilMs(due, { at: after(-10), monotonicMs: 15_000 })).toBe(50_000);
  });
});
