import { afterEach, describe, expect, it } from "vitest";
import { calmRenewal, IdentityCache, newSlot } from "../../../agent/identities/cache.ts";
import { DirectoryError } from "../../../agent/identities/directory-error.ts";
import { type IssueAnswer, type IssueItem, Rotator, type RotatorDeps } from "../../../agent/identities/rotator.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import type { IssuedCertificate } from "../../../src/sdk/judge-issued.ts";
import { parseCsr } from "../../../src/x509/csr.ts";
import { after, buildCa } from "../../fakes/build-ca.ts";
import { entryOf, idOf } from "./slots.ts";
import { SteppedClock } from "./stepped-clock.ts";

const begin = new Date("2026-11-24T12:00:00Z");
const ca = buildCa({ at: begin });

interface Bench {
  readonly clock: SteppedClock;
  readonly cache: IdentityCache;
  readonly rotator: Rotator;
  /** Paths of each batch, with the seconds since the begin. */
  readonly batches: { readonly at: number; readonly paths: readonly string[] }[];
  readonly results: string[];
  readonly keys: string[];
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function issue(item: IssueItem, at: Date, ttlSeconds: number): IssuedCertificate {
  const { spkiDer } = parseCsr(item.csrDer);
  const notAfter = after(new Date(Math.floor(at.getTime() / 1000) * 1000), ttlSeconds);
  const { leaf, chainDer } = ca.issue({ uri: item.spiffeId, spkiDer, notAfter });
  return {
    chainDer,
    serialHex: leaf.serialHex,
    spiffeId: item.spiffeId,
    notBefore: leaf.notBefore,
    notAfter,
    ttlSeconds,
    authority: "int-1",
    limitedByAuthority: false,
    entryId: "e-1",
    entryRevision: 1n,
    serverTime: at,
  };
}

function bench(
  change: Partial<RotatorDeps> & { readonly answer?: (item: IssueItem, at: Date) => IssueAnswer } = {},
): Bench {
  const clock = new SteppedClock(begin);
  const cache = new IdentityCache();
  const batches: Bench["batches"] = [];
  const results: string[] = [];
  const keys: string[] = [];
  const { answer, ...deps } = change;
  const rotator = new Rotator({
    clock,
    random: { fraction: () => 0.5 },
    logger: silentLogger,
    cache,
    trust: () => ({ bundle: ca.bundle, denyList: { sequence: 1n, denied: [] } }),
    connected: () => true,
    issue: async (items) => {
      batches.push({
        at: (clock.now().getTime() - begin.getTime()) / 1000,
        paths: items.map(({ spiffeId }) => spiffeId.slice("spiffe://prod.example".length)),
      });
      for (const item of items) keys.push(Buffer.from(parseCsr(item.csrDer).spkiDer).toString("hex"));
      return items.map((item) => answer?.(item, clock.now()) ?? { ok: true, issued: issue(item, clock.now(), 3600) });
    },
    probeKept: async () => {},
    probe: async () => {},
    keepKey: () => false,
    retry: { baseMs: 2000, mostMs: 30_000, leastMs: 1000 },
    batchSize: 100,
    lanes: 4,
    counted: (result) => void results.push(result),
    sawServerTime: () => {},
    ...deps,
  });
  const ending = new AbortController();
  const run = rotator.run(ending.signal);
  stops.push(async () => {
    ending.abort();
    await run;
  });
  return { clock, cache, rotator, batches, results, keys };
}

const add = (cache: IdentityCache, path: string): void =>
  cache.put({ ...newSlot(idOf(path), undefined), entry: entryOf(path) });

describe("Rotator", () => {
  it("obtains what is new at once and renews it in the middle of its life, with a new key", async () => {
    const { clock, cache, batches, keys } = bench();
    add(cache, "/a");
    await clock.advance(1);
    expect(batches).toEqual([{ at: 0, paths: ["/a"] }]);
    await clock.advance(1799 * 1000);
    expect(batches).toHaveLength(1);
    await clock.advance(1000);
    expect(batches[1]).toEqual({ at: 1800, paths: ["/a"] });
    expect(new Set(keys).size).toBe(2);
  });

  it("takes what is due soon along in one batch", async () => {
    const { clock, cache, batches } = bench();
    add(cache, "/a");
    await clock.advance(30_000);
    add(cache, "/b");
    await clock.advance(1800_000);
    expect(batches.at(-1)).toEqual({ at: 1800, paths: ["/a", "/b"] });
  });

  it("asks for at most 100 at once", async () => {
    const { clock, cache, batches } = bench();
    for (let i = 0; i < 250; i++) add(cache, `/n${i}`);
    await clock.advance(1);
    expect(batches.map(({ paths }) => paths.length)).toEqual([100, 100, 50]);
    expect(cache.all().every(({ held }) => held !== undefined)).toBe(true);
  });

  it("keeps the old identity and backs off when the server refuses, and tells why", async () => {
    let refuse = false;
    const answer = (item: IssueItem, at: Date): IssueAnswer =>
      refuse
        ? { ok: false, detail: "no", away: false, retryAfterSeconds: 0 }
        : { ok: true, issued: issue(item, at, 3600) };
    const { clock, cache, batches, results } = bench({ answer });
    add(cache, "/a");
    await clock.advance(1);
    const first = cache.get(idOf("/a"))?.held;
    refuse = true;
    await clock.advance(1900_000);
    expect(cache.get(idOf("/a"))?.held).toBe(first);
    expect(cache.get(idOf("/a"))?.renewal).toMatchObject({ lastError: "no" });
    // 1, 2, 4, 8, 15, 15 s: half of a limit that doubles up to 30 s.
    expect(batches.slice(1, 8).map(({ at }) => at)).toEqual([1800, 1801, 1803, 1807, 1815, 1830, 1845]);
    refuse = false;
    await clock.advance(30_000);
    expect(cache.get(idOf("/a"))?.held).not.toBe(first);
    expect(cache.get(idOf("/a"))?.renewal.failures).toBe(0);
    expect(new Set(results)).toEqual(new Set(["renewed", "refused"]));
  });

  it("waits as long as the server says", async () => {
    const answer = (): IssueAnswer => ({ ok: false, detail: "too many", away: false, retryAfterSeconds: 300 });
    const { clock, cache, batches } = bench({ answer });
    add(cache, "/a");
    await clock.advance(400_000);
    expect(batches.map(({ at }) => at)).toEqual([0, 300]);
  });

  it("asks nobody while the server is away, and at once when it is back", async () => {
    let connected = false;
    const { clock, cache, rotator, batches } = bench({ connected: () => connected });
    add(cache, "/a");
    await clock.advance(60_000);
    expect(batches).toEqual([]);
    connected = true;
    rotator.serverIsBack();
    await clock.advance(1);
    expect(batches).toHaveLength(1);
  });

  it("tries at once what failed for want of a server when it is back", async () => {
    let away = true;
    const answer = (item: IssueItem, at: Date): IssueAnswer =>
      away
        ? { ok: false, detail: "away", away: true, retryAfterSeconds: 0 }
        : { ok: true, issued: issue(item, at, 3600) };
    const { clock, cache, rotator } = bench({ answer });
    add(cache, "/a");
    await clock.advance(20_000);
    away = false;
    rotator.serverIsBack();
    await clock.advance(1);
    expect(cache.get(idOf("/a"))?.held).toBeDefined();
  });

  it("asks the server for nothing that could not be written, and goes on when it can", async () => {
    let full = false;
    const { clock, cache, batches, results } = bench({
      probe: async () => {
        if (full) throw new DirectoryError("no_space", "cannot write /run/a: no space left on device");
      },
    });
    add(cache, "/a");
    await clock.advance(1);
    full = true;
    await clock.advance(1830_000);
    expect(batches).toHaveLength(1);
    expect(results).toContain("disk");
    expect(cache.get(idOf("/a"))?.renewal).toMatchObject({
      diskBlocked: true,
      lastError: "cannot write /run/a: no space left on device",
    });
    full = false;
    await clock.advance(30_000);
    expect(batches).toHaveLength(2);
    expect(cache.get(idOf("/a"))?.renewal).toMatchObject({ failures: 0, diskBlocked: false });
  });

  it("never renews twice within a second, however often it is asked to", async () => {
    const { clock, cache, rotator, batches } = bench();
    add(cache, "/a");
    await clock.advance(1);
    for (let i = 0; i < 20; i++) {
      rotator.force([idOf("/a")]);
      await clock.advance(100);
    }
    expect(batches.length).toBeLessThanOrEqual(3);
  });

  it("renewNow() resolves when each was tried", async () => {
    const { clock, cache, rotator, batches } = bench();
    add(cache, "/a");
    await clock.advance(2000);
    const done = rotator.renewNow([idOf("/a")], new AbortController().signal);
    await clock.advance(1);
    await done;
    expect(batches).toHaveLength(2);
  });

  it("renews once after a jump of the wall clock, and by the monotonic clock when the wall was set back", async () => {
    const { clock, cache, batches } = bench({
      answer: (item, at) => ({ ok: true, issued: issue(item, at, 3600) }),
    });
    add(cache, "/a");
    await clock.advance(1);
    clock.jump(2000_000);
    await clock.advance(61_000);
    expect(batches).toHaveLength(2);
    clock.jump(-1900_000);
    await clock.advance(1900_000);
    expect(batches).toHaveLength(3);
  });

  it("does not accept what is judged wrong, and storms nobody when its own clock is a year ahead", async () => {
    const answer = (item: IssueItem): IssueAnswer => ({ ok: true, issued: issue(item, begin, 3600) });
    const { clock, cache, batches, results } = bench({ answer });
    add(cache, "/a");
    await clock.advance(1);
    const held = cache.get(idOf("/a"))?.held;
    clock.jump(365 * 86_400_000);
    await clock.advance(600_000);
    expect(cache.get(idOf("/a"))?.held).toBe(held);
    expect(results).toContain("not_accepted");
    expect(batches.length).toBeLessThan(60);
  });

  it("refuses names that the entry does not have", async () => {
    const { clock, cache } = bench();
    cache.put({ ...newSlot(idOf("/a"), undefined), entry: entryOf("/a", { dnsNames: ["a.prod.example"] }) });
    await clock.advance(1);
    expect(cache.get(idOf("/a"))?.held).toBeUndefined();
    expect(cache.get(idOf("/a"))?.renewal.lastError).toContain("its names are not those of the entry");
  });

  it("keeps the key where that is configured, but not after a revocation", async () => {
    let denied: readonly { authorityKeyId: string; serialHex: string }[] = [];
    const { clock, cache, keys, rotator } = bench({
      keepKey: () => true,
      trust: () => ({ bundle: ca.bundle, denyList: { sequence: 1n, denied } }),
    });
    add(cache, "/a");
    await clock.advance(2000);
    rotator.force([idOf("/a")]);
    await clock.advance(2000);
    expect(new Set(keys).size).toBe(1);
    denied = [
      { authorityKeyId: ca.intermediate.subjectKeyId ?? "", serialHex: cache.get(idOf("/a"))?.held?.serialHex ?? "" },
    ];
    rotator.force([idOf("/a")]);
    await clock.advance(2000);
    expect(new Set(keys).size).toBe(2);
  });

  it("forgets a failure of a deleted entry", async () => {
    const { clock, cache, batches } = bench();
    cache.put({ ...newSlot(idOf("/a"), undefined), entry: entryOf("/a"), renewal: { ...calmRenewal, failures: 1 } });
    cache.remove(idOf("/a"));
    await clock.advance(100_000);
    expect(batches).toEqual([]);
  });
});
