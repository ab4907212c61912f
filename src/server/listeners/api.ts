// The api listener: gRPC over TLS 1.3 on one port, for joining nodes, agents and health.
import { type AddressInfo, createServer } from "node:net";
import type { SecureContextOptions } from "node:tls";
import {
  Server as GrpcServer,
  type Metadata,
  type Server,
  ServerInterceptingCall,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { type Address, formatAddress } from "../../platform/address.ts";
import { isRevokedSession } from "../../protocols/authenticate.ts";
import type { Gate } from "../../protocols/gate.ts";
import { grpcStatus } from "../../protocols/grpc-call.ts";
import { grpcTable } from "../../protocols/grpc-table.ts";
import { CaError } from "../../registry/ca-error.ts";
import { storeFailure } from "../../registry/committed.ts";
import { type Connections, createConnections } from "./connections.ts";
import { OptionalMtls } from "./optional-mtls.ts";

export interface ApiOptions {
  readonly address: Address;
  readonly tls: SecureContextOptions;
  readonly limits: {
    readonly connections: number;
    readonly anonymousConnections: number;
    readonly anonymousLifeMs: number;
    readonly handshakeMs: number;
  };
  /** Adds the services. `session` gives the TLS session of a call. */
  readonly services: (server: Server, connections: Connections) => void;
  /** Says who may call what. */
  readonly gate: Pick<Gate, "isOpen" | "admit" | "confirm" | "isRevoked">;
  /** Calls back after each change of bundle, deny list or authorities. */
  readonly onTrustChange: (changed: () => void) => void;
}

export interface ApiListener {
  readonly address: string;
  readonly port: number;
  /** Serves another certificate and asks by other roots from now on; open connections stay. */
  update(tls: SecureContextOptions): void;
  readonly connections: Connections;
  /** Stops taking connections, lets calls under way finish for so long, then ends them. */
  drain(ms: number): Promise<void>;
}

const maxMessageBytes = 1024 * 1024;

/** Opens the listener. Rejects with the system's error when the port is taken. */
export async function listenApi(options: ApiOptions): Promise<ApiListener> {
  const { limits } = options;
  const connections = createConnections(limits);
  const server = new GrpcServer({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_send_message_length": 4 * maxMessageBytes,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.max_connection_idle_ms": 300_000,
    // Its counts of every call, which nothing here reads.
    "grpc.enable_channelz": 0,
    interceptors: [guard(options.gate, connections)],
  });
  options.services(server, connections);
  endRevoked(options, connections);
  const credentials = new OptionalMtls(options.tls, {
    handshakeTimeoutMs: limits.handshakeMs,
    maxConcurrentStreams: 256,
    maxHeaderListSize: 16_384,
  });
  const injector = server.createConnectionInjector(credentials);
  const sockets = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    if (connections.accept(socket)) injector.injectConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    sockets.once("error", reject);
    sockets.listen(options.address.port, options.address.host, () => {
      sockets.removeListener("error", reject);
      resolve();
    });
  });
  const { port } = sockets.address() as AddressInfo;
  return {
    port,
    address: formatAddress({ host: options.address.host, port }),
    update: (tls) => credentials.update(tls),
    connections,
    drain: async (ms) => {
      // The sockets tell when the last call has ended: tryShutdown() counts a session as done once it is being closed.
      const ended = new Promise<void>((resolve) => sockets.close(() => resolve()));
      server.tryShutdown(() => {});
      const late = setTimeout(() => {
        server.forceShutdown();
        connections.closeAll();
      }, ms);
      await ended;
      clearTimeout(late);
    },
  };
}

/**
 * Asks the gate before a message is read, and answers who may not call at once. A request that was kept back for a while
 * is judged once more when it is complete, before its handler runs.
 */
function guard(gate: ApiOptions["gate"], connections: Connections): ServerInterceptor {
  return (method, call) => {
    if (gate.isOpen(method.path)) return new ServerInterceptingCall(call);
    let admitted: Metadata | undefined;
    const refuse = (error: unknown): void => {
      call.sendStatus(grpcStatus(grpcTable, refusalOf(error)));
      const session = connections.session(call);
      if (isRevokedSession(session)) connections.end(session);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, pass) => {
            const session = connections.session(call);
            gate.admit({ metadata }, method.path, session).then(() => {
              connections.known(session);
              admitted = metadata;
              pass(metadata);
            }, refuse);
          },
          onReceiveHalfClose: (pass) => {
            // The handler of a stream of requests runs from the start and judges for itself.
            const judging =
              method.requestStream || admitted === undefined ? undefined : gate.confirm({ metadata: admitted });
            if (judging === undefined) pass();
            else judging.then(pass, refuse);
          },
        });
      },
    });
  };
}

/** Ends the connections of callers that were revoked, also those on which nothing is going on. One sweep at a time. */
function endRevoked({ gate, onTrustChange }: ApiOptions, connections: Connections): void {
  let sweeping = false;
  let again = false;
  const sweep = async (): Promise<void> => {
    for (const session of connections.knownSessions()) {
      // A store that cannot be read says nothing of a certificate.
      if (await gate.isRevoked(session).catch(() => false)) connections.end(session);
    }
  };
  onTrustChange(() => {
    again = true;
    if (sweeping) return;
    sweeping = true;
    void (async () => {
      while (again) {
        again = false;
        await sweep();
      }
      sweeping = false;
    })();
  });
}

function refusalOf(thrown: unknown): CaError {
  const error = storeFailure(thrown);
  if (error instanceof CaError && error.code !== "internal") return error;
  return new CaError("unavailable", "the server cannot look this certificate up now", { retry: "later" });
}
