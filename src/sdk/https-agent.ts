import { Agent, type AgentOptions } from "node:https";
import type { TLSSocket } from "node:tls";
import { type ClientOptions, createConnector } from "./connect.ts";
import type { Connection } from "./gate.ts";
import type { Peer } from "./peer.ts";
import type { Source } from "./source.ts";

export interface HttpsAgentOptions extends ClientOptions {
  /** How many connections are open to one server at a time, and how many of them idle; as in `https.Agent`. */
  readonly maxSockets?: number;
  readonly maxFreeSockets?: number;
}

export interface HttpsAgent {
  /** For `https.request({ agent })`, axios, got and what else takes a Node agent. */
  readonly agent: Agent;
  /** Who answered: pass the `socket` of the response. Throws TypeError for a socket of others. */
  peerOf(of: { readonly socket: object }): Peer;
  /** Closes idle connections, lets busy ones finish, cuts what is left after `withinMs` (default 10 s). */
  close(options?: { readonly withinMs?: number }): Promise<void>;
}

/**
 * An agent for `https` over HTTP/1.1: each new connection has the newest identity, its server is judged before the
 * request is sent, and a connection is left a second before one of the two identities ends. Host names are not looked
 * at: `authorize` says who the server must be.
 *
 * @example
 * const { agent } = httpsAgent(source, { authorize: exactly(parseSpiffeId("spiffe://prod.example/svc/b")) });
 * https.get({ agent, host: "10.0.0.7", port: 8443, path: "/hello" }, (response) => response.resume());
 */
export function httpsAgent(source: Source, options: HttpsAgentOptions): HttpsAgent {
  const { maxSockets, maxFreeSockets } = options;
  const pool: AgentOptions = { keepAlive: true, maxCachedSessions: 0 };
  if (maxSockets !== undefined) pool.maxSockets = maxSockets;
  if (maxFreeSockets !== undefined) pool.maxFreeSockets = maxFreeSockets;
  const agent = new Agent(pool);
  const connector = createConnector(source, options);
  const connections = new WeakMap<object, Connection>();

  agent.createConnection = ({ host, hostname, port }, callback) => {
    const target = { host: hostname ?? host ?? "localhost", port: Number(port ?? 443) };
    let socket: TLSSocket | undefined;
    connector
      .connect(target, {
        onLeave: () => {
          if (socket !== undefined && isFree(agent, socket)) socket.destroy();
        },
      })
      .then(
        (connection) => {
          socket = connection.socket;
          connections.set(socket, connection);
          callback?.(null, socket);
        },
        // Node types the stream as present; with an error nobody reads it.
        (error: Error) => (callback as ((error: Error) => void) | undefined)?.(error),
      );
    return undefined;
  };
  const keep = agent.keepSocketAlive.bind(agent);
  agent.keepSocketAlive = (socket) => connections.get(socket)?.leaving() === false && keep(socket);

  return {
    agent,
    peerOf: ({ socket }) => {
      const peer = connections.get(socket)?.peer;
      if (peer === undefined) throw new TypeError("this is no connection of this agent");
      return peer;
    },
    close: ({ withinMs = 10_000 } = {}) => connector.close(withinMs),
  };
}

function isFree(agent: Agent, socket: TLSSocket): boolean {
  return Object.values(agent.freeSockets).some((free) => free?.includes(socket));
}
