// `signet agent` as a person starts it: what it says, its exit codes, and what is left after signals.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildCa } from "../fakes/build-ca.ts";
import { FakeIssuer } from "../fakes/fake-issuer-server.ts";

const cli = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
let root = "";
let server: FakeIssuer;
const children = new Set<ChildProcess>();
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "signet-process-"));
  server = await new FakeIssuer().start();
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  await server.stop();
  await rm(root, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<number | string>;
  out(): string;
  err(): string;
  /** Resolves once stdout holds the text; rejects when the process ends before. */
  says(text: string): Promise<void>;
}

function agent(args: readonly string[], dir: string = join(root, "data")): Started {
  const child = spawn(process.execPath, ["--conditions=signet-source", cli, "agent", "--data-dir", dir, ...args], {
    cwd: root,
    env: { PATH: process.env["PATH"], SIGNET_LISTEN_OPS: "127.0.0.1:0", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const ended = once(child, "close").then(([code, signal]: unknown[]) =>
    typeof code === "number" ? code : String(signal),
  );
  const says = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (out.includes(text)) resolve();
      };
      child.stdout.on("data", look);
      void ended.then((code) => reject(new Error(`ended with ${code}: ${out}${err}`)));
      look();
    });
  return { child, ended, out: () => out, err: () => err, says };
}

async function joinFile(joinString: string): Promise<string> {
  const path = join(root, "join");
  await writeFile(path, `${joinString}\n`);
  return path;
}

const settled = (text: string): string =>
  text
    .replaceAll(server.address, "SERVER")
    .replace(/\d\d:\d\d$/gm, "HH:MM")
    .replace(/(?:1 h|59 min) left/, "59 min left");

describe("signet agent", () => {
  it("joins, says what it has, and drains on TERM with exit 0", async () => {
    server.putEntry("/svc/a", "one");
    const first = agent(["--join-file", await joinFile(server.joinString("one"))]);
    await first.says("ready\n");
    expect(settled(first.out())).toBe(
      [
        "joined prod.example as /agent/one; the join string is spent and not needed again",
        "  server   SERVER, root as the join string says",
        "  bundle   1 on disk, 1 root",
        "  /svc/a   ./data/identities/svc/a, 59 min left, renews at about HH:MM",
        "ready",
        "",
      ].join("\n"),
    );
    const endpoints: unknown = JSON.parse(await readFile(join(root, "data", "endpoints.json"), "utf8"));
    expect(endpoints).toEqual({
      pid: first.child.pid,
      ops: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      socket: join(root, "data", "agent.sock"),
    });
    expect((await stat(join(root, "data"))).mode & 0o7777).toBe(0o700);
    first.child.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    expect(first.err()).not.toMatch(/"level":"(?:warn|error)"/);
  });

  it("refuses a second agent on its data directory, and starts again after kill -9", async () => {
    server.putEntry("/svc/a", "one");
    const file = await joinFile(server.joinString("one"));
    const first = agent(["--join-file", file]);
    await first.says("ready\n");
    const second = agent([]);
    expect(await second.ended).toBe(1);
    expect(second.err()).toContain(`signet: another agent runs on ${join(root, "data")}\ntry: signet agent status\n`);
    first.child.kill("SIGKILL");
    await first.ended;
    const again = agent(["--join-file", file]);
    await again.says("ready\n");
    expect(again.err().split("the join string is not used: this agent has joined already\n")).toHaveLength(2);
    expect(again.out()).toContain("/agent/one of prod.example, joined before");
    expect(server.calls.filter((call) => call === "attest join")).toHaveLength(1);
    again.child.kill("SIGINT");
    expect(await again.ended).toBe(0);
  });

  it("ends with 3 for a used string, another server's or one without a pinned root, 4 without a server, 2 for a cut one", async () => {
    const used = server.joinString("one");
    const first = agent(["--join-file", await joinFile(used)], join(root, "first"));
    await first.says("joined");
    first.child.kill("SIGTERM");
    await first.ended;
    const mallory = await new FakeIssuer({ ca: buildCa({ at: new Date() }) }).start();
    const elsewhere = server.joinString("two", { addresses: [mallory.address] });
    const cases: readonly (readonly [string, number, string])[] = [
      [used, 3, "signet: cannot join prod.example: token used"],
      [elsewhere, 3, "no root of its bundle is pinned by it"],
      [
        server.joinString("two", { addresses: ["127.0.0.1:1"] }),
        4,
        "signet: cannot reach the server: connection refused by 127.0.0.1:1",
      ],
      [used.slice(0, 60), 2, "the join string is incomplete: 60 of"],
    ];
    for (const [i, [joinString, code, text]] of cases.entries()) {
      const each = agent(["--join-file", await joinFile(joinString)], join(root, `other-${i}`));
      expect(await each.ended, text).toBe(code);
      expect(each.err()).toContain(text);
    }
    await mallory.stop();
  });

  it("says which address is in use, and ends", async () => {
    const first = agent(["--join-file", await joinFile(server.joinString("one"))]);
    await first.says("joined");
    await first.says("no identity yet");
    first.child.kill("SIGTERM");
    await first.ended;
    const taken = server.address;
    const each = agent(["--listen-ops", taken]);
    expect(await each.ended).toBe(1);
    expect(each.err()).toContain(
      `signet: cannot listen on ${taken}: the address is in use\ntry: signet agent --listen-ops 127.0.0.1:0\n`,
    );
  });

  it("needs a join string at first, and makes no data directory without", async () => {
    const each = agent([]);
    expect(await each.ended).toBe(2);
    expect(each.err()).toContain("this agent has not joined yet");
    await expect(access(join(root, "data"))).rejects.toThrow();
  });
});
