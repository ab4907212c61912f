import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeFolders } from "../../../../src/cli/demo/folders.ts";

let base = "";
beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), "signet-folders-")));
});
afterEach(() => rm(base, { recursive: true, force: true }));

it("makeFolders() without --dir works in one temporary folder of its own", async () => {
  const { work, kept } = await makeFolders(undefined, base);
  expect(kept).toBe(work);
  expect((await stat(work)).mode & 0o777).toBe(0o700);
  await rm(work, { recursive: true });
});

it("makeFolders() makes --dir, takes an empty one, and clears that of a former demo", async () => {
  const one = await makeFolders("new/dir", base);
  expect(one.kept).toBe(join(base, "new/dir"));
  await mkdir(join(one.kept, "a"));
  for (const name of ["endpoints.json", "events.jsonl"]) await writeFile(join(one.kept, name), "");
  const two = await makeFolders("new/dir", base);
  expect(await readdir(two.kept)).toEqual([]);
  for (const { work } of [one, two]) await rm(work, { recursive: true });
});

it("makeFolders() refuses a folder with anything else in it, and touches nothing", async () => {
  await writeFile(join(base, "thesis.tex"), "years");
  await expect(makeFolders(".", base)).rejects.toThrow(
    "cannot use .: it holds thesis.tex, which is not a former demo's",
  );
  await mkdir(join(base, "a"));
  await rm(join(base, "thesis.tex"));
  await expect(makeFolders(".", base)).rejects.toThrow("it holds a, which is not a former demo's");
  expect(existsSync(join(base, "a"))).toBe(true);
  await writeFile(join(base, "file"), "");
  await expect(makeFolders("file", base)).rejects.toMatchObject({ exit: 2 });
});
