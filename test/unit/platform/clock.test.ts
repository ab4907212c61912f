import { describe, expect, it } from "vitest";
import { backoffMs } from "../../../src/platform/backoff.ts";
import { createChanges } from "../../../src/platform/changes.ts";
import { systemClock } from "../../../src/platform/clock.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import { systemRandom } from "../../../src/platform/random.ts";
import { createTasks } from "../../../src/platform/tasks.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";
import { FakeRandom } from "../../fakes/fake-random.ts";

describe("Clock", () => {
  it("systemClock.sleep() of any length resolves at an abort, also when it came before", async () => {
    for (const ms of [2 ** 40, Number.POSITIVE_INFINITY]) {
      const stop = new AbortController();
      const sleeping = systemClock.sleep(ms, { signal: stop.signal });
      stop.abort();
      await sleeping;
      await systemClock.sleep(ms, { signal: stop.signal });
    }
  });

  it("systemClock.sleep() ends by itself, and one that is negative or no number at once", async () => {
    const before = systemClock.monotonicMs();
    await systemClock.sleep(5);
    await systemClock.sleep(-1);
    await systemClock.sleep(Number.NaN);
    expect(systemClock.monotonicMs()).toBeGreaterThan(before);
  });

  it("FakeClock.advance() wakes sleepers in order, each at its time, and those that they lead to", async () => {
    const clock = new FakeClock("2026-01-01T00:00:00Z");
    const seen: string[] = [];
    const loop = async (name: string, ms: number, times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        await clock.sleep(ms);
        seen.push(`${name}@${clock.monotonicMs()}`);
      }
    };
    void loop("slow", 1000, 1);
    void loop("quick", 300, 4);
    await clock.advance(1000);
    expect(seen).toEqual(["quick@300", "quick@600", "quick@900", "slow@1000"]);
    expect(clock.now().toISOString()).toBe("2026-01-01T00:00:01.000Z");
    expect(clock.sleeping).toBe(1);
  });

  it("FakeClock.jump() moves the wall clock only", async () => {
    const clock = new FakeClock("2026-01-01T00:00:00Z");
    const stop = new AbortController();
    const sleeping = clock.sleep(1000, { signal: stop.signal });
    clock.jump(3_600_000);
    expect([clock.now().getUTCHours(), clock.monotonicMs(), clock.sleeping]).toEqual([1, 0, 1]);
    stop.abort();
    await sleeping;
  });
});

describe("Random", () => {
  it("systemRandom.bytes() gives so many octets in an array of its own, and fraction() is in [0, 1)", () => {
    const octets = systemRandom.bytes(16);
    expect([octets.length, octets.buffer.byteLength]).toEqual([16, 16]);
    expect(Buffer.from(octets).equals(systemRandom.bytes(16))).toBe(false);
    for (let i = 0; i < 1000; i++) {
      const fraction = systemRandom.fraction();
      expect(fraction >= 0 && fraction < 1).toBe(true);
    }
  });

  it("FakeRandom gives the same for the same seed", () => {
    expect(new FakeRandom("a").bytes(40)).toEqual(new FakeRandom("a").bytes(40));
    expect(new FakeRandom("a").bytes(40)).not.toEqual(new FakeRandom("b").bytes(40));
    const random = new FakeRandom("a", [0.1, 0.9]);
    expect([random.fraction(), random.fraction(), random.fraction()]).toEqual([0.1, 0.9, 0.1]);
  });
});

describe("backoffMs()", () => {
  const limits = { baseMs: 100, mostMs: 1000, leastMs: 10 };
  it.each([
    [1, 0.99999, 100],
    [2, 0.99999, 200],
    [4, 0.99999, 800],
    [5, 0.99999, 1000],
    [1000, 0.5, 500],
    [3, 0, 10],
    [0, 0.5, 50],
  ])("backoffMs(%i, %d) is %i", (failures, fraction, ms) => {
    expect(backoffMs(failures, fraction, limits)).toBe(ms);
  });
});

describe("createTasks()", () => {
  it("stop() aborts all work, awaits it, and nothing starts afterwards", async () => {
    const tasks = createTasks(silentLogger);
    const seen: string[] = [];
    tasks.start("loop", async (signal) => {
      await systemClock.sleep(Number.POSITIVE_INFINITY, { signal });
      await Promise.resolve();
      seen.push("ended");
    });
    expect(tasks.running).toEqual(["loop"]);
    await tasks.stop();
    tasks.start("late", async () => void seen.push("late"));
    expect([seen, tasks.running]).toEqual([["ended"], []]);
  });

  it("a task that fails is told of, logged with its name, and does not end the others", async () => {
    const logged: unknown[] = [];
    const failures: string[] = [];
    const tasks = createTasks(
      { debug: () => undefined, error: (fields, event) => void logged.push({ ...fields, event }) },
      { failed: (name) => void failures.push(name) },
    );
    const error = new Error("no disk");
    tasks.start("bad", () => Promise.reject(error));
    tasks.start("throws", () => {
      throw error;
    });
    tasks.start("good", (signal) => systemClock.sleep(Number.POSITIVE_INFINITY, { signal }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(tasks.running).toEqual(["good"]);
    expect(failures.sort()).toEqual(["bad", "throws"]);
    expect(logged).toContainEqual({ task: "bad", err: error, event: "task failed" });
    await tasks.stop();
  });

  it("work that ends by its abort is no failure", async () => {
    const failures: string[] = [];
    const tasks = createTasks(silentLogger, { failed: (name) => void failures.push(name) });
    tasks.start(
      "wait",
      (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    );
    await tasks.stop();
    expect(failures).toEqual([]);
  });
});

describe("createChanges()", () => {
  it("a slow subscriber gets the first and the latest value, never two calls at once", async () => {
    const changes = createChanges<number>(() => undefined);
    const seen: number[] = [];
    let release: (() => void) | undefined;
    changes.subscribe(async (value) => {
      seen.push(value);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    changes.publish(1);
    await Promise.resolve();
    await Promise.resolve();
    for (const value of [2, 3, 4]) changes.publish(value);
    release?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([1, 4]);
  });

  it("a listener that throws stays subscribed, and one that left hears nothing", async () => {
    const errors: unknown[] = [];
    const seen: string[] = [];
    const changes = createChanges<string>((error) => void errors.push(error));
    changes.subscribe((value) => {
      seen.push(value);
      throw new Error(value);
    });
    const leave = changes.subscribe((value) => void seen.push(`left ${value}`));
    changes.publish("a");
    leave();
    await new Promise((resolve) => setImmediate(resolve));
    changes.publish("b");
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(["a", "b"]);
    expect(errors).toHaveLength(2);
  });
});
