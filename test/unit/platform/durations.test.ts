import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DurationError,
  formatDuration,
  formatLeft,
  parseDuration,
  writeDuration,
} from "../../../src/platform/durations.ts";

describe("parseDuration()", () => {
  it.each([
    ["5s", 5],
    ["90s", 90],
    ["10m", 600],
    ["1h30m", 5400],
    ["24h", 86_400],
    ["30d", 2_592_000],
    ["3650d", 315_360_000],
    ["1d2h3m4s", 93_784],
    ["0", 0],
    ["0s", 0],
  ])("parseDuration(%j) is %i seconds", (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each([
    "",
    "h",
    "1",
    "3600",
    "1x",
    "1h 30m",
    "30m1h",
    "1h1h",
    "-1h",
    "+1h",
    "1.5h",
    "1H",
    "1e3s",
    " 1h",
    "1h\n",
    "99999999d",
    "٣h",
    "1w",
  ])("parseDuration(%j) is refused", (text) => {
    expect(() => parseDuration(text)).toThrow(DurationError);
  });

  it("parseDuration() of a bare number says that the unit is missing, with an example", () => {
    expect(() => parseDuration("3600")).toThrow(
      '"3600" has no unit: write it as 90s, 10m, 1h30m or 30d; 3600s is seconds',
    );
  });

  it("parseDuration() throws nothing but DurationError", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("0", "1", "25", "9", "d", "h", "m", "s") })),
        (text) => {
          try {
            const seconds = parseDuration(text);
            expect(Number.isSafeInteger(seconds)).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(DurationError);
          }
        },
      ),
    );
  });

  it("parseDuration() reads back what writeDuration() writes", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 36_525 * 86_400 }), (seconds) => {
        expect(parseDuration(writeDuration(seconds))).toBe(seconds);
      }),
    );
  });
});

describe("formatDuration()", () => {
  const day = 86_400;
  it.each([
    [0, "0 s"],
    [17, "17 s"],
    [60, "1 min"],
    [90, "90 s"],
    [1337, "22 min"],
    [2820.5, "47 min"],
    [3600, "1 h"],
    [5400, "1 h 30 min"],
    [22 * 3600 + 600, "22 h 10 min"],
    [86_400, "24 h"],
    [12 * day + 4 * 3600, "12 d 4 h"],
    [18 * day + 12_345, "18 d"],
    [30 * day, "30 d"],
    [365 * day, "365 d"],
    [3650 * day, "10 y"],
    [-5, "0 s"],
  ])("formatDuration(%d) is %j", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});

describe("formatLeft()", () => {
  const now = new Date("2026-01-01T00:00:00Z");
  it("formatLeft() says what is left, or since when it is over", () => {
    expect(formatLeft(new Date("2026-01-01T00:22:00Z"), now)).toBe("22 min left");
    expect(formatLeft(new Date("2025-12-31T23:59:56Z"), now)).toBe("ended 4 s ago");
  });
});
