import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2Session, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { type Clock, systemClock } from "../platform/clock.ts";
import type { Authorizer } from "../spiffe/authorizer.ts";
import { createPeerCounter, type PeerCounter, type PeerCounts } from "./counts.ts";
import { Gate, type Leaving } from "./gate.ts";
import type { Peer, RefusedPeer } from "./peer.ts";
import { SdkError } from "./sdk-error.ts";
import type { Source } from "./source.ts";
import { contextOptions } from "./tls-options.ts";

export interface GuardOptions {
  /** Which IDs of our trust domain may connect at all; routes may ask for more with peerOf(). */
  readonly authorize: Authorizer;
  /** Counts into this one, which others may share; default a counter of its own. */
  readonly counter?: PeerCounter;
  readonly onAccepted?: (peer: Peer) => void;
  readonly onRefused?: (refused: RefusedPeer) => void;
  /** How long before its end a connection takes no new requests, in ms; default 500. */
  readonly leaveMs?: number;
  readonly clock?: Clock;
}

/** What a request of a `http`, `https` or `http2` server has of its connection. */
export type OfConnection =
  | { readonly socket: object; readonly stream?: undefined }
  | { readonly stream: { readonly session?: object | undefined } }
  | { readonly session: object | undefined };

export interface ServerGuard {
  /** The judged peer of a request, HTTP/2 stream or socket of this server. Throws TypeError for others. */
  peerOf(of: OfConnection | TLSSocket): Peer;
  counts(): PeerCounts;
  /**
   * Stops accepting, lets requests in flight finish, cuts what is left after `withinMs` (default 10 s), and stops
   * following the source.
   */
  close(options?: { readonly withinMs?: number }): Promise<void>;
}

/**
 * Puts a gate before a TLS server made with serverOptions(): the peer of each connection is judged before the server
 * sees the connection, and a refused one gets no byte. Open connections are judged again when bundle or deny list
 * change, and end when one of the two identities does. The server's own identity is the newest of the source.
 *
 * @example
 * const server = http2.createSecureServer(serverOptions(source), (request, response) => {
 *   response.end(`hello ${guard.peerOf(request).spiffeId}\n`);
 * });
 * const guard = guardServer(server, source, { authorize: memberOf(source.identity().trustDomain) });
 */
export function guardServer(server: Server, source: Source, options: GuardOptions): ServerGuard {
  const counter = options.counter ?? createPeerCounter();
  const peers = new WeakMap<object, Peer>();
  const gate = new Gate({
    source,
    authorize: options.authorize,
    peerIs: "client",
    clock: options.clock ?? systemClock,
    counter,
    leaveMs: options.leaveMs ?? 500,
    onAccepted: options.onAccepted,
    onRefused: options.onRefused,
  });
  const followIdentity = (): void => server.setSecureContext(contextOptions(source.identity(), source.bundle()));
  const unsubscribe = source.onChange(followIdentity);
  followIdentity();
  judgeInsteadOfOpenSsl(server);

  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const http1 = followHttp1(server);
  let closing = false;
  let newSession: ServerHttp2Session | undefined;
  server.on("session", (session: ServerHttp2Session) => {
    newSession = session;
  });
  server.prependListener("stream", (stream: ServerHttp2Stream) => {
    const peer = stream.session === undefined ? undefined : peers.get(stream.session);
    if (peer !== undefined) peers.set(stream, peer);
  });
  beforeSecureConnection(server, (socket) => {
    if (closing) {
      socket.destroy();
      return undefined;
    }
    let session: ServerHttp2Session | undefined;
    const connection = gate.admit(socket, (why) => {
      if (session !== undefined) session.close();
      else http1.leave(socket, why);
    });
    if (connection instanceof SdkError) return undefined;
    peers.set(socket, connection.peer);
    newSession = undefined;
    // An HTTP/2 server makes its session while it takes the connection.
    return () => {
      session = newSession;
      if (session !== undefined) peers.set(session, connection.peer);
    };
  });

  return {
    peerOf: (of) => {
      const peer = keysOf(of).flatMap((key) => peers.get(key) ?? [])[0];
      if (peer === undefined) throw new TypeError("this is no request of the guarded server");
      return peer;
    },
    counts: () => counter.snapshot(),
    close: async ({ withinMs = 10_000 } = {}) => {
      closing = true;
      const closed = new Promise<void>((done) => (server.listening ? server.close(() => done()) : done()));
      await gate.drain(withinMs);
      // What is left has not finished its handshake.
      for (const socket of sockets) socket.destroy();
      await closed;
      unsubscribe();
      gate.close();
    },
  };
}

/**
 * Runs `judge` for each connection whose handshake is done, before any listener of the server hears of it. `judge`
 * answers undefined when nobody shall hear of it, else what to do after they did. `emit` is replaced rather than the
 * listeners, so that a listener added later does not stand beside the gate.
 */
function beforeSecureConnection(server: Server, judge: (socket: TLSSocket) => (() => void) | undefined): void {
  const emit = server.emit.bind(server) as (event: string | symbol, ...values: unknown[]) => boolean;
  const gated = (event: string | symbol, ...values: unknown[]): boolean => {
    if (event !== "secureConnection") return emit(event, ...values);
    const after = judge(values[0] as TLSSocket);
    if (after === undefined) return false;
    const heard = emit(event, ...values);
    after();
    return heard;
  };
  server.emit = gated as Server["emit"];
}

/**
 * With `rejectUnauthorized` Node refuses by itself what OpenSSL does not like, and no reason is left to count. So a
 * guarded server leaves that to the gate, which asks for OpenSSL's verdict too. The property is not documented; if it
 * ever goes, refusals lose their reasons, and nobody comes in by it.
 */
function judgeInsteadOfOpenSsl(server: Server): void {
  (server as unknown as { rejectUnauthorized: boolean }).rejectUnauthorized = false;
}

/**
 * HTTP/1.1 has no frame for "no new requests": a busy connection gets `connection: close` with its answer, an idle one
 * is closed. A connection that never carried a request is of a protocol we do not know: it is cut at its end.
 */
function followHttp1(server: Server): { leave(socket: TLSSocket, why: Leaving): void } {
  const answering = new WeakMap<object, ServerResponse | undefined>();
  const left = new WeakSet<object>();
  server.prependListener("request", (request: IncomingMessage, response: ServerResponse) => {
    if (request.httpVersionMajor !== 1) return;
    const { socket } = request;
    answering.set(socket, response);
    response.once("close", () => answering.set(socket, undefined));
    if (left.has(socket)) response.setHeader("connection", "close");
  });
  return {
    leave: (socket, why) => {
      left.add(socket);
      const response = answering.get(socket);
      if (response === undefined) {
        if (why === "draining" || answering.has(socket)) socket.end();
      } else if (response.headersSent) {
        response.once("close", () => socket.end());
      } else {
        response.setHeader("connection", "close");
      }
    },
  };
}

function keysOf(of: OfConnection | TLSSocket): readonly object[] {
  const parts = of as {
    readonly socket?: object;
    readonly session?: Http2Session;
    readonly stream?: { readonly session?: Http2Session };
  };
  return [of, parts.stream, parts.stream?.session, parts.session, parts.socket].filter(
    (key) => typeof key === "object" && key !== null,
  );
}
