// The agent's own socket for the command line on the node. Its mode never matters: the data directory is 0700.
import { unlink } from "node:fs/promises";
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import {
  type GetAgentStatusResponse,
  NodeServiceService,
  type RenewedIdentity,
  type RenewIdentitiesRequest,
  type RenewIdentitiesResponse,
} from "../../proto/gen/signet/v1/node.ts";
import { SpiffeError, type SpiffeId, type TrustDomain } from "../../src/spiffe/id.ts";
import { parseIdOrPath } from "../../src/spiffe/kind.ts";
import { codeOf } from "../identities/directory-error.ts";

export interface NodeServiceDeps {
  readonly status: () => GetAgentStatusResponse;
  readonly trustDomain: TrustDomain;
  /** All identities that can be renewed. */
  readonly ids: () => readonly SpiffeId[];
  /** Renews and waits until each is on disk or has failed. */
  readonly renew: (ids: readonly SpiffeId[], signal: AbortSignal) => Promise<readonly RenewedIdentity[]>;
}

/** The longest path of a unix socket. */
const longestPath = 107;

export interface NodeSocket {
  readonly path: string;
  close(): Promise<void>;
}

/** Opens the socket. Rejects when the path is too long or cannot be listened on. */
export async function openNodeSocket(path: string, deps: NodeServiceDeps): Promise<NodeSocket> {
  if (Buffer.byteLength(path) > longestPath) {
    throw new Error(
      `the path of the agent's socket has ${Buffer.byteLength(path)} bytes, a unix socket at most ${longestPath}: ${path}`,
    );
  }
  // The lock is ours, so a socket that is still there is a dead agent's.
  await unlink(path).catch((error: unknown) => {
    if (codeOf(error) !== "ENOENT") throw error;
  });
  const server = new Server();
  server.addService(NodeServiceService, {
    getAgentStatus: (_call: unknown, callback: sendUnaryData<GetAgentStatusResponse>) => callback(null, deps.status()),
    renewIdentities: (
      call: ServerUnaryCall<RenewIdentitiesRequest, RenewIdentitiesResponse>,
      callback: sendUnaryData<RenewIdentitiesResponse>,
    ) => {
      const cancelled = new AbortController();
      call.on("cancelled", () => cancelled.abort());
      answerRenew(deps, call.request, cancelled.signal).then(
        (response) => callback(null, response),
        (error: unknown) => {
          const code = error instanceof SpiffeError ? status.INVALID_ARGUMENT : status.INTERNAL;
          callback({ code, details: error instanceof Error ? error.message : String(error) });
        },
      );
    },
  });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), 1000);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

async function answerRenew(
  deps: NodeServiceDeps,
  request: RenewIdentitiesRequest,
  signal: AbortSignal,
): Promise<RenewIdentitiesResponse> {
  const known = new Set(deps.ids());
  const asked = request.all ? [...known] : request.ids.map((text) => parseIdOrPath(text, deps.trustDomain));
  const unknown = asked.filter((id) => !known.has(id));
  const renewed = await deps.renew(
    asked.filter((id) => known.has(id)),
    signal,
  );
  return { results: [...renewed, ...unknown.map(unknownIdentity)] };
}

function unknownIdentity(spiffeId: SpiffeId): RenewedIdentity {
  const error = "this agent has no such identity, or its entry was deleted";
  return { spiffeId, renewed: false, serialHex: "", notAfter: undefined, error };
}
