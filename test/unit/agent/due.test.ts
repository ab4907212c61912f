import { describe, expect, it } from "vitest";
import { calmRenewal, newSlot } from "../../../agent/identities/cache.ts";
import { planRenewals } from "../../../agent/identities/due.ts";
import { dualTime } from "../../../src/sdk/renew-at.ts";
import { entryOf, heldOf, idOf, slotOf, start } from "./slots.ts";

const nobody: ReadonlySet<string> = new Set();
const later = (seconds: number): { at: Date; monotonicMs: number } => ({
  at: new Date(start.getTime() + seconds * 1000),
  monotonicMs: 1000 + seconds * 1000,
});
const paths = (plan: ReturnType<typeof planRenewals>): readonly string[] =>
  plan.due.map(({ spiffeId }) => spiffeId.slice(21));

describe("planRenewals()", () => {
  it("waits until the earliest is due", () => {
    const plan = planRenewals(
      [slotOf("/a"), slotOf("/b", { held: heldOf("/b", { ttlSeconds: 7200 }) })],
      later(0),
      nobody,
    );
    expect([paths(plan), plan.nextMs]).toEqual([[], 1_800_000]);
  });

  it("takes along what is due within a fiftieth of its ttl, and only then", () => {
    const near = slotOf("/near", { due: dualTime(later(1871).at, later(0)) });
    const far = slotOf("/far", { due: dualTime(later(1873).at, later(0)) });
    expect(paths(planRenewals([slotOf("/a"), near, far], later(1800), nobody))).toEqual(["/a", "/near"]);
    expect(paths(planRenewals([near, far], later(1800), nobody))).toEqual([]);
  });

  it("takes at once what was never obtained, has ended, is asked for, or is of an older entry revision", () => {
    const fresh = { ...newSlot(idOf("/new"), undefined), entry: entryOf("/new") };
    const changed = slotOf("/changed", { entry: entryOf("/changed", { revision: 2n }) });
    const forced = slotOf("/forced", { renewal: { ...calmRenewal, forced: true } });
    expect(paths(planRenewals([fresh, changed, forced, slotOf("/calm")], later(1), nobody))).toEqual([
      "/new",
      "/changed",
      "/forced",
    ]);
    expect(paths(planRenewals([slotOf("/ended")], { ...later(3601), monotonicMs: 1001 }, nobody))).toEqual(["/ended"]);
  });

  it("leaves out what is withdrawn, has no entry yet, or is under way", () => {
    const slots = [slotOf("/gone", { withdrawn: true }), newSlot(idOf("/listed"), undefined), slotOf("/busy")];
    const plan = planRenewals(slots, later(3000), new Set([idOf("/busy")]));
    expect([paths(plan), plan.nextMs]).toEqual([[], Number.POSITIVE_INFINITY]);
  });

  it("keeps a back-off, also of what would be taken along", () => {
    const retry = dualTime(later(1805).at, later(0));
    const failed = slotOf("/failed", { renewal: { ...calmRenewal, failures: 2, retry } });
    const plan = planRenewals([failed, slotOf("/a")], later(1800), nobody);
    expect([paths(plan), plan.nextMs]).toEqual([["/a"], 5000]);
  });

  it("puts first what ends first", () => {
    const short = slotOf("/short", { held: heldOf("/short", { ttlSeconds: 60 }) });
    expect(paths(planRenewals([slotOf("/long"), short], later(2000), nobody))).toEqual(["/short", "/long"]);
  });
});
