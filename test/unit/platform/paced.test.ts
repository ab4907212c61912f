import { expect, test } from "vitest";
import { createPace } from "../../../src/platform/paced.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";

test("createPace().next() lets one second's worth go at once, the queue after them in order, and turns the rest away", async () => {
  const clock = fakeClock();
  const pace = createPace({ perSecond: 20, queue: 100, clock });
  const gone: number[] = [];
  const refused: number[] = [];
  for (let i = 0; i < 130; i++) void pace.next().then((isTurn) => (isTurn ? gone : refused).push(i));
  await clock.advance(0);
  expect(gone).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(refused).toEqual(Array.from({ length: 10 }, (_, i) => 120 + i));
  await clock.advance(1000);
  expect(gone).toHaveLength(40);
  await clock.advance(4000);
  expect(gone).toEqual(Array.from({ length: 120 }, (_, i) => i));
  expect(pace.fullLineSeconds).toBe(5);
  await clock.advance(60_000); // Quiet time is not saved up beyond a second.
  for (let i = 200; i < 230; i++) void pace.next().then(() => gone.push(i));
  await clock.advance(0);
  expect(gone).toHaveLength(140);
});

test("createPace().next() gives the place of one that left to another, and takes no turn for it", async () => {
  const clock = fakeClock();
  const pace = createPace({ perSecond: 1, queue: 1, clock });
  expect(await pace.next()).toBe(true);
  const leaving = new AbortController();
  const left = pace.next(leaving.signal);
  expect(await pace.next()).toBe(false);
  leaving.abort();
  expect(await left).toBe(false);
  expect(await pace.next(leaving.signal)).toBe(false);
  const next = pace.next();
  await clock.advance(1000);
  expect(await next).toBe(true);
});
