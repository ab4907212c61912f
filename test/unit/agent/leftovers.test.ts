import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { removeLeftovers } from "../../../agent/data-files.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-leftovers-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const agent = (file: string): string => JSON.stringify(new URL(`../../../agent/${file}`, import.meta.url).href);

/** Runs a write in a process of its own that is killed when it is about to rename. */
function killedBeforeRename(work: string): void {
  const script = `
    import fs from "node:fs";
    import { syncBuiltinESMExports } from "node:module";
    fs.promises.rename = () => { process.kill(process.pid, "SIGKILL"); return new Promise(() => {}); };
    syncBuiltinESMExports();
    const { keptIdentities } = await import(${agent("identities/kept.ts")});
    const { OwnIdentity } = await import(${agent("enrol/own-identity.ts")});
    const { writeOwnFile } = await import(${agent("data-files.ts")});
    const directory = ${JSON.stringify(directory)};
    const bytes = new Uint8Array([1]);
    const held = { spiffeId: "spiffe://prod.example/svc/a", chainDer: [bytes], keyDer: bytes, serialHex: "40aa",
      notBefore: new Date(0), notAfter: new Date(1), ttlSeconds: 1, obtainedAt: new Date(0), renewAt: new Date(0),
      jitter: 0, authority: "int-1", limitedByAuthority: false, entryId: "e-1", entryRevision: 1n };
    await ${work};
  `;
  const run = spawnSync(process.execPath, ["--conditions=signet-source", "--input-type=module", "--eval", script], {
    encoding: "utf8",
  });
  expect([run.signal, run.stderr]).toEqual(["SIGKILL", ""]);
}

describe("removeLeftovers()", { timeout: 30_000 }, () => {
  const id = "[0-9a-f]{64}";
  it.each([
    ["agent.json", "writeOwnFile(`${directory}/agent.json`, bytes)", /^\.agent\.json\./],
    [
      "agent-pending.json",
      "OwnIdentity.open({ directory, write: writeOwnFile }).then((own) => own.nextKey())",
      /^\.agent-pending\.json\./,
    ],
    [
      "an identity in kept",
      "keptIdentities(directory).keep({ held, entry: undefined, withdrawn: false })",
      RegExp(`^\\.${id}\\.`),
    ],
  ])("removes what a kill between write and rename leaves of %s", async (_, work, form) => {
    killedBeforeRename(work);
    expect(await readdir(directory)).toEqual([expect.stringMatching(form)]);
    await removeLeftovers(directory);
    expect(await readdir(directory)).toEqual([]);
  });

  it("leaves everything else", async () => {
    const names = [".gitignore", "agent-pending.json", "agent.json", "signet.json", "trust.json"];
    for (const name of names) await writeFile(join(directory, name), name);
    await mkdir(join(directory, "kept"));
    await removeLeftovers(directory);
    expect((await readdir(directory)).sort()).toEqual([...names, "kept"].sort());
    expect(await readFile(join(directory, "agent.json"), "utf8")).toBe("agent.json");
  });
});
