import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readMark } from "../../src/store/level-mark.ts";
import type { Store } from "../../src/store/store.ts";
import { itemsOf, others, things } from "../fakes/things.ts";
import { type LevelUnderTest, levelUnderTest } from "./stores.ts";

const child = fileURLToPath(new URL("store-kill-child.ts", import.meta.url));
const ROUNDS = 6;

let under: LevelUnderTest;
beforeEach(async () => {
  under = await levelUnderTest({ mark: "beside" });
});
afterEach(() => under.dispose());

describe("kill -9 of a process that commits", () => {
  test("what was acknowledged is there, whole, with its index entries; the rest is whole or not there", async () => {
    const acknowledged = new Set<string>();
    let counter = 0;
    const marked: number[] = [];
    let store: Store = under.store;
    for (let round = 0; round < ROUNDS; round++) {
      await store.close();
      for (const line of await runAndKill(`${round}`, 20 + round * 60)) {
        if (line.startsWith("counter ")) counter = Math.max(counter, Number(line.slice("counter ".length)));
        else if (line !== "open") acknowledged.add(line);
      }
      // The mark is written after each commit and before its answer, so a healthy store is never behind it.
      const mark = await readMark(`${under.dir}.mark`);
      if (mark.state !== "whole") throw new Error(`the mark is ${mark.state}`);
      marked.push(mark.number);
      store = await under.open();
      const ids = (await itemsOf(store.scan(things, "size")))
        .map(({ value }) => value.id)
        .filter((id) => id !== "counter");
      const there = new Set(ids);
      expect([...acknowledged].filter((id) => !there.has(id))).toEqual([]);
      expect(ids).toHaveLength(there.size);
      const pairs = (await itemsOf(store.scan(others, "key"))).map(({ value }) => value.id);
      expect(pairs.toSorted()).toEqual(ids.toSorted());
      expect((await itemsOf(store.scan(things, "owner"))).length).toBe(ids.length + 1);
      expect((await store.stats()).counts).toEqual({ things: ids.length + 1, others: ids.length });
      expect((await store.get(things, "counter"))?.value.size).toBeGreaterThanOrEqual(counter);
    }
    expect(acknowledged.size).toBeGreaterThan(100);
    expect(marked).toEqual(marked.toSorted((a, b) => a - b));
    expect(new Set(marked).size).toBe(ROUNDS);
    console.log(`${ROUNDS} kills, ${acknowledged.size} acknowledged commits, counter ${counter}: none lost`);
  });
});

/** Starts the child, kills it after it acknowledged `lines` lines, and resolves with all whole lines it wrote. */
async function runAndKill(round: string, lines: number): Promise<readonly string[]> {
  const args = ["--conditions=signet-source", child, under.dir, round];
  const process_ = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const seen: string[] = [];
  const ended = new Promise<NodeJS.Signals | null>((resolve) => process_.once("close", (_, signal) => resolve(signal)));
  const reader = createInterface({ input: process_.stdout });
  reader.on("line", (line) => {
    seen.push(line);
    if (seen.length === lines) process_.kill("SIGKILL");
  });
  expect(await ended).toBe("SIGKILL");
  return seen;
}
