import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

/** Runs buf as `npm run` would: the plugin of ts-proto is found through PATH. */
async function buf(...args: readonly string[]): Promise<void> {
  const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}${delimiter}${process.env["PATH"] ?? ""}` };
  await promisify(execFile)(join(root, "node_modules/.bin/buf"), args, { cwd: root, env });
}

async function texts(folder: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".ts")).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const)),
  );
}

it("proto/gen is what buf generates from proto", { timeout: 60_000 }, async () => {
  const out = await mkdtemp(join(tmpdir(), "signet-proto-"));
  try {
    await buf("generate", "--output", out);
    const made = await texts(join(out, "proto/gen"));
    const kept = await texts(join(root, "proto/gen"));
    expect(Object.keys(kept)).toEqual(Object.keys(made));
    for (const [name, text] of Object.entries(made))
      expect(kept[name] === text, `${name} differs: npm run gen`).toBe(true);
  } finally {
    await rm(out, { recursive: true, force: true });
  }
});

it("buf lint finds nothing in proto", { timeout: 60_000 }, () => buf("lint"));
