import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { agrees, type ClockReading, expectedMs, followed, toleranceMs } from "../../../src/platform/clock-anchor.ts";
import { anchorAtStart, countVotes, judgeClock, type KeptClock } from "../../../src/registry/clock-rule.ts";

const anchor: ClockReading = { wallMs: 1_000_000_000, bootMs: 5000 };
const hour = 3_600_000;

describe("judgeClock()", () => {
  const votes = (withWall: number, live: number, withExpected = 0) => ({ votes: { withWall, live, withExpected } });
  it.each([
    ["the clocks go on together", 0, {}, "agrees"],
    ["60 s forward", 60_000, {}, "agrees"],
    ["60 s back", -60_000, {}, "agrees"],
    ["a millisecond more than 60 s forward", 60_001, {}, "unsure"],
    ["a millisecond more than 60 s back", -60_001, {}, "unsure"],
    ["6 h forward, no agent", 6 * hour, votes(0, 0), "unsure"],
    ["6 h forward, half of the agents agree with it", 6 * hour, votes(2, 4), "unsure"],
    ["6 h forward, most agents agree with it", 6 * hour, votes(3, 4), "agents_agree"],
    ["6 h forward, the one agent agrees with it", 6 * hour, votes(1, 1), "agents_agree"],
    ["6 h forward, the agents that are silent count as not agreeing", 6 * hour, votes(2, 5), "unsure"],
    ["6 h forward, an admin accepts it", 6 * hour, { accepted: true }, "accepted"],
    [
      "6 h forward, an admin accepts it against all agents",
      6 * hour,
      { accepted: true, ...votes(0, 9, 9) },
      "accepted",
    ],
    ["a day back, most agents agree with it", -24 * hour, votes(5, 9), "agents_agree"],
    ["back where it was expected, whatever was said", 0, votes(0, 9), "agrees"],
  ] as const)("%s", (_, offMs, evidence, verdict) => {
    const reading = { wallMs: anchor.wallMs + hour + offMs, bootMs: anchor.bootMs + hour };
    expect(judgeClock(anchor, reading, evidence)).toBe(verdict);
  });
});

describe("anchorAtStart()", () => {
  const kept: KeptClock = { latestMs: 1_000_000_000, bootMs: 500_000, bootId: "x", unsureSinceMs: undefined };
  const unsure = { ...kept, unsureSinceMs: 999_000_000 };
  const here = { wallMs: kept.latestMs, bootMs: kept.bootMs };
  it.each([
    ["a first start", undefined, here, "x", true],
    ["a week on, in another boot", kept, { wallMs: kept.latestMs + 168 * hour, bootMs: 9 }, "y", true],
    [
      "a week on, as far as the wall clock tells",
      kept,
      { wallMs: kept.latestMs + 168 * hour, bootMs: 500_100 },
      "x",
      true,
    ],
    ["60 s before the latest time", kept, { wallMs: kept.latestMs - 60_000, bootMs: 9 }, "y", true],
    ["more than 60 s before the latest time", kept, { wallMs: kept.latestMs - 60_001, bootMs: 9 }, "y", false],
    [
      "before the latest time, and the boot is not known",
      kept,
      { wallMs: kept.latestMs - hour, bootMs: 9 },
      undefined,
      false,
    ],
    [
      "behind by what the boot clock says went by",
      kept,
      { wallMs: kept.latestMs + 10, bootMs: 500_000 + hour },
      "x",
      false,
    ],
    [
      "not sure before, and nothing was mended",
      unsure,
      { wallMs: kept.latestMs + 6 * hour, bootMs: 500_100 },
      "x",
      false,
    ],
    [
      "not sure before, another boot, still far ahead",
      unsure,
      { wallMs: kept.latestMs + 6 * hour, bootMs: 9 },
      "y",
      false,
    ],
    ["not sure before, mended since", unsure, { wallMs: kept.latestMs + hour, bootMs: 500_000 + hour }, "x", true],
  ] as const)("%s", (_, former, reading, bootId, sure) => {
    expect(agrees(anchorAtStart(former, reading, bootId), reading)).toBe(sure);
  });

  it("a machine that started before the latest time is sure as soon as its clock is not earlier than that any more", () => {
    const held = anchorAtStart(kept, { wallMs: 0, bootMs: 9 }, "y");
    expect(agrees(held, { wallMs: kept.latestMs - toleranceMs - 1, bootMs: 9 })).toBe(false);
    const mended = { wallMs: kept.latestMs + 72 * hour, bootMs: 1000 };
    expect(agrees(held, mended)).toBe(true);
    // From there on it is held to what it says.
    const next = followed(held, mended);
    expect(agrees(next, { wallMs: mended.wallMs + hour, bootMs: 1010 })).toBe(false);
  });
});

describe("countVotes()", () => {
  it("judges what an agent said by what its clock shows now, however long ago that was", () => {
    const reading = { wallMs: anchor.wallMs + 6 * hour, bootMs: anchor.bootMs + 10_000 };
    // Minus our time since boot when it was heard.
    const offsets = new Map([
      ["as before", anchor.wallMs - anchor.bootMs + 300],
      ["with us", reading.wallMs - reading.bootMs - 59_000],
      ["lost", 0],
      ["gone", reading.wallMs - reading.bootMs],
    ]);
    const live = ["as before", "with us", "lost", "silent"];
    expect(countVotes(anchor, reading, { live, offsets })).toEqual({ live: 4, withWall: 1, withExpected: 1 });
  });
});

describe("followed()", () => {
  const step = fc.record({
    passMs: fc.integer({ min: 0, max: 6 * hour }),
    setMs: fc.oneof(fc.integer({ min: -2000, max: 2000 }), fc.integer({ min: -90_000, max: 90_000 })),
  });

  it("whatever small steps a clock is set in, it is never further from the time since boot than 60 s and a thousandth", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let held: ClockReading = anchor;
        let reading = anchor;
        for (const { passMs, setMs } of steps) {
          reading = { wallMs: reading.wallMs + passMs + setMs, bootMs: reading.bootMs + passMs };
          if (!agrees(held, reading)) return;
          held = followed(held, reading);
          const goneMs = reading.bootMs - anchor.bootMs;
          expect(Math.abs(reading.wallMs - expectedMs(anchor, reading.bootMs))).toBeLessThanOrEqual(
            toleranceMs + goneMs * 0.001 + 1,
          );
        }
      }),
    );
  });

  it("a clock that is set by 2 s every hour, for ever, stays sure; one jump over 60 s never is followed", () => {
    let held: ClockReading = anchor;
    let reading = anchor;
    for (let hours = 0; hours < 1000; hours++) {
      reading = { wallMs: reading.wallMs + hour + 2000, bootMs: reading.bootMs + hour };
      expect(agrees(held, reading)).toBe(true);
      held = followed(held, reading);
    }
    const jumped = { wallMs: reading.wallMs + 65_000, bootMs: reading.bootMs + 1 };
    expect(agrees(held, jumped)).toBe(false);
  });
});
