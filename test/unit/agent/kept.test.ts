import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keptIdentities } from "../../../agent/identities/kept.ts";
import { renewAt } from "../../../src/sdk/renew-at.ts";
import { entryOf, heldOf, idOf } from "./slots.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "signet-kept-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const nothingBad = (path: string, error: unknown): never => {
  throw new Error(path, { cause: error });
};

test("keptIdentities() gives back what it kept: the moment of renewal and the jitter that was drawn for it are the same", async () => {
  const kept = keptIdentities(dir);
  for (const jitter of [-1, -0.123456789, 0, 0.7, 1]) {
    const obtained = heldOf("/svc/a");
    const held = { ...obtained, jitter, renewAt: renewAt(obtained.obtainedAt, obtained.ttlSeconds, jitter) };
    const whole = { held, entry: entryOf("/svc/a"), withdrawn: false };
    await kept.keep(whole);
    expect(await kept.load(nothingBad)).toEqual([whole]);
    expect(await kept.load(nothingBad)).toEqual([whole]);
  }
});

test("keptIdentities() keeps a private key in a file of its owner alone, whatever the umask", async () => {
  const former = process.umask(0);
  try {
    await keptIdentities(dir).keep({ held: heldOf("/svc/a"), entry: undefined, withdrawn: false });
  } finally {
    process.umask(former);
  }
  expect(readdirSync(dir).map((name) => statSync(join(dir, name)).mode & 0o777)).toEqual([0o600]);
});

test("keptIdentities() names a file that it cannot read, and leaves it: damaged, another's, or a link to nowhere", async () => {
  const kept = keptIdentities(dir);
  await kept.keep({ held: heldOf("/svc/a"), entry: undefined, withdrawn: false });
  const [own = ""] = readdirSync(dir);
  const bad = ["1", "2", "3"].map((digit) => join(dir, `${digit.repeat(64)}.json`));
  const [damaged = "", moved = "", link = ""] = bad;
  writeFileSync(damaged, '{"version":1');
  writeFileSync(moved, readFileSync(join(dir, own)));
  symlinkSync("/nowhere", link);
  const named: string[] = [];
  const loaded = await kept.load((path) => named.push(path));
  expect(loaded.map(({ held }) => held.spiffeId)).toEqual([idOf("/svc/a")]);
  expect(named.sort()).toEqual(bad);
  expect(readdirSync(dir)).toHaveLength(4);
});
