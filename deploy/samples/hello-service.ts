// What the two sample services share: an HTTP/2 server over mutual TLS 1.3 whose routes are authorised by SPIFFE ID, and
// a caller that says hello to the other service all the time. Read openService() first: it is all that a service needs.
import { once } from "node:events";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import {
  createPeerCounter,
  type DirectorySource,
  guardServer,
  oneOf,
  openDirectorySource,
  type Peer,
  type PeerCounter,
  type ServerGuard,
  serverOptions,
} from "signet/sdk";
import { type Caller, startCaller } from "./hello-caller.ts";
import { type HelloConfig, parseConfig, usage } from "./hello-config.ts";
import { createReport, type Report } from "./hello-report.ts";

/** Runs until SIGTERM or SIGINT; answers the exit code. */
export async function runHelloService(name: string, args: readonly string[]): Promise<number> {
  const config = parseConfig(args, process.env);
  if (typeof config === "string") {
    process.stderr.write(`${name}: ${config}\n${usage(name)}`);
    return 2;
  }
  const report = createReport(name, config.report);
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  try {
    const service = await openService(config, report, stop.signal);
    await serveUntil(stop.signal, service, config);
  } catch (error) {
    if (!stop.signal.aborted) {
      process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
      return 1;
    }
  }
  return 0;
}

const settings = { maxConcurrentStreams: 100, maxHeaderListSize: 16 * 1024 };

interface Service {
  readonly source: DirectorySource;
  readonly guard: ServerGuard;
  readonly counter: PeerCounter;
  readonly report: Report;
}

async function openService(config: HelloConfig, report: Report, signal: AbortSignal): Promise<Service> {
  // Our identity, as the agent keeps it on disk: always the newest, with trust bundle and deny list.
  const source = await openDirectorySource(config.identity, { wait: true, signal });

  // Who may connect at all is decided before the first byte; what each of them may call, by route.
  const counter = createPeerCounter();
  const server = createSecureServer({ ...serverOptions(source), settings }, (request, response) => {
    answer(request, response, { config, source, peer: guard.peerOf(request) });
  });
  const guard = guardServer(server, source, {
    authorize: oneOf([...config.accept, ...config.admin]),
    counter,
    onAccepted: (peer) => report.accepted(peer, "server"),
    onRefused: (refused) => report.refused(refused, "server"),
  });

  server.listen(config.listen.port, config.listen.host);
  await once(server, "listening");
  const { address, port } = server.address() as AddressInfo;
  report.listening(address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
  return { source, guard, counter, report };
}

function answer(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  { config, source, peer }: { readonly config: HelloConfig; readonly source: DirectorySource; readonly peer: Peer },
): void {
  const { spiffeId } = source.identity();
  const routes: Readonly<Record<string, { readonly allowed: boolean; readonly text: string }>> = {
    "/": { allowed: true, text: `you are ${peer.spiffeId}, this is ${spiffeId}` },
    "/hello": { allowed: config.accept.includes(peer.spiffeId), text: `hello ${peer.spiffeId}, this is ${spiffeId}` },
    "/admin": { allowed: config.admin.includes(peer.spiffeId), text: `${spiffeId} is at your service` },
  };
  const route = routes[request.url];
  const say = (status: number, text: string): void => {
    response.writeHead(status, { "content-type": "text/plain; charset=utf-8" });
    response.end(`${text}\n`);
  };
  if (route === undefined) say(404, "there is no such page");
  else if (request.method !== "GET") say(405, "only GET is answered here");
  else if (!route.allowed) say(403, `${peer.spiffeId} may not call ${request.url}`);
  else say(200, route.text);
}

async function serveUntil(stop: AbortSignal, service: Service, config: HelloConfig): Promise<void> {
  const { source, guard, counter, report } = service;
  let caller: Caller | undefined;
  const stats = (): void => report.stats({ ...counter.snapshot(), ...caller?.counts() });
  const timer = setInterval(stats, 250);
  try {
    caller = await startCaller(config, { source, counter, report, stop });
    if (!stop.aborted) await once(stop, "abort");
    // First we call nobody any more, then nobody calls us: of two services that are stopped together none loses a call.
    await caller.close();
    await new Promise((done) => setTimeout(done, config.lingerMs));
    await guard.close({ withinMs: 5_000 });
  } finally {
    clearInterval(timer);
    stats();
    source.close();
  }
}
