// Metrics and health over plain HTTP, for Prometheus and for who restarts processes: three GET routes and nothing else.
// It gives no secret, reads no body, and is bound to this machine unless configured otherwise.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Address } from "./address.ts";
import { printable } from "./foreign-text.ts";
import { metricsContentType } from "./metrics.ts";

/** What one check found. `detail` is for people: one line, no secret. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** What a check found, or what finds it. */
export type Check = CheckResult | (() => CheckResult | Promise<CheckResult>);

/** The checks, or what finds them at each request. */
export type Checks = readonly Check[] | (() => readonly Check[] | Promise<readonly Check[]>);

export interface OpsServerOptions {
  readonly listen: Address;
  /** Text of /metrics. */
  readonly metrics: () => Promise<string>;
  /** /livez is 200 while all of these pass; with none it says that the event loop turns. */
  readonly live?: Checks;
  /** /readyz is 200 while all of these pass. */
  readonly ready: Checks;
  readonly limits?: Partial<OpsLimits>;
}

export interface OpsLimits {
  readonly maxHeaderBytes: number;
  readonly maxConnections: number;
  /** Time for a request to arrive, and for a check or a scrape to answer. */
  readonly deadlineMs: number;
  /** An idle connection is closed after this. */
  readonly idleMs: number;
}

export interface OpsServer {
  /** What is bound, with its real port. */
  readonly address: Address;
  /** Stops accepting, ends what is open, and resolves when the port is free. */
  close(): Promise<void>;
}

const usualLimits: OpsLimits = { maxHeaderBytes: 8192, maxConnections: 64, deadlineMs: 5000, idleMs: 75_000 };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Serves /metrics, /livez and /readyz (with ?verbose line by line). Rejects with the system's error when it cannot bind. */
export async function startOpsServer(options: OpsServerOptions): Promise<OpsServer> {
  const limits = { ...usualLimits, ...options.limits };
  const server = createServer(
    {
      maxHeaderSize: limits.maxHeaderBytes,
      requestTimeout: limits.deadlineMs,
      headersTimeout: limits.deadlineMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.min(limits.deadlineMs, 1000),
    },
    (request, response) => {
      answer(request, options, limits)
        .catch((): Answer => ({ status: 500, body: "internal error\n" }))
        .then((found) => send(request, response, found))
        .catch(() => response.destroy());
    },
  );
  server.maxConnections = limits.maxConnections;
  // Covers who connects and says nothing, and who does not read the answer.
  server.setTimeout(limits.idleMs, (socket) => socket.destroy());
  server.on("clientError", (_error, socket) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    else socket.destroy();
  });
  const port = await listen(server, options.listen);
  return {
    address: { host: options.listen.host, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, options: OpsServerOptions, limits: OpsLimits): Promise<Answer> {
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  if (path !== "/metrics" && path !== "/livez" && path !== "/readyz") {
    return { status: 404, body: "only /metrics, /livez and /readyz\n" };
  }
  if (request.method !== "GET" && request.method !== "HEAD") {
    return { status: 405, body: "only GET and HEAD\n", headers: { allow: "GET, HEAD" } };
  }
  if (path === "/metrics") {
    const text = await within(limits.deadlineMs, options.metrics());
    if (text === undefined) return { status: 503, body: `no answer within ${limits.deadlineMs} ms\n` };
    return { status: 200, body: text, headers: { "content-type": metricsContentType } };
  }
  const results = await resultsOf((path === "/livez" ? options.live : options.ready) ?? [], limits.deadlineMs);
  const ok = results.every((result) => result.ok);
  const isVerbose = new URLSearchParams(query).has("verbose");
  const lines = results.filter((result) => isVerbose || !result.ok).map(lineOf);
  return { status: ok ? 200 : 503, body: `${lines.join("")}${path.slice(1)}: ${ok ? "ok" : "failed"}\n` };
}

function lineOf({ name, ok, detail }: CheckResult): string {
  return `${ok ? "ok  " : "FAIL"} ${printable(name)}${detail === "" ? "" : `: ${printable(detail)}`}\n`;
}

async function resultsOf(asked: Checks, deadlineMs: number): Promise<readonly CheckResult[]> {
  try {
    const checks = typeof asked === "function" ? await within(deadlineMs, Promise.resolve(asked())) : asked;
    if (checks === undefined) return [{ name: "checks", ok: false, detail: `no answer within ${deadlineMs} ms` }];
    return await Promise.all(checks.map((check) => runCheck(check, deadlineMs)));
  } catch (error) {
    return [{ name: "checks", ok: false, detail: error instanceof Error ? error.message : String(error) }];
  }
}

async function runCheck(check: Check, deadlineMs: number): Promise<CheckResult> {
  if (typeof check !== "function") return check;
  const name = check.name === "" ? "check" : check.name;
  try {
    const result = await within(deadlineMs, Promise.resolve(check()));
    return result ?? { name, ok: false, detail: `no answer within ${deadlineMs} ms` };
  } catch (error) {
    return { name, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

async function within<T>(deadlineMs: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, headers }: Answer): void {
  if (response.destroyed) return;
  const octets = Buffer.from(body, "utf8");
  const hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": octets.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // A body is never read, so the connection cannot serve another request.
    ...(hasBody ? { connection: "close" } : {}),
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : octets);
}

function listen(server: Server, { host, port }: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.removeListener("error", reject);
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}
