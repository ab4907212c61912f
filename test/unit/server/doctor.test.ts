import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { checkStore } from "../../../src/server/doctor.ts";
import { initTrustDomain } from "../../../src/server/init.ts";

let folder: string;
const at = (name: string): string => join(folder, name);
const check = (dir: string, accept = false): ReturnType<typeof checkStore> =>
  checkStore({ flags: { data_dir: dir }, env: {} }, { accept });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "signet-doctor-"));
  await initTrustDomain({
    dataDir: at("a"),
    trustDomain: "doctor.test",
    keyType: "ec-p256",
    rootTtlSeconds: 3650 * 86_400,
    intermediateTtlSeconds: 30 * 86_400,
  });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it("checkStore() reads every record of a whole store", async () => {
  expect(await check(at("a"))).toMatchObject({ counts: { authorities: 2, trust: 1 }, accepted: false });
});

it("checkStore() reads every collection that is declared", async () => {
  const folderOfAll = join(import.meta.dirname, "../../../src/store/collections");
  const declared = readdirSync(folderOfAll).flatMap((name) => {
    const text = readFileSync(join(folderOfAll, name), "utf8");
    return [...text.matchAll(/^export const \w+: Collection<\w+> = \{\n {2}name: "([^"]+)"/gm)].map(
      (match) => match[1],
    );
  });
  expect(declared.length).toBeGreaterThanOrEqual(16);
  expect(new Set(Object.keys((await check(at("a"))).counts))).toEqual(new Set(declared));
});

it("checkStore() refuses a copied data directory by its mark, until it is accepted; then it is as any other", async () => {
  cpSync(at("a"), at("b"), { recursive: true });
  await expect(check(at("b"))).rejects.toThrow(/the store is a copy: its mark/);
  expect(await check(at("b"), true)).toMatchObject({ accepted: true });
  expect(await check(at("b"))).toMatchObject({ accepted: false });
});

it("checkStore() finds a flipped bit in a record, also when the store is accepted", async () => {
  await check(at("a"));
  const db = join(at("a"), "store/db");
  const files = readdirSync(db).filter((name) => /\.(?:ldb|log)$/.test(name));
  let flipped = 0;
  for (const name of files) {
    const octets = readFileSync(join(db, name));
    const found = octets.indexOf("doctor.test");
    if (found < 0) continue;
    octets[found] = (octets[found] ?? 0) ^ 1;
    writeFileSync(join(db, name), octets);
    flipped += 1;
  }
  expect(flipped).toBeGreaterThan(0);
  await expect(check(at("a"), true)).rejects.toThrow(/damaged|checksum|corrupt/i);
});
