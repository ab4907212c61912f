import { expect, test } from "vitest";
import type { Authority } from "../../../src/authority/authority.ts";
import { nextSteps, type RotationSettings, scheduleOf } from "../../../src/authority/schedule.ts";
import type { TrustView } from "../../../src/authority/trust-state.ts";
import { after, buildCa } from "../../fakes/build-ca.ts";
import { authority, now } from "../issuing/facts.ts";

const day = 86_400;
const { intermediate } = buildCa({ intermediateSeconds: 30 * day });
const settings: RotationSettings = {
  prepareAt: 1 / 2,
  activateAt: 2 / 3,
  acknowledgeWaitMs: 300_000,
  longestTtlMs: { services: day * 1000, devices: 0 },
  crlLifeSeconds: { root: 365 * day, intermediate: 7 * day },
};

const viewOf = (...authorities: readonly Authority[]): TrustView => ({ authorities }) as unknown as TrustView;

test("scheduleOf() prepares at 1/2 and activates at 2/3 of the life, counted from when it was made", () => {
  expect(scheduleOf(authority(intermediate), settings)).toEqual({
    prepareAt: after(now, 15 * day),
    activateAt: after(now, 20 * day),
  });
});

test("scheduleOf() is never later than twice the longest ttl before the end", () => {
  const longest = { ...settings, longestTtlMs: { services: 7 * day * 1000, devices: 0 } };
  expect(scheduleOf(authority(intermediate), longest)).toEqual({
    prepareAt: after(now, 15 * day),
    activateAt: after(now, 16 * day),
  });
  const longer = { ...settings, longestTtlMs: { services: 10 * day * 1000, devices: 0 } };
  expect(scheduleOf(authority(intermediate), longer)).toEqual({
    prepareAt: after(now, 10 * day),
    activateAt: after(now, 10 * day),
  });
});

test("nextSteps() of an active authority without a successor: prepare one", () => {
  const active = authority(intermediate);
  expect(nextSteps(viewOf(active), settings, new Map())).toEqual([
    { step: "prepare", after: active, at: after(now, 15 * day), activateAt: after(now, 20 * day) },
  ]);
});

test("nextSteps() of a prepared one: activate it when due, with a wait that is counted from then", () => {
  const active = authority(intermediate);
  const made = after(now, 100);
  const fields = { name: "int-2", state: "prepared", preparedAt: made.getTime() } as const;
  const prepared = authority(intermediate, { ...fields, activateFrom: made.getTime() });
  expect(nextSteps(viewOf(active, prepared), settings, new Map())).toEqual([
    { step: "activate", authority: prepared, at: made, waitUntil: after(made, 300) },
  ]);
  const late = authority(intermediate, { ...fields, activateFrom: after(made, 5000).getTime() });
  expect(nextSteps(viewOf(active, late), settings, new Map())).toEqual([
    { step: "activate", authority: late, at: after(made, 5000), waitUntil: after(made, 5300) },
  ]);
});

test("nextSteps() of an old one: retire it when its last leaf has ended, at once when it has none", () => {
  const old = authority(intermediate, { state: "old", oldAt: now.getTime() });
  const active = authority(intermediate, { name: "int-2", preparedAt: now.getTime() });
  const ends = after(now, 77);
  const [first] = nextSteps(viewOf(old, active), settings, new Map([["int-1", ends]]));
  expect(first).toEqual({ step: "retire", authority: old, at: ends });
  expect(nextSteps(viewOf(old, active), settings, new Map())[0]).toEqual({ step: "retire", authority: old, at: now });
});

test("nextSteps() of a retired one: nothing", () => {
  expect(nextSteps(viewOf(authority(intermediate, { state: "retired" })), settings, new Map())).toEqual([]);
});
