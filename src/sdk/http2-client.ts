import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { type ClientOptions, type Connector, createConnector, type Target } from "./connect.ts";
import { createPeerCounter, type PeerCounter, type PeerCounts } from "./counts.ts";
import type { Connection } from "./gate.ts";
import { readAnswer, serverAccepted, unlessAborted } from "./http2-stream.ts";
import type { Peer } from "./peer.ts";
import { SdkError } from "./sdk-error.ts";
import type { Source } from "./source.ts";

export interface Http2Request {
  readonly path: string;
  /** Default GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** For the whole request, connecting included, in ms; default 10 000. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface Http2Response {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** Who answered, from the certificate that was judged. */
  readonly peer: Peer;
  /** Whether it was never processed the first time and sent once more. */
  readonly retried: boolean;
}

export interface Http2Counts extends PeerCounts {
  /** Requests that a server never processed and that were sent once more on a new connection. */
  readonly retried: number;
}

export interface Http2ClientOptions extends ClientOptions {
  /** The largest answer that is taken, in bytes; default 4 MiB. */
  readonly maxBodyBytes?: number;
}

/** Requests to one server over HTTP/2, on one connection at a time. */
export interface Http2Client {
  /**
   * One request. A request that was never processed (REFUSED_STREAM, or above the last stream of a GOAWAY) is sent once
   * more on a new connection; nothing else is sent again. Any status is an answer. Throws SdkError.
   */
  request(request: Http2Request): Promise<Http2Response>;
  counts(): Http2Counts;
  /** Takes no new requests, lets those in flight finish, cuts what is left after `withinMs` (default 10 s). */
  close(options?: { readonly withinMs?: number }): Promise<void>;
}

/**
 * A client of one server: `target` is `host:port`. It connects at the first request, with the newest identity of the
 * source, and again when a connection is left because one of the two identities is about to end. Throws TypeError when
 * `target` is not `host:port`.
 *
 * @example
 * const client = openHttp2Client(source, "10.0.0.7:8443", { authorize: exactly(parseSpiffeId(peer)) });
 * const { status, peer } = await client.request({ path: "/hello" });
 */
export function openHttp2Client(source: Source, target: string, options: Http2ClientOptions): Http2Client {
  return new PooledClient(source, parseTarget(target), options);
}

interface Session {
  readonly connection: Connection;
  readonly http2: ClientHttp2Session;
  /** Streams above this were not processed; set by GOAWAY. */
  lastStreamId: number;
  left: boolean;
}

type Answer = Omit<Http2Response, "retried">;
const notProcessed = Symbol("not processed");

class PooledClient implements Http2Client {
  readonly #target: Target;
  readonly #connector: Connector;
  readonly #counter: PeerCounter;
  readonly #maxBodyBytes: number;
  readonly #connectMs: number;
  #session: Promise<Session> | undefined;
  readonly #inFlight = new Set<Promise<unknown>>();
  #retried = 0;
  #closed = false;

  constructor(source: Source, target: Target, options: Http2ClientOptions) {
    this.#target = target;
    this.#counter = options.counter ?? createPeerCounter();
    this.#connector = createConnector(source, { ...options, counter: this.#counter });
    this.#maxBodyBytes = options.maxBodyBytes ?? 4 * 1024 * 1024;
    this.#connectMs = options.connectMs ?? 5_000;
  }

  request(request: Http2Request): Promise<Http2Response> {
    if (this.#closed) return Promise.reject(new SdkError("closed", "the client was closed"));
    const work = this.#request(request);
    const settled = work.then(
      () => {},
      () => {},
    );
    this.#inFlight.add(settled);
    void settled.then(() => this.#inFlight.delete(settled));
    return work;
  }

  counts(): Http2Counts {
    return { ...this.#counter.snapshot(), retried: this.#retried };
  }

  async close({ withinMs = 10_000 }: { readonly withinMs?: number } = {}): Promise<void> {
    this.#closed = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((done) => {
      timer = setTimeout(done, withinMs);
    });
    const started = performance.now();
    await Promise.race([Promise.all(this.#inFlight), late]);
    clearTimeout(timer);
    await this.#connector.close(Math.max(withinMs - (performance.now() - started), 0));
  }

  async #request(request: Http2Request): Promise<Http2Response> {
    const deadlineMs = request.deadlineMs ?? 10_000;
    const timeout = new AbortController();
    const late = new SdkError("deadline", `no answer within ${deadlineMs / 1000} s`);
    const timer = setTimeout(() => timeout.abort(late), deadlineMs);
    const signal = request.signal === undefined ? timeout.signal : AbortSignal.any([timeout.signal, request.signal]);
    try {
      const answer = await this.#attempt(request, signal);
      if (answer !== notProcessed) return { ...answer, retried: false };
      this.#retried++;
      const again = await this.#attempt(request, signal);
      if (again !== notProcessed) return { ...again, retried: true };
      throw new SdkError("lost", "the server did not process the request, twice");
    } finally {
      clearTimeout(timer);
    }
  }

  async #attempt(request: Http2Request, signal: AbortSignal): Promise<Answer | typeof notProcessed> {
    const session = await unlessAborted(signal, this.#connected());
    try {
      const answer = await this.#send(session, request, signal);
      if (answer === notProcessed) this.#leave(session);
      return answer;
    } catch (error) {
      // A connection on which an answer did not come in time may be dead; others shall not wait for it too.
      if (error instanceof SdkError && error.code === "deadline") this.#leave(session);
      throw error;
    }
  }

  /** The connection in use, or a new one; all requests that need a new one wait for the same. */
  async #connected(): Promise<Session> {
    const current = this.#session;
    if (current !== undefined) {
      const session = await current;
      if (isUsable(session)) return session;
      if (this.#session === current) this.#session = undefined;
    }
    if (this.#session === undefined) {
      const connecting = this.#connect();
      this.#session = connecting;
      connecting.catch(() => {
        if (this.#session === connecting) this.#session = undefined;
      });
    }
    // Whoever waited for a connection may use it, even when it is to be left at once: its identity ends in a second.
    return this.#session;
  }

  async #connect(): Promise<Session> {
    const made: { session?: Session } = {};
    const connection = await this.#connector.connect(this.#target, {
      alpn: ["h2"],
      onLeave: () => {
        if (made.session !== undefined) this.#leave(made.session);
      },
    });
    const { socket } = connection;
    if (socket.alpnProtocol !== "h2") {
      socket.destroy();
      throw new SdkError("unreachable", `${this.#target.host}:${this.#target.port} does not speak HTTP/2`);
    }
    const http2 = connect(`https://${authorityOf(this.#target)}`, {
      createConnection: () => socket,
      settings: { enablePush: false },
    });
    const session: Session = { connection, http2, lastStreamId: Number.POSITIVE_INFINITY, left: false };
    made.session = session;
    http2.on("error", () => {});
    http2.on("goaway", (_code, lastStreamId) => {
      session.lastStreamId = Math.min(session.lastStreamId, lastStreamId);
      this.#leave(session);
    });
    http2.on("close", () => this.#leave(session));
    await serverAccepted(http2, this.#connectMs);
    return session;
  }

  #leave(session: Session): void {
    if (session.left) return;
    session.left = true;
    // Ends once the requests on it are done.
    if (!session.http2.closed && !session.http2.destroyed) session.http2.close();
  }

  async #send(session: Session, request: Http2Request, signal: AbortSignal): Promise<Answer | typeof notProcessed> {
    const { http2, connection } = session;
    signal.throwIfAborted();
    let stream: ClientHttp2Stream;
    try {
      stream = http2.request(headersOf(request), { endStream: request.body === undefined });
    } catch (error) {
      // The session ended in between; a header that cannot be sent is the caller's error.
      if (http2.closed || http2.destroyed) return notProcessed;
      throw error;
    }
    if (request.body !== undefined) stream.end(request.body);
    try {
      const answer = await readAnswer(stream, { signal, maxBodyBytes: this.#maxBodyBytes });
      return { ...answer, peer: connection.peer };
    } catch (error) {
      const { rstCode, id } = stream;
      const refused = rstCode === constants.NGHTTP2_REFUSED_STREAM || (id !== undefined && id > session.lastStreamId);
      if (refused && !signal.aborted) return notProcessed;
      throw error;
    }
  }
}

function isUsable({ left, http2, connection }: Session): boolean {
  return !left && !http2.closed && !http2.destroyed && !connection.leaving();
}

function headersOf({ method = "GET", path, headers = {} }: Http2Request): OutgoingHttpHeaders {
  return { ...headers, ":method": method, ":path": path };
}

function parseTarget(target: string): Target {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(target) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new TypeError(`a target is host:port, not ${JSON.stringify(target.slice(0, 64))}`);
  }
  return { host, port: Number(port) };
}

function authorityOf({ host, port }: Target): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
