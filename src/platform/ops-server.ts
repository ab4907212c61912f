// The ops listener: /metrics, /livez, /readyz over plain HTTP, three GET routes and nothing else.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type Address, formatAddress } from "./address.ts";

/** One line of readiness. */
export interface Check {
  readonly name: string;
  readonly ok: boolean;
  /** A few words: what holds, or what does not and since when. */
  readonly detail: string;
}

export interface OpsOptions {
  readonly address: Address;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
  readonly ready: () => readonly Check[] | Promise<readonly Check[]>;
}

export interface OpsServer {
  /** What is really bound, host:port. */
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

/** Opens the listener. Rejects with the system's error when the port is taken. */
export async function startOps(options: OpsOptions): Promise<OpsServer> {
  const server = createServer(
    { maxHeaderSize: 8192, requestTimeout: 5000, headersTimeout: 5000, keepAliveTimeout: 5000 },
    (request, response) => {
      answer(options, request, response).catch(() => {
        if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" });
        response.end("internal error\n");
      });
    },
  );
  server.maxConnections = 64;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.address.port, options.address.host, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: formatAddress({ host: options.address.host, port }),
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(options: OpsOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const send = (status: number, body: string, contentType = "text/plain; charset=utf-8"): void => {
    response.writeHead(status, { "content-type": contentType, "cache-control": "no-store", "x-content-type-options": "nosniff" });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(405, "only GET\n");
  }
  const [path, query = ""] = (request.url ?? "").split("?", 2);
  switch (path) {
    case "/livez":
      return send(200, "ok\n");
    case "/readyz": {
      const checks = await options.ready();
      const ok = checks.every((check) => check.ok);
      const lines = checks.map((check) => `${check.ok ? "ok  " : "FAIL"} ${check.name}: ${check.detail}\n`);
      const verbose = new URLSearchParams(query).has("verbose");
      return send(ok ? 200 : 503, verbose ? `${lines.join("")}${ok ? "ready" : "not ready"}\n` : ok ? "ok\n" : "not ready\n");
    }
    case "/metrics":
      return send(200, await options.metrics.text(), options.metrics.contentType);
    default:
      return send(404, "only /metrics, /livez and /readyz\n");
  }
}
