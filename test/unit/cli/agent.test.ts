import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RunAgentOptions, RunServerOptions } from "../../../src/cli/context.ts";
import { parseSpiffeId, parseTrustDomain } from "../../../src/spiffe/id.ts";
import { encodeJoinString } from "../../../src/spiffe/join-string.ts";
import { at } from "../../fakes/fake-admin.ts";
import { type FakeAgentAnswers, fakeAgentStatus, fakeHeld, startFakeAgent } from "./fake-agent.ts";
import { expectGolden, overlong, type Run, run, shortDir } from "./run-cli.ts";

process.env["TZ"] = "UTC";

let dir: Awaited<ReturnType<typeof shortDir>>;
let started: RunAgentOptions[];
const closing: (() => void)[] = [];
const starters = {
  agent: (options: RunAgentOptions): Promise<number> => {
    started.push(options);
    return Promise.resolve(0);
  },
  server: (options: RunServerOptions): Promise<number> => {
    started.push(options);
    return Promise.resolve(0);
  },
};

beforeEach(async () => {
  dir = await shortDir();
  started = [];
});
afterEach(async () => {
  for (const close of closing.splice(0)) close();
  await dir.remove();
});

function joinString(kind: "agent" | "admin" = "agent"): string {
  const trustDomain = parseTrustDomain("prod.example");
  return encodeJoinString({
    kind,
    trustDomain,
    subject: parseSpiffeId(
      kind === "agent" ? "spiffe://prod.example/agent/one" : "spiffe://prod.example/signet/admin/ann",
    ),
    addresses: ["127.0.0.1:7443"],
    secret: Uint8Array.from(randomBytes(32)),
    rootPins: [Uint8Array.from(randomBytes(32))],
    expiresAt: at(600),
  });
}

describe("signet agent: the join string", () => {
  test("--join-file - reads it from the standard input, white space around it does not count", async () => {
    const text = joinString();
    const result = await run(["agent", "--join-file", "-"], {
      cwd: dir.path,
      starters,
      terminal: false,
      input: `\n  ${text}\r\n\n`,
    });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(started[0]?.joinString).toBe(text);
  });

  test("--join-file - asks for it on a terminal", async () => {
    const text = joinString();
    const result = await run(["agent", "--join-file", "-"], { cwd: dir.path, starters, input: `${text}\n` });
    expect(result.stderr).toBe("paste the join string, then Enter: ");
    expect(started[0]?.joinString).toBe(text);
  });

  test("SIGNET_JOIN_FILE names the file, and is not passed on", async () => {
    const text = joinString();
    await writeFile(join(dir.path, "join"), text);
    await run(["agent"], { cwd: dir.path, starters, env: { SIGNET_JOIN_FILE: "join", SIGNET_LOG_LEVEL: "debug" } });
    expect(started[0]?.joinString).toBe(text);
    expect(started[0]?.env).not.toHaveProperty("SIGNET_JOIN_FILE");
    expect(started[0]?.env).toMatchObject({ SIGNET_LOG_LEVEL: "debug" });
  });

  test("a join file that is gone stops a node that has not joined, data directory or not", async () => {
    const gone = await run(["agent", "--join-file", "gone"], { cwd: dir.path, starters });
    expect(gone.code).toBe(2);
    expect(started).toEqual([]);
    await mkdir(join(dir.path, ".signet-agent"));
    await writeFile(join(dir.path, ".signet-agent/signet.json"), "{}");
    const fresh = await run(["agent", "--join-file", "gone"], { cwd: dir.path, starters });
    expect(fresh.code).toBe(2);
    expect(fresh.stderr).toContain("cannot read the join file gone: no such file or directory\n");
    await writeFile(join(dir.path, ".signet-agent/agent.json"), "{}");
    const enrolled = await run(["agent", "--join-file", "gone"], { cwd: dir.path, starters });
    expect(enrolled).toMatchObject({ code: 0, stdout: "" });
    expect(started[0]).not.toHaveProperty("joinString");
  });

  test("a damaged one is refused before anything is started, exit 2", async () => {
    const text = joinString();
    const args = ["agent", "--join", text.slice(0, 61)];
    const result = await run(args, { cwd: dir.path, starters });
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(
      /^signet: cannot join: the join string is incomplete: 61 of \d+ characters\ntry: signet token create/,
    );
    expect(
      (await run(["agent", "--join", `${text.slice(0, 60)}A${text.slice(61)}`], { cwd: dir.path, starters })).code,
    ).toBe(2);
    expect(
      (await run(["agent", "--join-file", "-"], { cwd: dir.path, starters, terminal: false, input: " \n" })).code,
    ).toBe(2);
    expect(started).toEqual([]);
  });

  test("one for an admin is refused, as are two ways at once", async () => {
    expect((await run(["agent", "--join", joinString("admin")], { cwd: dir.path, starters })).stderr).toContain(
      "this join string is for an admin",
    );
    expect((await run(["agent", "--join", joinString(), "--join-file", "-"], { cwd: dir.path, starters })).code).toBe(
      2,
    );
    expect(started).toEqual([]);
  });
});

describe("signet server and agent: what they are started with", () => {
  test("flags arrive under their dotted paths, the configuration file with its whole path", async () => {
    const args = [
      "server",
      "--listen-api",
      "127.0.0.1:0",
      "--lifetimes-workload",
      "20s",
      "--log-level",
      "debug",
      "--data-dir",
      "d",
      "-c",
      "s.yaml",
      "--print-config",
    ];
    expect((await run(args, { cwd: dir.path, starters })).code).toBe(0);
    expect(started[0]).toMatchObject({
      configFile: join(dir.path, "s.yaml"),
      printConfig: true,
      flags: { "listen.api": "127.0.0.1:0", "lifetimes.workload": "20s", "log.level": "debug", data_dir: "d" },
    });
  });

  test("the exit code is that of the process", async () => {
    expect((await run(["server"], { starters: { server: () => Promise.resolve(1) } })).code).toBe(1);
  });

  test("a ConfigError thrown while starting is wrong use", async () => {
    class ConfigError extends Error {
      override readonly name = "ConfigError";
    }
    const server = (): Promise<number> =>
      Promise.reject(new ConfigError("s.yaml line 1: unknown key trust_domian: the nearest is trust_domain"));
    const result = await run(["server"], { starters: { server } });
    expect(result).toMatchObject({
      code: 2,
      stderr: "signet: cannot start the server: s.yaml line 1: unknown key trust_domian: the nearest is trust_domain\n",
    });
  });
});

async function withAgent(args: readonly string[], answers: FakeAgentAnswers = {}): Promise<Run> {
  closing.push(await startFakeAgent(join(dir.path, "agent.sock"), answers));
  return run(args, { env: { SIGNET_DATA_DIR: dir.path } });
}

describe("signet agent status and renew", () => {
  test("agent status: what is held, until when, when it is renewed", async () => {
    const result = await withAgent(["agent", "status"]);
    expectGolden("agent-status", ["agent", "status"], result);
    expect(overlong(result.screen)).toEqual([]);
  });

  test("agent status: a full disk names the tries, what stays valid, and what to look at", async () => {
    const held = fakeHeld(
      { failures: 14, directory: "/run/signet/db", retryAt: at(30) },
      {
        spiffeId: "spiffe://prod.example/svc/db",
        state: 3,
        lastError: "/run/signet has no space",
        notAfter: at(22 * 60),
        renewAt: at(-8 * 60),
      },
    );
    const result = await withAgent(["agent", "status"], {
      status: fakeAgentStatus({ identities: [held], ready: false }),
    });
    expectGolden("agent-status-full", ["agent", "status"], result);
    expect(overlong(result.screen)).toEqual([]);
  });

  test("agent status: without a server it says since when, and why", async () => {
    const held = fakeHeld({ ttlSeconds: 8 * 3600 }, { notAfter: at(58 * 60), renewAt: at(-3 * 3600) });
    const status = fakeAgentStatus({
      serverConnected: false,
      lastContact: at(-(5 * 3600 + 58 * 60)),
      lastError: "connection refused by 192.0.2.10:7443",
      identities: [held, fakeHeld({}, { notAfter: at(-4) })],
    });
    const result = await withAgent(["agent", "status"], { status });
    expectGolden("agent-status-alone", ["agent", "status"], result);
    expect(overlong(result.screen)).toEqual([]);
  });

  test("agent status -o json has flat identities, states as words, serials as text", async () => {
    const result = await withAgent(["agent", "status", "-o", "json"]);
    expectGolden("agent-status-json", ["agent", "status", "-o", "json"], result);
  });

  test("agent renew: one by its path, and all", async () => {
    const result = await withAgent(["agent", "renew", "/svc/a"]);
    expectGolden("agent-renew", ["agent", "renew", "/svc/a"], result);
    expect((await run(["agent", "renew", "--all", "-q", "--data-dir", dir.path])).stdout).toBe("40aa\n");
  });

  test("agent renew: what failed is told, exit 1", async () => {
    const renew = (): {
      results: { spiffeId: string; renewed: boolean; serialHex: string; notAfter: undefined; error: string }[];
    } => ({
      results: [
        {
          spiffeId: "spiffe://prod.example/svc/a",
          renewed: false,
          serialHex: "",
          notAfter: undefined,
          error: "the server is away",
        },
      ],
    });
    const result = await withAgent(["agent", "renew", "--all"], { renew });
    expectGolden("agent-renew-failed", ["agent", "renew", "--all"], result);
    expect(result.code).toBe(1);
  });

  test("agent renew: an unknown identity names the nearest; neither ID nor --all is wrong use", async () => {
    const result = await withAgent(["agent", "renew", "/svc/b"]);
    expect(result).toMatchObject({
      code: 1,
      stderr: "signet: this node holds no identity /svc/b: the nearest is /svc/a\ntry: signet agent renew /svc/a\n",
    });
    // What to paste asks the same agent.
    const placed = await run(["agent", "renew", "/svc/b", "--data-dir", dir.path]);
    expect(placed.stderr).toContain(`try: signet agent renew /svc/a --data-dir ${dir.path}\n`);
    expect((await run(["agent", "renew", "--data-dir", dir.path])).code).toBe(2);
    expect((await run(["agent", "renew", "/svc/a", "--all", "--data-dir", dir.path])).code).toBe(2);
  });

  test("agent renew: an identity whose entry was deleted is neither renewed nor named as the nearest", async () => {
    const status = fakeAgentStatus({ identities: [fakeHeld({ withdrawn: true })] });
    expect((await withAgent(["agent", "renew", "/svc/a"], { status })).stderr).toContain(
      "the entry of /svc/a was deleted",
    );
    expect((await run(["agent", "renew", "/svc/b", "--data-dir", dir.path])).stderr).not.toContain("nearest");
  });

  test("agent status without an agent: exit 4, and the directory", async () => {
    const result = await run(["agent", "status", "--data-dir", dir.path]);
    expect(result.code).toBe(4);
    expect(result.stderr).toBe(
      `signet: cannot reach the agent: no socket ${dir.path}/agent.sock (--data-dir)\ntry: signet agent --data-dir ${dir.path}\n`,
    );
  });

  test("a socket path that is too long for the system is said to be so", async () => {
    const long = join(dir.path, "x".repeat(120));
    await mkdir(long);
    const result = await run(["agent", "status", "--data-dir", long]);
    expect(result.code).toBe(4);
    expect(result.stderr).toContain("107 is the most");
  });
});

async function serveReadyz(answer: () => { status: number; body: string }): Promise<void> {
  const server = createServer((request, response) => {
    const { status, body } = answer();
    response.writeHead(request.url?.startsWith("/readyz") === true ? status : 404).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  await writeFile(join(dir.path, "endpoints.json"), JSON.stringify({ pid: 1, ops: `127.0.0.1:${port}` }));
}

describe("signet healthcheck", () => {
  test("healthcheck: 0 and one word when it is ready", async () => {
    await serveReadyz(() => ({ status: 200, body: "ok\n" }));
    expect(await run(["healthcheck", "--data-dir", dir.path])).toMatchObject({
      code: 0,
      stdout: "ready\n",
      stderr: "",
    });
    expect(await run(["agent", "healthcheck", "--data-dir", dir.path])).toMatchObject({ code: 0, stdout: "ready\n" });
  });

  test("healthcheck: 1 and what is not ready", async () => {
    await serveReadyz(() => ({
      status: 503,
      body: "ok   store\nFAIL authority: none is active\u001b[2J\nreadyz: failed\n",
    }));
    const result = await run(["healthcheck", "--data-dir", dir.path]);
    expectGolden("healthcheck-not-ready", ["healthcheck"], result);
    expect(result.code).toBe(1);
  });

  test("healthcheck: 4 when nobody is there", async () => {
    expect((await run(["healthcheck", "--data-dir", dir.path])).code).toBe(4);
    await writeFile(join(dir.path, "endpoints.json"), JSON.stringify({ pid: 1, ops: "127.0.0.1:1" }));
    expect(await run(["healthcheck", "--data-dir", dir.path])).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("connection refused"),
    });
  });

  test("healthcheck --wait: 0 as soon as it is ready, 5 when it never is", async () => {
    let asked = 0;
    await serveReadyz(() => ({ status: ++asked < 3 ? 503 : 200, body: "not yet\n" }));
    expect(await run(["healthcheck", "--wait", "30s", "--data-dir", dir.path])).toMatchObject({
      code: 0,
      stdout: "ready\n",
    });
    expect(asked).toBe(3);
    asked = -1000;
    const over = await run(["healthcheck", "--wait", "1s", "--data-dir", dir.path]);
    expect(over.code).toBe(5);
    expect(over.stderr).toContain("the server is not ready after 1 s: not yet");
  });
});
