import { describe, expect, it } from "vitest";
import { acknowledged } from "../../../agent/acknowledged.ts";
import { emptyDisk, type IdentitySlot, newSlot, notReadyReason, stateOf } from "../../../agent/identities/cache.ts";
import { entryOf, heldOf, idOf, slotOf, start } from "./slots.ts";

const trust = { bundle: 5n, denied: 9n };
const durable = { ...trust, error: "" };
const shown = { serialHex: "40aa", entryRevision: 1n, bundle: 5n, denied: 9n };
const fine = (path: string, disk: Partial<IdentitySlot["disk"]> = {}): IdentitySlot =>
  slotOf(path, { disk: { ...emptyDisk, state: "on_disk", shown, ...disk } });
const judge = (slots: readonly IdentitySlot[], kept: typeof durable = durable): ReturnType<typeof acknowledged> =>
  acknowledged(trust, kept, { slots, entryRevision: 7n, now: start });

describe("acknowledged()", () => {
  it("is what is held when it is durable and every directory shows it", () => {
    expect(judge([fine("/a"), fine("/b")])).toEqual({ bundle: 5n, denied: 9n, entryRevision: 7n, heldBackBy: "" });
    expect(judge([]).bundle).toBe(5n);
  });

  it("is one less, with the reason, while one directory shows an older one", () => {
    const full = fine("/b", {
      state: "write_failed",
      shown: { ...shown, bundle: 4n },
      lastError: "cannot write /b: no space",
    });
    expect(judge([fine("/a"), full])).toMatchObject({
      bundle: 4n,
      denied: 8n,
      heldBackBy: "cannot write /b: no space",
    });
  });

  it("is one less until each reload since has succeeded", () => {
    expect(judge([fine("/a", { reloadPending: true })])).toMatchObject({
      bundle: 4n,
      heldBackBy: "the reload for /run/signet/a has not ended",
    });
    const failed = fine("/a", { reloadPending: true, state: "reload_failed", lastError: "nginx ended with 1" });
    expect(judge([failed])).toMatchObject({ bundle: 4n, heldBackBy: "nginx ended with 1" });
  });

  it("is what a restart would find when the data directory cannot be written", () => {
    expect(judge([fine("/a")], { bundle: 3n, denied: 9n, error: "no space" })).toMatchObject({
      bundle: 3n,
      denied: 9n,
      heldBackBy: "no space",
    });
  });

  it.each([
    ["nothing", { bundle: 5n, denied: 9n }, { bundle: 5n, denied: 9n, heldBackBy: "" }],
    ["the bundle", { bundle: 4n, denied: 9n }, { bundle: 4n, denied: 9n }],
    ["the deny list", { bundle: 5n, denied: 8n }, { bundle: 5n, denied: 8n }],
    ["an old deny list", { bundle: 5n, denied: 2n }, { bundle: 5n, denied: 2n }],
    ["both", { bundle: 3n, denied: 6n }, { bundle: 3n, denied: 6n }],
  ])("does not go ahead of what is durable while it is being written: %s", (_, kept, told) => {
    const heldBackBy = "the data directory is being written";
    for (const slots of [[], [fine("/a")]]) {
      expect(judge(slots, { ...kept, error: "" })).toMatchObject({ heldBackBy, ...told });
    }
  });

  it("is held back by an identity that cannot be written at all, not by one that was never obtained", () => {
    const never = slotOf("/a", { disk: { ...emptyDisk, state: "write_failed", lastError: "unsafe" } });
    expect(judge([never])).toMatchObject({ bundle: 4n, heldBackBy: "unsafe" });
    expect(judge([{ ...newSlot(idOf("/b"), "/b"), entry: entryOf("/b") }]).bundle).toBe(5n);
  });

  it("tells the entry revision up to which everything is on disk", () => {
    expect(judge([fine("/a"), { ...fine("/b"), entry: entryOf("/b", { revision: 6n }) }]).entryRevision).toBe(5n);
    expect(judge([{ ...fine("/b"), entry: entryOf("/b", { revision: 6n }), withdrawn: true }]).entryRevision).toBe(7n);
  });
});

describe("stateOf()", () => {
  it("is the worst that is true", () => {
    expect(stateOf(fine("/a"))).toBe("on_disk");
    expect(stateOf(fine("/a", { shown: { ...shown, serialHex: "41" } }))).toBe("memory");
    expect(stateOf(fine("/a", { state: "write_failed" }))).toBe("write_failed");
    const failing = { ...fine("/a").renewal, failures: 1 };
    expect(stateOf({ ...fine("/a"), renewal: failing })).toBe("renew_failed");
    expect(stateOf({ ...fine("/a"), renewal: { ...failing, diskBlocked: true } })).toBe("write_failed");
  });
});

describe("notReadyReason()", () => {
  it("is undefined for what is valid on disk, whatever the server does", () => {
    expect(notReadyReason(fine("/a"), start)).toBeUndefined();
    expect(notReadyReason({ ...fine("/a"), renewal: { ...fine("/a").renewal, failures: 9 } }, start)).toBeUndefined();
  });

  it("says since when an identity has ended, to the second that is no longer valid", () => {
    const end = heldOf("/a").notAfter;
    expect(notReadyReason(fine("/a"), end)).toBeUndefined();
    expect(notReadyReason(fine("/a"), new Date(end.getTime() + 1))).toBe("ended at 2026-11-24T13:00:00.000Z");
  });

  it("does not ask for what was withdrawn", () => {
    expect(notReadyReason({ ...fine("/a"), withdrawn: true }, new Date("2030-01-01T00:00:00Z"))).toBeUndefined();
  });
});
