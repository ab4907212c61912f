import { connect, type SecureContext, type TLSSocket } from "node:tls";
import { type Clock, systemClock } from "../platform/clock.ts";
import type { Authorizer } from "../spiffe/authorizer.ts";
import { createPeerCounter, type PeerCounter } from "./counts.ts";
import { type Connection, Gate, type Leaving } from "./gate.ts";
import type { Peer, RefusedPeer } from "./peer.ts";
import { SdkError } from "./sdk-error.ts";
import type { Source } from "./source.ts";
import { followContext } from "./tls-options.ts";

export interface ClientOptions {
  /** Which IDs of our trust domain the server may have. */
  readonly authorize: Authorizer;
  /** Counts into this one, which others may share; default a counter of its own. */
  readonly counter?: PeerCounter;
  readonly onAccepted?: (peer: Peer) => void;
  readonly onRefused?: (refused: RefusedPeer) => void;
  /** How long connecting and handshake may take, in ms; default 5000. */
  readonly connectMs?: number;
  /** How long before its end a connection is left, in ms; default 1000. */
  readonly leaveMs?: number;
  readonly clock?: Clock;
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** Makes client connections with the newest identity of a source; each server is judged before a byte is sent. */
export interface Connector {
  /**
   * One connection. Throws SdkError: "unreachable", "lost" in the handshake, "peer_refused", "not_ready" (our own
   * identity has ended), "deadline", "aborted".
   */
  connect(
    target: Target,
    options?: {
      readonly alpn?: readonly string[];
      readonly signal?: AbortSignal | undefined;
      /** Called once, when it is time to use the connection for nothing new. */
      readonly onLeave?: (why: Leaving) => void;
    },
  ): Promise<Connection>;
  /** Leaves all connections; cuts what is left after `withinMs`; stops following the source. */
  close(withinMs: number): Promise<void>;
}

export function createConnector(source: Source, options: ClientOptions): Connector {
  const clock = options.clock ?? systemClock;
  const connectMs = options.connectMs ?? 5_000;
  const context = followContext(source);
  let closed = false;
  const gate = new Gate({
    source,
    authorize: options.authorize,
    peerIs: "server",
    clock,
    counter: options.counter ?? createPeerCounter(),
    leaveMs: options.leaveMs ?? 1_000,
    onAccepted: options.onAccepted,
    onRefused: options.onRefused,
  });
  return {
    connect: async (target, { alpn = [], signal, onLeave = () => {} } = {}) => {
      if (source.identity().notAfter <= clock.now()) throw new SdkError("not_ready", "our own identity has ended");
      const socket = await handshake(target, { alpn, signal, connectMs, context: context() });
      if (closed) {
        socket.destroy();
        throw new SdkError("closed", "the client was closed while it connected");
      }
      const connection = gate.admit(socket, onLeave);
      if (connection instanceof SdkError) throw connection;
      return connection;
    },
    close: async (withinMs) => {
      closed = true;
      await gate.drain(withinMs);
      gate.close();
    },
  };
}

/**
 * One TLS 1.3 connection to a server that the authorizer allows, judged before it is handed out. It is cut when one of
 * the two identities ends, or when deny list or bundle drop the server. Throws SdkError.
 *
 * @example
 * const { socket, peer } = await connectTls(source, { host: "10.0.0.7", port: 8443 }, { authorize: exactly(id) });
 * socket.write("hello");
 */
export async function connectTls(source: Source, target: Target, options: ClientOptions): Promise<Connection> {
  const connector = createConnector(source, options);
  try {
    const connection = await connector.connect(target);
    connection.socket.once("close", () => void connector.close(0));
    return connection;
  } catch (error) {
    await connector.close(0);
    throw error;
  }
}

function handshake(
  { host, port }: Target,
  options: {
    readonly alpn: readonly string[];
    readonly signal: AbortSignal | undefined;
    readonly connectMs: number;
    readonly context: SecureContext;
  },
): Promise<TLSSocket> {
  const { alpn, signal, connectMs, context } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new SdkError("aborted", "the call was aborted", { cause: signal.reason }));
      return;
    }
    const socket = connect({
      host,
      port,
      secureContext: context,
      ALPNProtocols: [...alpn],
      // The gate judges, with reasons; it asks for OpenSSL's verdict too. SPIFFE IDs are no host names.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    let connected = false;
    const timer = setTimeout(
      () => fail(new SdkError("deadline", `no connection to ${host}:${port} within ${connectMs / 1000} s`)),
      connectMs,
    );
    const onAbort = (): void => fail(new SdkError("aborted", "the call was aborted", { cause: signal?.reason }));
    const onError = (error: Error): void => {
      const detail = `${connected ? "no TLS with" : "cannot reach"} ${host}:${port}: ${error.message}`;
      fail(new SdkError(connected ? "lost" : "unreachable", detail, { cause: error }));
    };
    const onClose = (): void => fail(new SdkError("lost", `${host}:${port} closed the connection in the handshake`));
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      socket.off("error", onError).off("close", onClose);
      // An error of an idle connection is told by "close"; without a listener it would end the process.
      socket.on("error", () => {});
    };
    const fail = (error: SdkError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", () => {
      connected = true;
      socket.setNoDelay(true);
    });
    socket.on("error", onError);
    socket.on("close", onClose);
    // Nothing is written before the gate has judged; what the server may send waits unread.
    socket.once("secureConnect", () => {
      settle();
      resolve(socket);
    });
  });
}
