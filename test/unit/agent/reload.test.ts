import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readPidFile, signalByPidFile } from "../../../agent/identities/pid-file.ts";
import { type ReloadAction, Reloader, runReload } from "../../../agent/identities/reload.ts";
import { SteppedClock } from "./stepped-clock.ts";

const isRoot = process.getuid?.() === 0;
const me = process.getuid?.() ?? 0;
const rules = { ownerUid: me, processUid: me, agentPid: process.pid, agentParentPid: process.ppid };
const forever = new AbortController().signal;
let directory = "";
let pidFile = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-reload-"));
  pidFile = join(directory, "pid");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const refusal = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "nothing thrown",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );

describe("readPidFile()", () => {
  it("takes one decimal above 1", async () => {
    await writeFile(pidFile, "4242\n");
    expect(await readPidFile(pidFile, rules)).toBe(4242);
  });

  for (const text of ["", "0", "1", "-5", "+5", "0x10", "12 13", "12\n13", "99999999999", "1e3", "٣٤", " 12"]) {
    it(`refuses ${JSON.stringify(text)}`, async () => {
      await writeFile(pidFile, text);
      expect(await refusal(readPidFile(pidFile, rules))).toContain("does not hold one process number above 1");
    });
  }

  it("refuses the agent itself and its parent", async () => {
    for (const pid of [process.pid, process.ppid]) {
      await writeFile(pidFile, String(pid));
      expect(await refusal(readPidFile(pidFile, rules))).toContain("names the agent itself or its parent");
    }
  });

  it("refuses what others may write, a link, a directory and what is missing", async () => {
    await writeFile(pidFile, "4242");
    await chmod(pidFile, 0o666);
    expect(await refusal(readPidFile(pidFile, rules))).toContain("others may write to it");
    await symlink(pidFile, join(directory, "link"));
    expect(await refusal(readPidFile(join(directory, "link"), rules))).toContain("it is a link");
    expect(await refusal(readPidFile(directory, rules))).toContain("not a file");
    expect(await refusal(readPidFile(join(directory, "none"), rules))).toContain("no such file");
  });

  it.runIf(isRoot)("refuses another user's file, and all but root's when the process is another user's", async () => {
    await writeFile(pidFile, "4242");
    await chown(pidFile, 1234, 0);
    expect(await refusal(readPidFile(pidFile, rules))).toContain("belongs to user 1234");
    expect(await readPidFile(pidFile, { ...rules, ownerUid: 1234, processUid: 1234 })).toBe(4242);
    expect(await refusal(readPidFile(pidFile, { ...rules, ownerUid: 1234, processUid: 0 }))).toContain(
      "must be of root",
    );
  });
});

describe.runIf(process.platform === "linux")("signalByPidFile()", () => {
  it("signals the process, and refuses one that is gone or of another user", async () => {
    const child = spawn("/bin/sh", ["-c", "trap 'exit 7' HUP; echo ready; while :; do sleep 0.05; done"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    await writeFile(pidFile, String(child.pid));
    expect(
      await refusal(signalByPidFile(pidFile, "SIGHUP", { ...rules, ownerUid: me + 1, processUid: me + 1 })),
    ).toMatch(me === 0 ? /is of user 0, not of user 1/ : /belongs to user/);
    await signalByPidFile(pidFile, "SIGHUP", rules);
    expect((await once(child, "exit"))[0]).toBe(7);
    expect(await refusal(signalByPidFile(pidFile, "SIGHUP", rules))).toContain("no process");
  });
});

describe("runReload()", () => {
  const run = (command: readonly string[], deadlineMs: number = 5000): Promise<void> =>
    runReload({ kind: "command", command, deadlineMs }, { signal: forever });

  it("runs without a shell", async () => {
    await run(["/bin/sh", "-c", `printf %s "$1" > ${directory}/out`, "sh", "$(id); *"]);
    expect(await readFile(join(directory, "out"), "utf8")).toBe("$(id); *");
  });

  it("says which command is missing, and how one failed", async () => {
    expect(await refusal(run(["signet-no-such-command"]))).toBe("cannot run signet-no-such-command: no such command");
    const said = await refusal(run(["/bin/sh", "-c", "printf 'bad\\033[2J' >&2; exit 9"]));
    expect(said).toMatch(/^\/bin\/sh ended with 9: bad\\(?:x1b|u\{1b\})\[2J$/);
  });

  it("ends a command that hangs at its deadline, with all it started", async () => {
    const command = ["/bin/sh", "-c", `sleep 60 & echo $! > ${directory}/child; wait`];
    expect(await refusal(run(command, 300))).toBe("/bin/sh did not end within 0.3 s");
    const child = Number(await readFile(join(directory, "child"), "utf8"));
    await expect
      .poll(() =>
        readFile(`/proc/${child}/status`, "utf8").then(
          (text) => /State:\s+Z/.test(text),
          () => true,
        ),
      )
      .toBe(true);
  });

  it("does not stand still for a command that prints megabytes", async () => {
    await run(["/bin/sh", "-c", "head -c 4000000 /dev/zero; head -c 4000000 /dev/zero >&2"]);
  });
});

describe("Reloader", () => {
  const action: ReloadAction = { kind: "command", command: ["nginx", "-s", "reload"], deadlineMs: 1000 };

  function bench(): {
    readonly reloader: Reloader;
    readonly clock: SteppedClock;
    readonly runs: ((error?: Error) => void)[];
    readonly done: string[];
  } {
    const clock = new SteppedClock(new Date("2026-11-24T12:00:00Z"));
    const runs: ((error?: Error) => void)[] = [];
    const done: string[] = [];
    const reloader = new Reloader({
      clock,
      random: { fraction: () => 0.5 },
      retry: { baseMs: 2000, mostMs: 30_000, leastMs: 1000 },
      run: () =>
        new Promise((resolve, reject) => runs.push((error) => (error === undefined ? resolve() : reject(error)))),
      start: (_, work) => void work(forever),
      done: (requests, error) => void done.push(`${requests.join("+")} ${error ?? "ok"}`),
    });
    return { reloader, clock, runs, done };
  }

  it("answers all requests that came while one ran by one more run", async () => {
    const { reloader, clock, runs, done } = bench();
    reloader.request("a", action);
    for (const request of ["b", "c", "d"]) reloader.request(request, action);
    expect(runs).toHaveLength(1);
    runs[0]?.();
    await clock.advance(0);
    expect(runs).toHaveLength(2);
    runs[1]?.();
    await clock.advance(0);
    expect(done).toEqual(["a ok", "b+c+d ok"]);
    reloader.request("e", action);
    expect(runs).toHaveLength(3);
  });

  it("tries again what failed until it succeeds", async () => {
    const { reloader, clock, runs, done } = bench();
    reloader.request("a", action);
    runs[0]?.(new Error("no"));
    await clock.advance(999);
    expect(runs).toHaveLength(1);
    await clock.advance(1);
    runs[1]?.();
    await clock.advance(0);
    expect(done).toEqual(["a no", "a ok"]);
  });
});
