// The sockets of the api listener: counted, the anonymous among them few and short-lived, each with its TLS session.
import type { Socket } from "node:net";
import type { Session } from "../../protocols/authenticate.ts";

export interface ConnectionLimits {
  readonly connections: number;
  readonly anonymousConnections: number;
  readonly anonymousLifeMs: number;
}

/** Octets that a connection may send before it proved to be an agent's: handshake, a join string and a CSR need 40 KiB. */
const anonymousBytes = 128 * 1024;
/** How often that is looked at: what a stranger sends in between is bounded by what the machine takes in. */
const weighEveryMs = 50;

/** What a call on a connection that is being ended was answered reaches its peer within this. */
const farewellMs = 200;

interface Connection {
  readonly socket: Socket;
  session: Session | undefined;
  /** An agent was found behind it: the anonymous limits no longer hold. */
  known: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** What gRPC tells of a call's peer. */
export interface CallPeer {
  getPeer(): string;
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } | undefined };
}

export interface Connections {
  /** Takes a socket, or ends it (or an older anonymous one) when there are too many. Says whether it may go on. */
  readonly accept: (socket: Socket) => boolean;
  /** The TLS session of a call, the same object for every call on one connection. */
  readonly session: (call: CallPeer) => Session;
  /** Lifts the anonymous limits of a session that proved to be an agent's. */
  readonly known: (session: Session) => void;
  /** Sessions that proved to be an agent's, and are open. */
  readonly knownSessions: () => readonly Session[];
  /** Ends a session's connection once what was answered just now had time to leave. */
  readonly end: (session: Session) => void;
  readonly open: number;
  readonly closeAll: () => void;
}

export function createConnections(limits: ConnectionLimits): Connections {
  const byAddress = new Map<string, Connection>();
  const evict = (address: string, { socket, timer }: Connection): void => {
    clearTimeout(timer);
    byAddress.delete(address); // At once: its close comes only after others were accepted.
    socket.destroy();
  };
  let scales: NodeJS.Timeout | undefined;
  /** Unfinished messages of strangers stay in memory until their connection ends: heavy ones end at once. */
  const weigh = (): void => {
    const strangers = anonymous();
    for (const [address, connection] of strangers) {
      if (connection.socket.bytesRead > anonymousBytes) evict(address, connection);
    }
    if (strangers.length > 0) return;
    clearInterval(scales);
    scales = undefined;
  };
  const anonymous = (): readonly (readonly [string, Connection])[] => [...byAddress].filter(([, { known }]) => !known);
  return {
    accept: (socket) => {
      const address = `${socket.remoteAddress}:${socket.remotePort}`;
      if (byAddress.size >= limits.connections) {
        socket.destroy();
        return false;
      }
      // The oldest anonymous one makes room: a crowd of strangers never locks out who comes next.
      const strangers = anonymous();
      const [oldest] = strangers;
      if (oldest !== undefined && strangers.length >= limits.anonymousConnections) evict(...oldest);
      const connection: Connection = { socket, session: undefined, known: false, timer: undefined };
      connection.timer = setTimeout(() => {
        if (!connection.known) socket.destroy();
      }, limits.anonymousLifeMs);
      connection.timer.unref();
      byAddress.set(address, connection);
      scales ??= setInterval(weigh, weighEveryMs).unref();
      socket.once("close", () => {
        clearTimeout(connection.timer);
        if (byAddress.get(address) === connection) byAddress.delete(address);
      });
      return true;
    },
    session: (call) => {
      const address = call.getPeer();
      const connection = byAddress.get(address);
      if (connection?.session !== undefined) return connection.session;
      const raw = call.getAuthContext().sslPeerCertificate?.raw;
      const session: Session = { address, leafDer: raw === undefined ? undefined : new Uint8Array(raw) };
      if (connection !== undefined) connection.session = session;
      return session;
    },
    known: (session) => {
      const connection = byAddress.get(session.address);
      if (connection === undefined || connection.known) return;
      connection.known = true;
      clearTimeout(connection.timer);
    },
    knownSessions: () =>
      [...byAddress.values()].flatMap(({ known, session }) => (known && session !== undefined ? [session] : [])),
    end: (session) => {
      const connection = byAddress.get(session.address);
      if (connection === undefined || connection.session !== session) return;
      setTimeout(() => connection.socket.destroy(), farewellMs).unref();
    },
    get open() {
      return byAddress.size;
    },
    closeAll: () => {
      clearInterval(scales);
      for (const { socket } of byAddress.values()) socket.destroy();
    },
  };
}
