import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createMetrics, noLabels, secondsBuckets } from "../../../src/platform/metrics.ts";
import { type OpsServer, type OpsServerOptions, startOpsServer } from "../../../src/platform/ops-server.ts";

const open: OpsServer[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

async function start(options: Partial<OpsServerOptions> = {}): Promise<OpsServer> {
  const server = await startOpsServer({
    listen: { host: "127.0.0.1", port: 0 },
    metrics: () => Promise.resolve("up 1\n"),
    ready: [],
    ...options,
  });
  open.push(server);
  return server;
}

interface Got {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

function get({ address }: OpsServer, path: string, options: { method?: string; body?: string } = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...address, path, method: options.method ?? "GET", agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode, type: response.headers["content-type"], body }));
    });
    sent.on("error", reject);
    sent.end(options.body);
  });
}

async function raw({ address }: OpsServer, text: string): Promise<string> {
  const socket = connect(address.port, address.host);
  let got = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    got += chunk;
  });
  socket.on("error", () => undefined);
  socket.write(text);
  await once(socket, "close");
  return got;
}

describe("startOpsServer()", () => {
  it("/metrics answers the text format of Prometheus", async () => {
    expect(await get(await start(), "/metrics")).toEqual({
      status: 200,
      type: "text/plain; version=0.0.4; charset=utf-8",
      body: "up 1\n",
    });
  });

  it("/readyz is 503 and names what failed, and ?verbose names everything", async () => {
    const server = await start({
      ready: async () => [
        { name: "store", ok: true, detail: "took a write" },
        () => ({ name: "authority", ok: false, detail: "ended \u001b[31m4 s ago" }),
      ],
    });
    expect(await get(server, "/readyz")).toMatchObject({
      status: 503,
      body: "FAIL authority: ended \\u{1b}[31m4 s ago\nreadyz: failed\n",
    });
    expect((await get(server, "/readyz?verbose")).body).toBe(
      "ok   store: took a write\nFAIL authority: ended \\u{1b}[31m4 s ago\nreadyz: failed\n",
    );
    expect(await get(await start(), "/livez")).toMatchObject({ status: 200, body: "livez: ok\n" });
  });

  it("a check that throws or hangs fails, and the others are still told of", async () => {
    const server = await start({
      limits: { deadlineMs: 50 },
      ready: [
        function breaks() {
          throw new Error("no disk");
        },
        function hangs() {
          return new Promise(() => undefined);
        },
        { name: "fine", ok: true, detail: "" },
      ],
    });
    expect((await get(server, "/readyz?verbose")).body).toBe(
      "FAIL breaks: no disk\nFAIL hangs: no answer within 50 ms\nok   fine\nreadyz: failed\n",
    );
    const broken = await start({ metrics: () => Promise.reject(new Error("secret detail")) });
    expect(await get(broken, "/metrics")).toMatchObject({ status: 500, body: "internal error\n" });
  });

  it.each([
    ["GET", "/", 404],
    ["GET", "/metrics/", 404],
    ["GET", "/../etc/passwd", 404],
    ["POST", "/metrics", 405],
    ["DELETE", "/readyz", 405],
    ["HEAD", "/livez", 200],
  ])("%s %s is %i", async (method, path, status) => {
    const got = await get(await start(), path, { method, ...(method === "POST" ? { body: "x" } : {}) });
    expect(got.status).toBe(status);
    if (method === "HEAD") expect(got.body).toBe("");
  });

  it("refuses what is not HTTP, and a header that is too large", async () => {
    const server = await start();
    expect(await raw(server, "\u0016\u0003\u0001 not http\r\n\r\n")).toMatch(/^HTTP\/1\.1 400 /);
    expect(await raw(server, `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 4/,
    );
  });

  it("closes a connection that says nothing, or never finishes its request", async () => {
    const server = await start({ limits: { idleMs: 50, deadlineMs: 50 } });
    expect(await raw(server, "")).toMatch(/^(HTTP\/1\.1 4.*)?/);
    expect(await raw(server, "GET /livez HT")).toMatch(/^(HTTP\/1\.1 4.*)?/);
  });

  it("close() ends open connections and frees the port", async () => {
    const server = await start();
    const socket = connect(server.address.port, server.address.host);
    await once(socket, "connect");
    const closed = once(socket, "close");
    await server.close();
    await closed;
    await expect(
      startOpsServer({ listen: server.address, metrics: () => Promise.resolve(""), ready: [] }).then((again) =>
        again.close(),
      ),
    ).resolves.toBeUndefined();
  });

  it("rejects with the system's error when the port is taken", async () => {
    const { address } = await start();
    await expect(start({ listen: address })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});

describe("createMetrics()", () => {
  it("every series exists from the start, at 0", async () => {
    const metrics = createMetrics();
    metrics.counter("signet_a_total", "A.", { profile: ["x", "y"], protocol: ["p"] });
    metrics.gauge("signet_b", "B.");
    metrics.histogram("signet_c_seconds", "C.", { buckets: [1, 2], labels: { step: ["s"] } });
    const text = await metrics.text();
    for (const line of [
      'signet_a_total{profile="x",protocol="p"} 0',
      'signet_a_total{profile="y",protocol="p"} 0',
      "signet_b 0",
      'signet_c_seconds_count{step="s"} 0',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
  });

  it("counts, sets, observes, and samples anew at each scrape", async () => {
    const metrics = createMetrics();
    metrics.counter("signet_a_total", "A.", { result: ["ok"] }).inc({ result: "ok" }, 3);
    metrics.gauge("signet_b", "B.").set(noLabels, -2.5);
    metrics.histogram("signet_c_seconds", "C.", { buckets: secondsBuckets }).observe(noLabels, 0.2);
    let agents = ["one", "two"];
    metrics.sampled("signet_d", "D.", {
      labels: ["agent"],
      sample: () => agents.map((agent) => ({ labels: { agent }, value: 1 })),
    });
    const text = await metrics.text();
    expect(text).toContain('signet_a_total{result="ok"} 3\n');
    expect(text).toContain("signet_b -2.5\n");
    expect(text).toContain('signet_c_seconds_bucket{le="0.25"} 1\n');
    expect(text).toContain('signet_d{agent="two"} 1\n');
    agents = ["one"];
    expect(await metrics.text()).not.toContain("two");
  });

  it("a name given twice, or a counter without _total, is the programmer's fault", () => {
    const metrics = createMetrics();
    metrics.gauge("signet_b", "B.");
    expect(() => metrics.gauge("signet_b", "B.")).toThrow(TypeError);
    expect(() => metrics.counter("signet_a", "A.")).toThrow(TypeError);
  });

  it.skipIf(!has("promtool"))("what it writes pleases promtool", async () => {
    const metrics = createMetrics();
    metrics.counter("signet_issue_certificates_total", "Certificates.", { profile: ["workload"] });
    metrics.histogram("signet_store_commit_duration_seconds", "Commits.", { buckets: secondsBuckets });
    metrics.gauge("signet_agent_runway_seconds", "Runway.");
    execFileSync("promtool", ["check", "metrics"], { input: await metrics.text() });
  });
});

function has(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
