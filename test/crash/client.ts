// A client of the server's handlers, without a network between them: what it is answered is what left the process.
import { EventEmitter } from "node:events";
import type { Server } from "@grpc/grpc-js";
import type {
  AttestRequest,
  AttestResponse,
  AttestResult,
  BatchIssueResponse,
  Certificate,
  IssuanceServiceServer,
  IssueResponse,
  RenewResponse,
} from "../../proto/gen/signet/v1/issuance.ts";
import { IssuanceServiceService } from "../../proto/gen/signet/v1/issuance.ts";
import type { Connections } from "../../src/server/listeners/connections.ts";
import type { ServerParts } from "../../src/server/wire.ts";

/** Handlers of the issuance service as the api listener would call them. */
export interface Client {
  attest(steps: (challenge: Uint8Array | undefined) => Promise<AttestRequest | undefined>): Promise<AttestResult>;
  renew(leafDer: Uint8Array, csrDer: Uint8Array): Promise<Certificate>;
  issue(leafDer: Uint8Array, item: { readonly spiffeId: string; readonly csrDer: Uint8Array }): Promise<Certificate>;
  batch(
    leafDer: Uint8Array,
    items: readonly { readonly spiffeId: string; readonly csrDer: Uint8Array }[],
  ): Promise<BatchIssueResponse>;
}

const from = "192.0.2.7:40000";

export function clientOf(parts: Pick<ServerParts, "apiServices" | "gate">): Client {
  let leaf: Uint8Array | undefined;
  let handlers: IssuanceServiceServer | undefined;
  const server = {
    addService: (_: unknown, implementation: object) => {
      if ("attest" in implementation) handlers = implementation as IssuanceServiceServer;
    },
  };
  const connections = { session: () => ({ address: from, leafDer: leaf }) };
  parts.apiServices(server as unknown as Server, connections as unknown as Connections);
  if (handlers === undefined) throw new Error("no issuance service was added");
  const service = handlers;
  const unary = <Response>(
    method: "renew" | "issue" | "batchIssue",
    by: Uint8Array,
    request: object,
  ): Promise<Response> =>
    new Promise((resolve, reject) => {
      leaf = by;
      const call = { request, metadata: {}, getPeer: () => from, getAuthContext: () => ({}) };
      const run = (): void =>
        service[method](call as never, (error: unknown, response: unknown) => {
          if (error === null) resolve(response as Response);
          else reject(asError(error));
        });
      parts.gate.admit(call, IssuanceServiceService[method].path, { address: from, leafDer: by }).then(run, reject);
    });
  return {
    attest: (steps) =>
      new Promise((resolve, reject) => {
        leaf = undefined;
        const stream = Object.assign(new EventEmitter(), {
          write: (message: AttestResponse) => {
            if (message.step?.$case === "result") resolve(message.step.value);
            if (message.step?.$case === "challenge") send(message.step.value.serverNonce);
            return true;
          },
          end: () => {},
        });
        const send = (challenge: Uint8Array | undefined): void => {
          steps(challenge).then((message) => message !== undefined && stream.emit("data", message), reject);
        };
        stream.on("error", (error: unknown) => reject(asError(error)));
        service.attest(stream as never);
        send(undefined);
      }),
    renew: async (by, csrDer) => certificateOf((await unary<RenewResponse>("renew", by, { csrDer })).certificate),
    issue: async (by, item) =>
      certificateOf((await unary<IssueResponse>("issue", by, { item: { ...item, ttlSeconds: 0 } })).certificate),
    batch: (by, items) => unary("batchIssue", by, { items: items.map((item) => ({ ...item, ttlSeconds: 0 })) }),
  };
}

function certificateOf(certificate: Certificate | undefined): Certificate {
  if (certificate === undefined) throw new Error("an answer without a certificate");
  return certificate;
}

function asError(error: unknown): Error {
  if (error instanceof Error) return error;
  const details =
    typeof error === "object" && error !== null && "details" in error ? String(error.details) : String(error);
  return new Error(details, { cause: error });
}
