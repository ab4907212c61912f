// What the level store promises beyond the port: damage is found, the directory has one owner, a failed write gives the
// handle up, an opening that lost something is undone.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLevelStore, openLevelStore } from "../../src/store/level.ts";
import { type Engine, openEngine } from "../../src/store/level-engine.ts";
import { commitKey, SCHEMA_KEY, STATE_KEY } from "../../src/store/level-layout.ts";
import { seal, unseal } from "../../src/store/record.ts";
import { putIfAbsent, remove, type Store, StoreError, update } from "../../src/store/store.ts";
import { idsOf, itemsOf, thing, things } from "../fakes/things.ts";
import { refused, store } from "./store-suite.ts";
import { type LevelUnderTest, levelUnderTest, wallClock } from "./stores.ts";

let under: LevelUnderTest;
let db: Store;
beforeEach(async () => {
  under = await levelUnderTest();
  db = under.store;
});
afterEach(() => under.dispose());

/** Works on the engine's own keys while no store has them. */
async function tamper(work: (engine: Engine) => Promise<void>): Promise<void> {
  const engine = await openEngine(join(under.dir, "db"), { create: false });
  await work(engine);
  await engine.close();
}

async function put(engine: Engine, key: string, value: Uint8Array | undefined): Promise<void> {
  const batch = engine.batch();
  if (value === undefined) batch.del(key);
  else batch.put(key, value);
  await batch.write();
}

/** Files of the engine's directory with what is in them, but for its log for people. */
function files(): ReadonlyMap<string, string> {
  const db = join(under.dir, "db");
  const names = readdirSync(db).filter((name) => !name.startsWith("LO"));
  return new Map(names.map((name) => [name, readFileSync(join(db, name)).toString("hex")]));
}

describe("openLevelStore()", () => {
  test("finds what was committed before close()", async () => {
    const revisions = await store(db, ...Array.from({ length: 50 }, (_, size) => thing(`k${size}`, { size })));
    await db.close();
    db = await under.open();
    expect(await itemsOf(db.scan(things, "size"))).toHaveLength(50);
    expect(await db.get(things, "k7")).toEqual({ value: thing("k7", { size: 7 }), revision: revisions[7] });
    expect((await db.stats()).counts).toEqual({ things: 50 });
    expect((await db.stats()).bytes).toBeGreaterThan(0);
    expect((await db.stats()).lastCommitAt).toBeUndefined();
  });

  test("gives no revision out again after a record was deleted and the store opened anew", async () => {
    const [first = 0] = await store(db, thing("a"));
    const updated = await db.commit([update(things, thing("a"), first)]);
    const second = updated.done ? (updated.revisions[0] ?? 0) : 0;
    await db.commit([remove(things, "a", second)]);
    await db.close();
    db = await under.open();
    const [third = 0] = await store(db, thing("a"));
    expect(third).toBeGreaterThan(second);
  });

  test("never makes a store: a missing or an empty directory is unavailable, and stays as it was", async () => {
    const missing = join(under.dir, "../missing");
    const error = await refused(openLevelStore(missing, { clock: wallClock }), "unavailable");
    expect(error.message).toContain("there is no store in");
    expect(existsSync(missing)).toBe(false);
    mkdirSync(missing);
    await refused(openLevelStore(missing, { clock: wallClock }), "unavailable");
    expect(readdirSync(missing)).toEqual([]);
  });

  test("a store without CURRENT is damaged, and none of its files is touched", async () => {
    await store(db, thing("a"));
    await db.close();
    const current = join(under.dir, "db/CURRENT");
    renameSync(current, `${current}.away`);
    const before = files();
    const error = await refused(under.open(), "damaged");
    expect(error.message).toContain("CURRENT");
    expect(files()).toEqual(before);
    await refused(createLevelStore(under.dir, { clock: wallClock }), "wrong_use");
    expect(files()).toEqual(before);
    renameSync(`${current}.away`, current);
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
  });

  test("a second opener is refused while the first works on", async () => {
    const error = await refused(under.open(), "unavailable");
    expect(error.message).toContain("another process (a server) uses the store in");
    await refused(createLevelStore(under.dir, { clock: wallClock }), "unavailable");
    await store(db, thing("a"));
    await db.close();
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
  });

  test("of several that open at the same time one gets the store", async () => {
    await db.close();
    const tries = await Promise.allSettled([1, 2, 3, 4].map(() => under.open()));
    expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("opens when the files of the lock are damaged", async () => {
    await db.close();
    writeFileSync(join(under.dir, "lock/CURRENT"), "nonsense");
    db = await under.open();
    await refused(under.open(), "unavailable");
  });

  test("a newer version is refused, naming both, and left as it was", async () => {
    await db.close();
    const fields = new TextEncoder().encode(JSON.stringify({ version: 7 }));
    await tamper((engine) => put(engine, SCHEMA_KEY, seal(SCHEMA_KEY, { version: 1, revision: 0, value: fields })));
    const before = files();
    const error = await refused(under.open(), "wrong_use");
    expect(error.message).toContain("version 7");
    expect(error.message).toContain("reads up to 1");
    expect(files()).toEqual(before);
  });

  test.each([
    ["in the middle", 4, "commit 4 is missing, commit 5 is there"],
    ["the oldest kept", 1, "commit 1 is missing, commit 2 is there"],
  ])("a gap in the commit numbers is refused, naming both: %s", async (_, lost, message) => {
    for (let i = 0; i < 6; i++) await store(db, thing(`k${i}`));
    await db.close();
    await tamper((engine) => put(engine, commitKey(lost), undefined));
    const error = await refused(under.open(), "damaged");
    expect(error.message).toContain(message);
    expect(existsSync(join(under.dir, "guard"))).toBe(false);
  });

  test("a state that is not that of the last commit is refused", async () => {
    await store(db, thing("a"));
    await db.close();
    let held: Uint8Array | undefined;
    await tamper(async (engine) => {
      held = await engine.get(STATE_KEY);
    });
    db = await under.open();
    await store(db, thing("b"));
    await db.close();
    await tamper((engine) => put(engine, STATE_KEY, held));
    expect((await refused(under.open(), "damaged")).message).toContain("the state is that of commit 2");
  });

  test.each([SCHEMA_KEY, STATE_KEY, commitKey(2)])("a flipped bit in its own record %s is refused", async (key) => {
    await store(db, thing("a"));
    await db.close();
    await tamper(async (engine) => {
      const octets = await engine.get(key);
      if (octets === undefined) throw new Error("not there");
      octets[octets.length - 1] = (octets.at(-1) ?? 0) ^ 1;
      await put(engine, key, octets);
    });
    expect((await refused(under.open(), "damaged")).message).toContain(key);
  });

  test("keeps commit numbers only as far back as a log can reach", async () => {
    const note = "x".repeat(1_000_000);
    for (let i = 0; i < 90; i++) await store(db, thing(`k${i}`, { note }));
    await db.close();
    await tamper(async (engine) => {
      const cursor = engine.keys({ gte: "c/", lt: "c0" });
      const kept = await cursor.next(1000);
      await cursor.close();
      expect(kept.length).toBeLessThan(80);
      expect(kept.length).toBeGreaterThanOrEqual(64);
      expect(kept.at(-1)).toBe(commitKey(91));
    });
    db = await under.open();
    await store(db, thing("last"));
    expect((await db.stats()).counts).toEqual({ things: 91 });
  });

  test("a log that is damaged in the middle is refused, and put back as it was", async () => {
    for (let i = 0; i < 200; i++) await store(db, thing(`k${i}`, { note: "x".repeat(1000) }));
    await killed();
    const log = logFile();
    const octets = readFileSync(log);
    octets.fill(0xff, 70_000, 70_100);
    writeFileSync(log, octets);
    const before = files();
    const error = await refused(under.open(), "damaged");
    expect(error.message).toMatch(/commit \d+ is missing, commit \d+ is there/);
    expect(error.message).toContain("the engine says");
    expect(files()).toEqual(before);
  });

  test("a log whose tail was never written whole is taken, and told of", async () => {
    for (let i = 0; i < 20; i++) await store(db, thing(`k${i}`));
    await killed();
    const log = logFile();
    const octets = readFileSync(log);
    // The last record with a wrong checksum: what a power cut leaves of a batch that nobody was told of.
    octets[octets.length - 1] = (octets.at(-1) ?? 0) ^ 0xff;
    writeFileSync(log, octets);
    db = await under.open();
    expect(await idsOf(db, "key")).toHaveLength(19);
    expect(under.events.some(({ kind }) => kind === "engine_complained")).toBe(true);
    await store(db, thing("more"));
  });

  test.each([1, 2, 3])("a log that cannot be read at that moment loses nothing: %i times", async (times) => {
    for (let i = 0; i < 20; i++) await store(db, thing(`k${i}`));
    await killed();
    const before = files();
    // The engine opens without a log that it cannot open, and deletes it. Here it finds a directory in its place.
    const log = logFile();
    let left = times;
    const opening = under.open({
      async openEngine(location, options) {
        if (left-- <= 0) return openEngine(location, options);
        rmSync(log);
        mkdirSync(log);
        try {
          return await openEngine(location, options);
        } finally {
          rmSync(log, { recursive: true, force: true });
        }
      },
    });
    if (times === 3) {
      const error = await refused(opening, "unavailable");
      expect(error.message).toMatch(/was not read whole: .*\.log/);
      expect(files()).toEqual(before);
      db = await under.open();
    } else db = await opening;
    expect(left).toBeLessThanOrEqual(0);
    expect(await idsOf(db, "key")).toHaveLength(20);
  });

  test("a guard left by a killed opening is put back; a half-made or half-removed one is not", async () => {
    await store(db, thing("a"));
    await killed();
    const [dbDir, guard] = [join(under.dir, "db"), join(under.dir, "guard")];
    renameSync(dbDir, guard);
    mkdirSync(dbDir);
    mkdirSync(`${guard}.tmp`);
    writeFileSync(join(`${guard}.tmp`, "CURRENT"), "nonsense");
    mkdirSync(`${guard}.gone`);
    writeFileSync(join(`${guard}.gone`, "CURRENT"), "nonsense");
    rmSync(join(guard, "LOCK"), { force: true });
    rmSync(join(guard, "LOG"), { force: true });
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
    expect(readdirSync(under.dir).toSorted()).toEqual(["db", "lock"]);
  });
});

describe("createLevelStore()", () => {
  test("refuses a directory that has a store", async () => {
    await store(db, thing("a"));
    await db.close();
    await refused(createLevelStore(under.dir, { clock: wallClock }), "wrong_use");
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
  });

  test("cut short leaves no store, and can be done again", async () => {
    const dir = join(under.dir, "../second");
    const failing = levelOptionsThatFail();
    await expect(createLevelStore(dir, failing)).rejects.toMatchObject({ code: "unavailable" });
    await refused(openLevelStore(dir, { clock: wallClock }), "unavailable");
    const made = await createLevelStore(dir, { clock: wallClock });
    await store(made, thing("a"));
    await made.close();
  });

  test("makes directories that others may not enter", () => {
    for (const name of [".", "db"]) expect(statSync(join(under.dir, name)).mode & 0o077, name).toBe(0);
  });

  function levelOptionsThatFail(): Parameters<typeof createLevelStore>[1] {
    under.engine.failNextWrite(true);
    return { clock: wallClock, openEngine: under.engine.open };
  }
});

describe("damage", () => {
  const record = `d/things\0a`;

  async function flipAndOpen(at: (octets: Uint8Array) => number): Promise<void> {
    await store(db, thing("a", { owner: "ada", note: "n" }), thing("b", { owner: "bob" }));
    await db.close();
    await tamper(async (engine) => {
      const octets = await engine.get(record);
      if (octets === undefined) throw new Error("not there");
      const i = at(octets);
      octets[i] = (octets[i] ?? 0) ^ 0x04;
      await put(engine, record, octets);
    });
    db = await under.open();
  }

  test.each([
    ["the checksum", () => 0],
    ["the format", () => 4],
    ["the version", () => 6],
    ["the revision", () => 12],
    ["the first octet of the value", () => 13],
    ["the last octet of the value", (octets: Uint8Array) => octets.length - 1],
  ])("a flipped bit in %s is found by every way to read, never a wrong value", async (_, at) => {
    await flipAndOpen(at);
    const named = 'record "a" of things';
    expect((await refused(db.get(things, "a"), "damaged")).message).toContain(named);
    for (const index of ["key", "size", "owner"]) {
      expect((await refused(itemsOf(db.scan(things, index)), "damaged")).message).toContain(named);
    }
    expect((await refused(db.commit([putIfAbsent(things, thing("a"))]), "damaged")).message).toContain(named);
    expect((await db.get(things, "b"))?.value.owner).toBe("bob");
    expect(await idsOf(db, "owner", { prefix: ["bob"] })).toEqual(["b"]);
  });

  test("fails the commits that need the record, and no other of the group", async () => {
    await flipAndOpen((octets) => octets.length - 1);
    const answers = await Promise.allSettled([
      db.commit([putIfAbsent(things, thing("c"))]),
      db.commit([update(things, thing("a"), 1), putIfAbsent(things, thing("d"))]),
      db.commit([putIfAbsent(things, thing("e"))]),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await db.get(things, "d")).toBeUndefined();
    expect(db.health().ok).toBe(true);
  });

  test("a value of another key is damage", async () => {
    await store(db, thing("a"), thing("b"));
    await db.close();
    await tamper(async (engine) => put(engine, record, await engine.get("d/things\0b")));
    db = await under.open();
    await refused(db.get(things, "a"), "damaged");
  });

  test("an index entry without its record, or with another value than its record has, is damage", async () => {
    await store(db, thing("a", { tags: ["x"] }), thing("b", { tags: ["x"] }));
    await db.close();
    await tamper(async (engine) => {
      await put(engine, `i/things\0tag\0\x03y\0\x01a`, new Uint8Array());
      await put(engine, `i/things\0tag\0\x03z\0\x01nobody`, new Uint8Array());
    });
    db = await under.open();
    expect(await idsOf(db, "tag", { prefix: ["x"] })).toEqual(["a", "b"]);
    const other = await refused(itemsOf(db.scan(things, "tag", { prefix: ["y"] })), "damaged");
    expect(other.message).toContain("index tag has it under another value");
    const none = await refused(itemsOf(db.scan(things, "tag", { prefix: ["z"] })), "damaged");
    expect(none.message).toContain('"nobody" of things: index tag has it, but it is not there');
  });

  test("unseal() takes only what seal() made for the same key, octet for octet", () => {
    const sealed = { version: 65535, revision: 2 ** 47 + 5, value: new Uint8Array([1, 2, 3]) };
    const octets = seal("k", sealed);
    expect(unseal("k", octets)).toEqual(sealed);
    expect(unseal("K", octets)).toBeUndefined();
    for (let bit = 0; bit < octets.length * 8; bit++) {
      const flipped = new Uint8Array(octets);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(unseal("k", flipped), `bit ${bit}`).toBeUndefined();
    }
    for (let length = 0; length < octets.length; length++)
      expect(unseal("k", octets.subarray(0, length))).toBeUndefined();
  });
});

describe("after a failed write", () => {
  test("waiting commits are unavailable, nothing is served until the store was opened again, then all is", async () => {
    const release = under.engine.holdWrites();
    under.engine.failNextWrite(true);
    under.engine.failOpens(3);
    const inFlight = db.commit([putIfAbsent(things, thing("a"))]);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const waiting = db.commit([putIfAbsent(things, thing("b"))]);
    const [failed, reopened] = [under.next("write_failed"), under.next("reopened")];
    release();
    const answers = Promise.allSettled([inFlight, waiting]);
    await failed;
    expect(db.health()).toMatchObject({ ok: false, detail: expect.stringContaining("no space left (planted)") });
    await refused(db.commit([putIfAbsent(things, thing("c"))]), "unavailable");
    await refused(db.get(things, "a"), "unavailable");
    await refused(itemsOf(db.scan(things, "key")), "unavailable");
    const codes = (await answers).map((answer) =>
      answer.status === "rejected" ? (answer.reason as StoreError).code : "done",
    );
    expect(codes).toEqual(["in_doubt", "unavailable"]);
    await reopened;
    expect(db.health().ok).toBe(true);
    expect(await idsOf(db, "key")).toEqual(["a"]);
    await store(db, thing("b"));
    expect(under.events.filter(({ kind }) => kind === "reopen_failed").length).toBeGreaterThan(0);
    await db.close();
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a", "b"]);
  });

  test("a store that ends before what was acknowledged is not served", async () => {
    await store(db, thing("a"));
    await store(db, thing("b"));
    const dbDir = join(under.dir, "db");
    under.engine.failNextWrite(false);
    const failed = under.next("reopen_failed");
    // While the store opens again the log is cut: the tail of what was acknowledged is gone.
    under.engine.failOpens(3);
    await refused(db.commit([putIfAbsent(things, thing("c"))]), "in_doubt");
    await failed;
    for (const file of readdirSync(dbDir)) if (file.endsWith(".log")) truncateSync(join(dbDir, file), 0);
    const event = await under.next("reopen_failed");
    expect(event).toMatchObject({ reason: expect.stringMatching(/commit/) });
    expect(db.health().ok).toBe(false);
    await refused(db.get(things, "a"), "unavailable");
  });

  test("close() ends the tries to open again and frees the directory", async () => {
    under.engine.failNextWrite(true);
    under.engine.failOpens(Number.POSITIVE_INFINITY);
    const failed = under.next("reopen_failed");
    await refused(db.commit([putIfAbsent(things, thing("a"))]), "in_doubt");
    await failed;
    await db.close();
    await refused(db.get(things, "a"), "closed");
    under.engine.failOpens(0);
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
  });
});

describe("under load", () => {
  test("a full queue is overloaded at once, and what is in it is done", async () => {
    await db.close();
    db = await under.open({ limits: { maxWaiting: 10 } });
    const all = Array.from({ length: 15 }, (_, i) => db.commit([putIfAbsent(things, thing(`k${i}`))]));
    const answers = await Promise.allSettled(all);
    const codes = answers.map((answer) => (answer.status === "rejected" ? (answer.reason as StoreError).code : "done"));
    expect(codes).toEqual([...Array(10).fill("done"), ...Array(5).fill("overloaded")]);
    expect((await db.stats()).counts).toEqual({ things: 10 });
    await store(db, thing("later"));
  });

  test("the queue is bounded in octets too", async () => {
    await db.close();
    db = await under.open({ limits: { maxWaitingOctets: 5000 } });
    const note = "x".repeat(2000);
    for (const round of ["a", "b", "c"]) {
      const all = Array.from({ length: 4 }, (_, i) =>
        db.commit([putIfAbsent(things, thing(`${round}${i}`, { note }))]),
      );
      const statuses = (await Promise.allSettled(all)).map(({ status }) => status);
      expect(statuses).toEqual(["fulfilled", "fulfilled", "rejected", "rejected"]);
    }
  });

  test("commits that arrive while a group is written share the next", async () => {
    const release = under.engine.holdWrites();
    const first = db.commit([putIfAbsent(things, thing("first"))]);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const more = Array.from({ length: 40 }, (_, i) => db.commit([putIfAbsent(things, thing(`k${i}`))]));
    release();
    await Promise.all([first, ...more]);
    const groups = under.events.filter((event) => event.kind === "group_stored").map(({ commits }) => commits);
    expect(groups).toEqual([1, 40]);
  });

  test("health() is bad while a write waits for the disk too long", async () => {
    await db.close();
    db = await under.open({ slowWriteMs: 0 });
    const release = under.engine.holdWrites();
    const commit = db.commit([putIfAbsent(things, thing("a"))]);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(db.health()).toMatchObject({ ok: false, detail: expect.stringContaining("a write has been waiting") });
    release();
    await commit;
    expect(db.health().ok).toBe(true);
  });

  test("a read that fails fails the commits that need it, and no other of the group", async () => {
    await store(db, thing("good"), thing("bad"));
    under.engine.failReadsOf("\0bad");
    const answers = await Promise.allSettled([
      db.commit([putIfAbsent(things, thing("a"))]),
      db.commit([putIfAbsent(things, thing("bad"))]),
      db.commit([putIfAbsent(things, thing("good"))]),
    ]);
    const error = await refused(db.get(things, "bad"), "unavailable");
    expect(error.message).toContain('record "bad" of things cannot be read now');
    expect(answers[0]).toMatchObject({ status: "fulfilled", value: { done: true } });
    expect(answers[1]).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
    expect(answers[2]).toMatchObject({ status: "fulfilled", value: { done: false } });
    expect(db.health().ok).toBe(true);
  });
});

/** Leaves the files as a killed process does: the log is not emptied. */
async function killed(): Promise<void> {
  const dbDir = join(under.dir, "db");
  const left = new Map(readdirSync(dbDir).map((file) => [file, readFileSync(join(dbDir, file))]));
  await db.close();
  for (const file of readdirSync(dbDir)) if (file !== "LOCK") rmSync(join(dbDir, file));
  for (const [file, octets] of left) if (file !== "LOCK") writeFileSync(join(dbDir, file), octets);
}

function logFile(): string {
  const dbDir = join(under.dir, "db");
  const logs = readdirSync(dbDir).filter((file) => file.endsWith(".log") && statSync(join(dbDir, file)).size > 0);
  const [log] = logs;
  if (log === undefined || logs.length > 1) throw new Error(`expected one log, found ${logs.length}`);
  return join(dbDir, log);
}
