import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../../..");
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-launcher-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (part: Buffer) => (stdout += part.toString()));
  child.stderr.on("data", (part: Buffer) => (stderr += part.toString()));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, stdout, stderr }) as Ended);
  return { child, ended };
}

async function script(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** A flag that lets Node start as if it were an older one. */
const asNode = (version: string): string =>
  `--import=data:text/javascript,${encodeURIComponent(`Object.defineProperty(process,"versions",{value:{...process.versions,node:"${version}"}})`)}`;

describe("tool/run.mjs", () => {
  const launcher = join(root, "tool/run.mjs");

  it("launch() runs TypeScript with the condition signet-source and passes the arguments on", async () => {
    const path = await script(
      "say.ts",
      "const a: string[] = process.argv.slice(2);\nconsole.log(JSON.stringify([a, process.execArgv]));\n",
    );
    const { code, stdout, stderr } = await start([launcher, path, "--one", "two words"]).ended;
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual([["--one", "two words"], ["--conditions=signet-source"]]);
    expect(code).toBe(0);
  });

  it("launch() ends with the exit code of what it ran", async () => {
    const path = await script("three.mjs", "process.exit(3);\n");
    expect((await start([launcher, path]).ended).code).toBe(3);
  });

  it("launch() ends with 128 + the signal that ended what it ran", async () => {
    const path = await script("die.mjs", 'process.kill(process.pid, "SIGKILL");\nsetInterval(() => {}, 1000);\n');
    expect((await start([launcher, path]).ended).code).toBe(137);
  });

  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    it(`launch() forwards ${signal} and waits for the end`, async () => {
      const text = `process.on("${signal}", () => { console.log("got it"); process.exit(7); });\nsetInterval(() => {}, 1000);\nconsole.log("up");\n`;
      const { child, ended } = start([launcher, await script(`${signal}.mjs`, text)]);
      if (child.stdout === null) throw new Error("no stdout");
      await once(createInterface({ input: child.stdout }), "line");
      child.kill(signal);
      expect(await ended).toMatchObject({ code: 7, stdout: "up\ngot it\n" });
    });
  }

  it("launch() leaves SIGINT to what it ran", async () => {
    const text = 'setInterval(() => {}, 1000);\nprocess.on("SIGTERM", () => process.exit(0));\nconsole.log("up");\n';
    const { child, ended } = start([launcher, await script("int.mjs", text)]);
    if (child.stdout === null) throw new Error("no stdout");
    await once(createInterface({ input: child.stdout }), "line");
    child.kill("SIGINT");
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });

  it("without a script it says how it is used and exits 2", async () => {
    expect(await start([launcher]).ended).toMatchObject({
      code: 2,
      stderr: "usage: node tool/run.mjs SCRIPT [ARGUMENTS]\n",
    });
  });

  it("launch() on an old Node without the pinned one says so in a sentence and exits 1", async () => {
    const clone = join(folder, "clone");
    await mkdir(join(clone, "tool"), { recursive: true });
    await cp(launcher, join(clone, "tool/run.mjs"));
    const { code, stderr } = await start([asNode("20.20.0"), join(clone, "tool/run.mjs"), "x.ts"]).ended;
    expect(stderr).toBe(
      "signet: needs Node 24 or later, this is 20.20.0: the pinned one is not installed\ntry: npm ci\n",
    );
    expect(code).toBe(1);
  });
});

describe("bin/signet.js", () => {
  it("in a package on an old Node says so in a sentence and exits 1, before it loads anything", async () => {
    const installed = join(folder, "installed");
    await mkdir(join(installed, "bin"), { recursive: true });
    await writeFile(join(installed, "package.json"), '{ "type": "module" }\n');
    await cp(join(root, "bin/signet.js"), join(installed, "bin/signet.js"));
    const { code, stdout, stderr } = await start([asNode("20.20.0"), join(installed, "bin/signet.js"), "--help"]).ended;
    expect(stderr.split("\n")[0]).toBe("signet: needs Node 24 or later, this is 20.20.0");
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });

  it("in a package runs what was built, with the arguments", async () => {
    const installed = join(folder, "built");
    await mkdir(join(installed, "bin"), { recursive: true });
    await mkdir(join(installed, "dist/src/cli"), { recursive: true });
    await writeFile(join(installed, "package.json"), '{ "type": "module" }\n');
    await writeFile(
      join(installed, "dist/src/cli/main.js"),
      'console.log(process.argv.slice(2).join(" "));\nprocess.exitCode = 4;\n',
    );
    await cp(join(root, "bin/signet.js"), join(installed, "bin/signet.js"));
    expect(await start([join(installed, "bin/signet.js"), "status", "-q"]).ended).toMatchObject({
      code: 4,
      stdout: "status -q\n",
    });
  });
});
