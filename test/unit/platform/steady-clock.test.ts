import { describe, expect, it } from "vitest";
import { steadyClock } from "../../../src/platform/steady-clock.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";

const hour = 3_600_000;

describe("steadyClock()", () => {
  it.each([
    ["an hour back", -hour],
    ["a day forward", 24 * hour],
  ])("goes on by the time since boot when the wall clock goes %s, and shows the wall clock beside", (_, jumpMs) => {
    const clock = fakeClock();
    const steady = steadyClock(clock, clock);
    const startMs = clock.now().getTime();
    clock.jump(jumpMs);
    clock.pass(60);
    expect(steady.now().getTime()).toBe(startMs + 60_000);
    expect(steady.wall()).toEqual(clock.now());
    clock.jump(-jumpMs);
    expect(steady.now()).toEqual(clock.now());
  });

  it("follows the wall clock within a minute", () => {
    const clock = fakeClock();
    const steady = steadyClock(clock, clock);
    for (const ms of [59_000, -59_000]) {
      clock.jump(ms);
      expect(steady.now()).toEqual(clock.now());
    }
  });

  it("takes the wall clock once who is trusted says the same, and nothing else", () => {
    const clock = fakeClock();
    const steady = steadyClock(clock, clock);
    const startMs = clock.now().getTime();
    clock.jump(2 * hour);
    steady.heard(new Date(startMs));
    expect(steady.now().getTime()).toBe(startMs);
    steady.heard(new Date(startMs + 2 * hour + 61_000));
    expect(steady.now().getTime()).toBe(startMs);
    steady.heard(new Date(startMs + 2 * hour - 59_000));
    expect(steady.now()).toEqual(clock.now());
  });
});
