// The mark outside the store: what it finds that the store alone cannot know, and that it never refuses a whole store.

import { cpSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Mark, openMark, readMark } from "../../src/store/level-mark.ts";
import type { Store } from "../../src/store/store.ts";
import { idsOf, thing } from "../fakes/things.ts";
import { refused, store } from "./store-suite.ts";
import { type LevelUnderTest, levelUnderTest, wallClock } from "./stores.ts";

let under: LevelUnderTest;
let db: Store;
let markPath: string;
beforeEach(async () => {
  under = await levelUnderTest({ mark: "beside" });
  db = under.store;
  markPath = `${under.dir}.mark`;
});
afterEach(() => under.dispose());

const outside = (): string => join(under.dir, "..");

/** The files as a kill would leave them, while the store is open. */
function keep(name: string, ...paths: readonly string[]): () => Promise<void> {
  const copies = paths.map((path, i) => [path, join(outside(), `${name}-${i}`)] as const);
  for (const [path, copy] of copies) cpSync(path, copy, { recursive: true });
  return async () => {
    await db.close();
    for (const [path, copy] of copies) {
      rmSync(path, { recursive: true });
      renameSync(copy, path);
    }
  };
}

function logFile(): string {
  const dbDir = join(under.dir, "db");
  const [log] = readdirSync(dbDir).filter((file) => file.endsWith(".log") && statSync(join(dbDir, file)).size > 0);
  if (log === undefined) throw new Error("no log");
  return join(dbDir, log);
}

const numberOf = async (): Promise<number> => {
  const mark = await readMark(markPath);
  return mark.state === "whole" ? mark.number : -1;
};

describe("the continuity mark", () => {
  test("is 16 octets that name the last acknowledged commit, before its answer is given", async () => {
    for (let i = 0; i < 5; i++) {
      await store(db, thing(`k${i}`));
      // The first commit made the store itself.
      expect(await numberOf()).toBe(i + 2);
    }
    expect(statSync(markPath).size).toBe(16);
    expect(statSync(markPath).mode & 0o777).toBe(0o600);
    await db.close();
    db = await under.open();
    expect(await idsOf(db, "key")).toHaveLength(5);
  });

  test("finds acknowledged commits that a flipped bit at the end of the log took away, naming both numbers", async () => {
    for (let i = 0; i < 20; i++) await store(db, thing(`k${i}`));
    await keep("killed", under.dir)();
    const log = logFile();
    const octets = readFileSync(log);
    octets[octets.length - 1] = (octets.at(-1) ?? 0) ^ 1;
    writeFileSync(log, octets);
    const error = await refused(under.open(), "damaged");
    expect(error.message).toContain("the store ends with commit 20, but commit 21 was acknowledged");
    // As it was found: whoever mends the log by hand gets everything back.
    expect(readFileSync(logFile()).equals(octets)).toBe(true);
    octets[octets.length - 1] = (octets.at(-1) ?? 0) ^ 1;
    writeFileSync(logFile(), octets);
    db = await under.open();
    expect(await idsOf(db, "key")).toHaveLength(20);
  });

  test("finds a log that was cut, and one that is gone", async () => {
    for (let i = 0; i < 20; i++) await store(db, thing(`k${i}`));
    await keep("killed", under.dir)();
    truncateSync(logFile(), 200);
    expect((await refused(under.open(), "damaged")).message).toMatch(/ends with commit \d+, but commit 21 was/);
    rmSync(logFile());
    expect((await refused(under.open(), "damaged")).message).toMatch(/commit/);
  });

  test("finds an old copy of the store's directory that was put back, naming both numbers", async () => {
    await store(db, thing("a"));
    const putBack = keep("old", under.dir);
    await store(db, thing("b"));
    await putBack();
    const error = await refused(under.open(), "damaged");
    expect(error.message).toContain("the store ends with commit 2, but commit 3 was acknowledged");
  });

  test("is not carried by a copy: an old copy of store and mark put back is refused, also at the second try", async () => {
    await store(db, thing("a"));
    const putBack = keep("old", under.dir, markPath);
    await store(db, thing("b"));
    await putBack();
    for (let i = 0; i < 2; i++) {
      const error = await refused(under.open(), "damaged");
      expect(error.message).toMatch(/the store is a copy: its mark .*, commit 2, was written in another file/);
    }
  });

  test("stays its own when store and mark are renamed", async () => {
    await store(db, thing("a"));
    await db.close();
    for (const path of [under.dir, markPath]) renameSync(path, `${path}.away`);
    for (const path of [under.dir, markPath]) renameSync(`${path}.away`, path);
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a"]);
  });

  test.each([
    ["missing", () => rmSync(markPath), /store\.mark is missing/],
    ["empty", () => truncateSync(markPath, 0), /store\.mark is empty/],
    ["cut", () => truncateSync(markPath, 7), /store\.mark is damaged/],
    ["longer", () => truncateSync(markPath, 4096), /store\.mark is damaged/],
    ["zeroed", () => writeFileSync(markPath, new Uint8Array(16)), /store\.mark is damaged/],
    ["flipped", () => flip(markPath, 5), /store\.mark is damaged/],
  ])("%s: a store that had one is refused until the mark is accepted anew", async (_, damage, said) => {
    await store(db, thing("a"));
    await db.close();
    damage();
    expect((await refused(under.open(), "damaged")).message).toMatch(said);
    await refused(under.open(), "damaged");
    db = await under.open({ acceptMark: true });
    await store(db, thing("b"));
    await db.close();
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a", "b"]);
  });

  test("an older mark, as a power cut leaves it, refuses nothing", async () => {
    const old = readFileSync(markPath);
    await store(db, thing("a"));
    await store(db, thing("b"));
    await db.close();
    writeFileSync(markPath, old);
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a", "b"]);
    expect(await numberOf()).toBe(3);
  });

  test("a store from before marks is given one", async () => {
    const before = await levelUnderTest();
    try {
      await store(before.store, thing("a"));
      await before.store.close();
      const mark = `${before.dir}.mark`;
      const opened = await before.open({ mark });
      await store(opened, thing("b"));
      await opened.close();
      rmSync(mark);
      await refused(before.open({ mark }), "damaged");
    } finally {
      await before.dispose();
    }
  });

  test("a commit in doubt that was stored after all puts the store ahead of the mark, never behind", async () => {
    await store(db, thing("a"));
    under.failNextWrite(true);
    const reopened = under.next("reopened");
    await refused(store(db, thing("b")), "in_doubt");
    await reopened;
    expect(await numberOf()).toBe(2);
    await db.close();
    db = await under.open();
    expect(await idsOf(db, "key")).toEqual(["a", "b"]);
  });

  test("one that cannot be written is told once, fails no commit, and works again by itself", async () => {
    await db.close();
    let isBroken = true;
    const open = async (path: string): Promise<Mark> => {
      const mark = await openMark(path, wallClock);
      return {
        ...mark,
        write: (number) =>
          isBroken && number > 2 ? Promise.reject(new Error("i/o error (planted)")) : mark.write(number),
      };
    };
    db = await under.open({ openMark: open });
    for (const id of ["a", "b", "c"]) await store(db, thing(id));
    const told = under.events.filter(({ kind }) => kind === "mark_failed");
    expect(told).toHaveLength(1);
    expect(db.health()).toMatchObject({
      ok: true,
      problems: [expect.objectContaining({ what: expect.stringContaining("planted") })],
    });
    isBroken = false;
    await store(db, thing("d"));
    expect(db.health().problems).toEqual([]);
    expect(await numberOf()).toBe(5);
  });
});

function flip(path: string, at: number): void {
  const octets = readFileSync(path);
  octets[at] = (octets[at] ?? 0) ^ 0x10;
  writeFileSync(path, octets);
}
