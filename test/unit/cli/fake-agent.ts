// A real gRPC node service on DIR/agent.sock, with canned answers at the time of the fake admin.
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import {
  type GetAgentStatusResponse,
  type HeldIdentity,
  NodeServiceService,
  type RenewIdentitiesRequest,
  type RenewIdentitiesResponse,
} from "../../../proto/gen/signet/v1/node.ts";
import { at, fakeNow } from "../../fakes/fake-admin.ts";

export function fakeHeld(
  fields: Partial<HeldIdentity> = {},
  report: Partial<NonNullable<HeldIdentity["report"]>> = {},
): HeldIdentity {
  return {
    report: {
      spiffeId: "spiffe://prod.example/svc/a",
      serialHex: "4f0c1e2d3b4a59687786a5b4c3d2e1f0",
      notAfter: at(44 * 60),
      renewAt: at(14 * 60),
      state: 1,
      lastError: "",
      entryRevision: 3n,
      ...report,
    },
    directory: "/var/lib/signet-agent/identities/svc/a",
    notBefore: at(-17 * 60),
    obtainedAt: at(-16 * 60),
    ttlSeconds: 3600,
    authority: "int-2",
    failures: 0,
    retryAt: undefined,
    withdrawn: false,
    ...fields,
  };
}

export function fakeAgentStatus(fields: Partial<GetAgentStatusResponse> = {}): GetAgentStatusResponse {
  return {
    agentId: "spiffe://prod.example/agent/one",
    trustDomain: "prod.example",
    version: "0.1.0",
    startedAt: at(-3600),
    agentTime: fakeNow,
    serverAddress: "192.0.2.10:7443",
    serverConnected: true,
    lastContact: at(-3),
    lastError: "",
    clockOffsetSeconds: 0.1,
    bundleSequence: 7n,
    deniedSequence: 3n,
    entryRevision: 3n,
    roots: 1,
    agentNotAfter: at(17 * 3600),
    agentRenewAt: at(5 * 3600),
    agentSerialHex: "5a00112233445566778899aabbccddee",
    identities: [fakeHeld()],
    ready: true,
    ...fields,
  };
}

export interface FakeAgentAnswers {
  readonly status?: GetAgentStatusResponse;
  readonly renew?: (request: RenewIdentitiesRequest) => RenewIdentitiesResponse;
}

/** Serves at `socketPath` until the answer is called. */
export async function startFakeAgent(socketPath: string, answers: FakeAgentAnswers = {}): Promise<() => void> {
  const server = new Server();
  const held = answers.status ?? fakeAgentStatus();
  const getAgentStatus: handleUnaryCall<unknown, GetAgentStatusResponse> = (_call, callback) => callback(null, held);
  const renewIdentities: handleUnaryCall<RenewIdentitiesRequest, RenewIdentitiesResponse> = (call, callback) => {
    const renewed = {
      spiffeId: "spiffe://prod.example/svc/a",
      renewed: true,
      serialHex: "40aa",
      notAfter: at(3600),
      error: "",
    };
    callback(null, answers.renew?.(call.request) ?? { results: [renewed] });
  };
  server.addService(NodeServiceService, { getAgentStatus, renewIdentities });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return () => server.forceShutdown();
}
