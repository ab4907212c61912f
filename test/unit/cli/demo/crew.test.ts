import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Crew } from "../../../../src/cli/demo/crew.ts";
import { until } from "../../../../src/cli/demo/wait.ts";
import { systemClock } from "../../../../src/platform/clock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-crew-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const patience = { clock: systemClock, signal: new AbortController().signal, what: "the end", limitMs: 10_000 };

function crew(onLoss: (name: string, how: string) => void = () => undefined): Crew {
  return new Crew({ folder, clock: systemClock, onLoss });
}

async function script(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

function firstLine(): { readonly onLine: (line: string) => void; readonly line: Promise<string> } {
  const { promise, resolve } = Promise.withResolvers<string>();
  return { onLine: resolve, line: promise };
}

/** Whether a process runs; one that has ended and waits for its parent does not. */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

it("end() ends by SIGTERM what listens to it, and by SIGKILL what does not", async () => {
  const hands = crew((name) => expect.fail(`${name} was lost`));
  const [good, deaf] = [firstLine(), firstLine()];
  const polite = hands.start({
    name: "polite",
    args: [
      await script(
        "polite.mjs",
        'process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 999); console.log("up");',
      ),
    ],
    onLine: good.onLine,
  });
  const stubborn = hands.start({
    name: "stubborn",
    args: [
      await script("stubborn.mjs", 'process.on("SIGTERM", () => {}); setInterval(() => {}, 999); console.log("up");'),
    ],
    onLine: deaf.onLine,
  });
  await Promise.all([good.line, deaf.line]);
  await hands.end([polite, stubborn], 300);
  expect(await polite.ended).toEqual({ code: 0, signal: null });
  expect(await stubborn.ended).toEqual({ code: null, signal: "SIGKILL" });
  expect([polite.pid, stubborn.pid].filter(runs)).toEqual([]);
});

it("start() tells when a process ends unasked, with its last words", async () => {
  const { promise, resolve } = Promise.withResolvers<readonly string[]>();
  const path = await script("lost.mjs", 'console.error("signet: cannot do it: no space\\nmore"); process.exit(3);');
  crew((name, how) => resolve([name, how])).start({ name: "agent one", args: [path] });
  expect(await promise).toEqual(["agent one", "exit 3: signet: cannot do it: no space"]);
});

it("run() waits for the end, and throws with the last words of what failed", async () => {
  const hands = crew((name) => expect.fail(`${name} was lost`));
  await hands.run({ name: "fine", args: [await script("fine.mjs", 'console.log("said");')] });
  expect(await readFile(hands.logOf("fine"), "utf8")).toBe("said\n");
  const bad = hands.run({
    name: "init",
    args: [await script("bad.mjs", 'console.error("signet: no"); process.exit(2);')],
  });
  await expect(bad).rejects.toThrow("init ended with exit 2: signet: no");
});

it("say() gives a line on stdin, and settings of Signet are not inherited while the rest of the environment is", async () => {
  process.env["SIGNET_DATA_DIR"] = "/nowhere";
  process.env["CREW_MARK"] = "here";
  try {
    const { onLine, line } = firstLine();
    const text =
      "for await (const part of process.stdin) console.log(String(part).trim(), process.env.SIGNET_DATA_DIR, process.env.CREW_MARK);";
    const hands = crew();
    const member = hands.start({ name: "listener", args: [await script("listener.mjs", text)], listens: true, onLine });
    member.say("hello");
    expect(await line).toBe("hello undefined here");
    await hands.end();
  } finally {
    delete process.env["SIGNET_DATA_DIR"];
    delete process.env["CREW_MARK"];
  }
});

it("what was started ends when its starter is killed by SIGKILL", { timeout: 20_000 }, async () => {
  const child = await script("child.mjs", 'setInterval(() => {}, 999); console.log("up");');
  const source = (path: string): string => JSON.stringify(join(import.meta.dirname, "../../../../src", path));
  const starter = await script(
    "starter.ts",
    `import { Crew } from ${source("cli/demo/crew.ts")};
     import { systemClock } from ${source("platform/clock.ts")};
     const crew = new Crew({ folder: ${JSON.stringify(folder)}, clock: systemClock, onLoss: () => {} });
     const member = crew.start({ name: "child", args: [${JSON.stringify(child)}], onLine: () => console.log(member.pid) });`,
  );
  const parent = spawn(process.execPath, [...process.execArgv, starter], { stdio: ["ignore", "pipe", "inherit"] });
  const [pid] = (await once(createInterface({ input: parent.stdout }), "line")).map(Number);
  if (pid === undefined) throw new Error("no pid");
  expect(runs(pid)).toBe(true);
  parent.kill("SIGKILL");
  await until(() => (runs(pid) && existsSync(`/proc/${pid}`) ? undefined : true), patience);
});
