import { afterEach, describe, expect, it } from "vitest";
import { calmRenewal, IdentityCache, type IdentitySlot } from "../../../agent/identities/cache.ts";
import { DirectoryError } from "../../../agent/identities/directory-error.ts";
import type { TrustFiles } from "../../../agent/identities/identity-set.ts";
import type { KeptIdentities, KeptIdentity } from "../../../agent/identities/kept.ts";
import type { ReloadAction } from "../../../agent/identities/reload.ts";
import { IdentityWriter } from "../../../agent/identities/writer.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import { newNodeKey } from "../../../src/sdk/node-key.ts";
import { buildCa } from "../../fakes/build-ca.ts";
import { entryOf, heldOf, idOf, slotOf, start } from "./slots.ts";
import { SteppedClock } from "./stepped-clock.ts";

const ca = buildCa();
const trustOf = (bundle: bigint): TrustFiles => ({
  bundle: { ...ca.bundle, sequence: bundle },
  denyList: { sequence: 1n, denied: [] },
  crlsDer: [],
});
const key = newNodeKey();

interface Bench {
  readonly clock: SteppedClock;
  readonly cache: IdentityCache;
  readonly writer: IdentityWriter;
  readonly kept: Map<string, KeptIdentity>;
  /** What happened, in order. */
  readonly log: string[];
  readonly failures: string[];
  full: { kept: boolean; directory: boolean };
  trust: TrustFiles;
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function bench(reload?: ReloadAction): Bench {
  const clock = new SteppedClock(start);
  const cache = new IdentityCache();
  const kept = new Map<string, KeptIdentity>();
  const log: string[] = [];
  const failures: string[] = [];
  const keeping: KeptIdentities = {
    load: async () => [...kept.values()],
    keep: async (each) => {
      if (self.full.kept) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      log.push(`keep ${each.held.serialHex}${each.withdrawn ? " withdrawn" : ""}`);
      kept.set(each.held.spiffeId, each);
    },
    forget: async (id) => {
      log.push("forget");
      kept.delete(id);
    },
  };
  const writer = new IdentityWriter({
    clock,
    random: { fraction: () => 0.5 },
    logger: silentLogger,
    cache,
    kept: keeping,
    trust: () => self.trust,
    write: async (_, set) => {
      if (self.full.directory)
        throw new DirectoryError("no_space", "cannot write /run/signet/a: no space left on device");
      const identity = JSON.parse(
        new TextDecoder().decode(set.find(({ name }) => name === "identity.json")?.bytes),
      ) as Record<string, string>;
      log.push(`write ${identity["serialHex"]} bundle ${identity["bundleSequence"]}`);
    },
    clear: async () => void log.push("clear"),
    reloadOf: () => reload,
    reload: (request) => void log.push(`reload ${request}`),
    retry: { baseMs: 2000, mostMs: 30_000, leastMs: 1000 },
    lanes: 4,
    failed: (reason) => void failures.push(reason),
  });
  const self: Bench = {
    clock,
    cache,
    writer,
    kept,
    log,
    failures,
    full: { kept: false, directory: false },
    trust: trustOf(1n),
  };
  const ending = new AbortController();
  const run = writer.run(ending.signal);
  stops.push(async () => {
    ending.abort();
    await run;
  });
  return self;
}

/** A slot that was obtained just now and is nowhere yet. */
function obtained(serialHex: string, fields: Partial<IdentitySlot> = {}): IdentitySlot {
  const { disk, ...slot } = slotOf("/a", { held: heldOf("/a", { serialHex, keyDer: key.keyDer }) });
  return { ...slot, disk: { ...disk, state: "none", shown: undefined }, ...fields };
}
const disk = ({ cache }: Bench): IdentitySlot["disk"] | undefined => cache.get(idOf("/a"))?.disk;

describe("IdentityWriter", () => {
  it("keeps an identity before it shows it, once", async () => {
    const it = bench();
    it.cache.put(obtained("40"));
    await it.writer.settled();
    expect(it.log).toEqual(["keep 40", "write 40 bundle 1"]);
    expect(disk(it)).toMatchObject({ state: "on_disk", shown: { serialHex: "40", bundle: 1n, denied: 1n } });
    it.cache.change(idOf("/a"), (slot) => ({ ...slot, renewal: { ...calmRenewal, failures: 1 } }));
    await it.clock.advance(60_000);
    expect(it.log).toHaveLength(2);
  });

  it("writes the set again when only the trust beside it changed", async () => {
    const it = bench();
    it.cache.put(obtained("40"));
    await it.writer.settled();
    it.trust = trustOf(2n);
    it.writer.trustChanged();
    await it.writer.settled();
    expect(it.log.slice(2)).toEqual(["write 40 bundle 2"]);
  });

  it("keeps the entry anew when only that changed", async () => {
    const it = bench();
    it.cache.put(obtained("40"));
    await it.writer.settled();
    it.cache.change(idOf("/a"), (slot) => ({ ...slot, entry: entryOf("/a", { revision: 9n }) }));
    await it.writer.settled();
    expect(it.log.slice(2)).toEqual(["keep 40"]);
    expect(it.kept.get(idOf("/a"))?.entry?.revision).toBe(9n);
  });

  it("tries again what could not be written, and calls it failed until then", async () => {
    const it = bench();
    it.cache.put(obtained("40"));
    await it.writer.settled();
    it.full.directory = true;
    it.cache.change(idOf("/a"), (slot) => ({ ...slot, held: heldOf("/a", { serialHex: "41", keyDer: key.keyDer }) }));
    await it.clock.advance(10_000);
    expect(disk(it)).toMatchObject({
      state: "write_failed",
      shown: { serialHex: "40" },
      lastError: "cannot write /run/signet/a: no space left on device",
    });
    expect(it.failures.length).toBeGreaterThan(1);
    expect(new Set(it.failures)).toEqual(new Set(["no_space"]));
    it.full.directory = false;
    await it.clock.advance(30_000);
    expect(disk(it)).toMatchObject({
      state: "on_disk",
      shown: { serialHex: "41" },
      failures: 0,
      lastError: "",
      retryAt: undefined,
    });
  });

  it("shows an identity also when it cannot be kept, says so, and keeps it later", async () => {
    const it = bench();
    it.full.kept = true;
    it.cache.put(obtained("40"));
    await it.writer.settled();
    expect(disk(it)).toMatchObject({ state: "write_failed", shown: { serialHex: "40" } });
    it.full.kept = false;
    await it.clock.advance(30_000);
    expect(it.log).toEqual(["write 40 bundle 1", "keep 40"]);
    expect(disk(it)?.state).toBe("on_disk");
  });

  it("takes a withdrawn identity away when it ends, files first, and keeps the withdrawal before", async () => {
    const it = bench();
    it.cache.put(obtained("40"));
    await it.writer.settled();
    it.cache.change(idOf("/a"), (slot) => ({ ...slot, withdrawn: true }));
    await it.clock.advance(3599_000);
    expect(it.log.slice(2)).toEqual(["keep 40 withdrawn"]);
    await it.clock.advance(2000);
    expect(it.log.slice(3)).toEqual(["clear", "forget"]);
    expect(it.cache.get(idOf("/a"))).toBeUndefined();
  });

  it("does not hand out what had ended when the agent started", async () => {
    const it = bench();
    it.clock.jump(4000_000);
    const slot = obtained("40");
    it.cache.put(slot);
    it.writer.noteKept(slot);
    await it.writer.settled();
    expect(it.log).toEqual([]);
  });

  it("asks for a reload after each write, and counts only the answer to the last", async () => {
    const it = bench({ kind: "command", command: ["x"], deadlineMs: 1000 });
    it.cache.put(obtained("40"));
    await it.writer.settled();
    it.trust = trustOf(2n);
    it.writer.trustChanged();
    await it.writer.settled();
    const [first = "", second = ""] = it.log.filter((line) => line.startsWith("reload ")).map((line) => line.slice(7));
    it.writer.reloadDone(first, undefined);
    expect(disk(it)?.reloadPending).toBe(true);
    it.writer.reloadDone(second, "nginx ended with 1");
    expect(disk(it)).toMatchObject({ state: "reload_failed", lastError: "nginx ended with 1", reloadPending: true });
    it.writer.reloadDone(second, undefined);
    expect(disk(it)).toMatchObject({ state: "on_disk", lastError: "", reloadPending: false });
  });
});
