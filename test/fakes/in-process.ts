// Calls the issuance protocol without a wire: the handlers that wire.ts adds, with a session that the test makes up.
import { createHash, randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { type Server, type ServiceDefinition, status, type UntypedServiceImplementation } from "@grpc/grpc-js";
import { Status } from "../../proto/gen/google/rpc/status.ts";
import type { AdminServiceServer } from "../../proto/gen/signet/v1/admin.ts";
import { ErrorDetail } from "../../proto/gen/signet/v1/error.ts";
import {
  type AttestRequest,
  type AttestResponse,
  type AttestResult,
  type BatchIssueResponse,
  type Certificate,
  type IssuanceServiceServer,
  IssuanceServiceService,
  type IssueItem,
  type RenewResponse,
} from "../../proto/gen/signet/v1/issuance.ts";
import type { Session } from "../../src/protocols/authenticate.ts";
import { grpcStatus } from "../../src/protocols/grpc-call.ts";
import { grpcTable } from "../../src/protocols/grpc-table.ts";
import { CaError } from "../../src/registry/ca-error.ts";
import type { Connections } from "../../src/server/listeners/connections.ts";
import type { ServerParts } from "../../src/server/wire.ts";
import { parseSpiffeId, trustDomainOf } from "../../src/spiffe/id.ts";
import { recoverTranscript } from "../../src/spiffe/recover-proof.ts";
import { type X509PopFields, x509popTranscript } from "../../src/spiffe/x509pop-proof.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import type { TestKey } from "../unit/x509/signers.ts";
import type { FactoryDevice } from "./build-factory.ts";

/** What a call was refused with, as the wire would carry it. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly grpcCode: status;
  readonly detail: ErrorDetail;
  constructor(grpcCode: status, detail: ErrorDetail) {
    super(`${detail.code} ${detail.rule}: ${detail.detail}`);
    this.grpcCode = grpcCode;
    this.detail = detail;
  }
  get code(): string {
    return this.detail.code;
  }
  get rule(): string {
    return this.detail.rule;
  }
}

interface WireStatus {
  readonly code: status;
  readonly metadata?: { get(name: string): readonly unknown[] };
}

/** The ErrorDetail of a status; it must be there. */
export function refusalOf(error: WireStatus): Refusal {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!(packed instanceof Uint8Array))
    throw new Error(`status ${status[error.code]} without a detail`, { cause: error });
  const [any] = Status.decode(packed).details;
  if (any?.typeUrl !== "type.googleapis.com/signet.v1.ErrorDetail") throw new Error("the detail is of another type");
  return new Refusal(error.code, ErrorDetail.decode(any.value));
}

class FakeCall extends EventEmitter {
  readonly request: unknown;
  readonly session: Session;
  readonly metadata = {};
  readonly written: unknown[] = [];
  destroyed = false;
  ended = false;
  constructor(session: Session, request?: unknown) {
    super();
    this.session = session;
    this.request = request;
  }
  write(message: unknown): boolean {
    this.written.push(message);
    this.emit("written");
    return true;
  }
  end(): void {
    this.ended = true;
    this.emit("written");
  }
}

export interface InProcess {
  attest(first: AttestRequest, answer?: (response: AttestResponse) => Promise<AttestRequest>): Promise<AttestResult>;
  join(secret: Uint8Array, id: string, key: TestKey): Promise<AttestResult>;
  recover(
    last: { readonly id: string; readonly serialHex: string; readonly key: TestKey },
    newKey: TestKey,
    change?: (fields: Parameters<typeof recoverTranscript>[0]) => Parameters<typeof recoverTranscript>[0],
  ): Promise<AttestResult>;
  /** By a factory certificate; `change` spoils what is signed, `proof` what is sent. */
  x509pop(
    factory: Pick<FactoryDevice, "chainDer" | "sign">,
    key: TestKey,
    options?: {
      readonly change?: (fields: X509PopFields) => X509PopFields;
      readonly csrDer?: Uint8Array;
      readonly nonce?: Uint8Array;
      readonly beforeProof?: () => Promise<void>;
    },
  ): Promise<AttestResult>;
  issue(leafDer: Uint8Array | undefined, item: IssueItem): Promise<Certificate>;
  batch(leafDer: Uint8Array, items: readonly IssueItem[]): Promise<BatchIssueResponse>;
  renew(leafDer: Uint8Array, key: TestKey): Promise<Certificate>;
  renewal(leafDer: Uint8Array, key: TestKey): Promise<RenewResponse>;
}

/** The calls of nodes and agents. Each rejects with a Refusal, or with what is not one. */
export function inProcess(parts: Pick<ServerParts, "apiServices" | "gate" | "state">): InProcess {
  const handler = handlerOf(parts);
  const unary = async <Response>(
    method: "issue" | "batchIssue" | "renew",
    leafDer: Uint8Array | undefined,
    request: unknown,
  ): Promise<Response> => {
    const call = new FakeCall({ address: "192.0.2.1:4000", leafDer }, request);
    try {
      await parts.gate.admit(call, IssuanceServiceService[method].path, call.session);
    } catch (error) {
      throw error instanceof CaError ? refusalOf(grpcStatus(grpcTable, error)) : error;
    }
    return new Promise((resolve, reject) => {
      const run = handler[method] as unknown as (
        call: unknown,
        done: (error: WireStatus | null, response?: Response) => void,
      ) => void;
      run(call, (error, response) => {
        if (error === null) resolve(response as Response);
        else reject(refusalOf(error));
      });
    });
  };
  const attest: InProcess["attest"] = (first, answer) => {
    const call = new FakeCall({ address: "192.0.2.1:4000", leafDer: undefined });
    return new Promise((resolve, reject) => {
      let seen = 0;
      call.on("error", (error: WireStatus) => {
        try {
          reject(refusalOf(error));
        } catch (cause) {
          reject(cause);
        }
      });
      call.on("written", () => {
        const message = call.written[seen++] as AttestResponse | undefined;
        if (message?.step?.$case === "result") resolve(message.step.value);
        else if (message?.step?.$case === "challenge") {
          if (answer === undefined) reject(new Error("a challenge came"));
          else answer(message).then((next) => call.emit("data", next), reject);
        }
      });
      (handler.attest as unknown as (call: unknown) => void)(call);
      call.emit("data", first);
    });
  };
  return {
    attest,
    join: async (secret, spiffeId, key) =>
      attest({ step: { $case: "join", value: { spiffeId, secret, csrDer: await buildCsr(key) } } }),
    x509pop: async (factory, key, { change = (fields: X509PopFields) => fields, csrDer, nonce, beforeProof } = {}) => {
      const clientNonce = nonce ?? new Uint8Array(randomBytes(32));
      const csr = csrDer ?? (await buildCsr(key));
      const chainDer = factory.chainDer.map((der) => Buffer.from(der));
      return attest(
        { step: { $case: "x509popStart", value: { chainDer, clientNonce: Buffer.from(clientNonce) } } },
        async ({ step }) => {
          if (step?.$case !== "challenge") throw new Error("no challenge");
          await beforeProof?.();
          const transcript = x509popTranscript(
            change({
              trustDomain: parts.state.view().trustDomain,
              serverNonce: step.value.serverNonce,
              clientNonce,
              csrSha256: new Uint8Array(createHash("sha256").update(csr).digest()),
            }),
          );
          const value = { csrDer: Buffer.from(csr), signature: Buffer.from(factory.sign(transcript)) };
          return { step: { $case: "x509popProof", value } };
        },
      );
    },
    recover: (last, newKey, change = (fields) => fields) => {
      const clientNonce = new Uint8Array(randomBytes(32));
      const start: AttestRequest = {
        step: { $case: "recoverStart", value: { spiffeId: last.id, serialHex: last.serialHex, clientNonce } },
      };
      return attest(start, async ({ step }) => {
        if (step?.$case !== "challenge") throw new Error("no challenge");
        const csrDer = await buildCsr(newKey);
        const fields = change({
          trustDomain: trustDomainOf(parseSpiffeId(last.id)),
          id: parseSpiffeId(last.id),
          serialHex: last.serialHex,
          clientNonce,
          serverNonce: new Uint8Array(step.value.serverNonce),
          csrSha256: new Uint8Array(createHash("sha256").update(csrDer).digest()),
        });
        const signature = await last.key.sign(recoverTranscript(fields));
        return { step: { $case: "recoverProof", value: { csrDer, signature } } };
      });
    },
    issue: async (leafDer, item) => certificateOf(await unary("issue", leafDer, { item })),
    batch: (leafDer, items) => unary("batchIssue", leafDer, { items }),
    renewal: async (leafDer, key) => unary("renew", leafDer, { csrDer: await buildCsr(key) }),
    renew: async (leafDer, key) => certificateOf(await unary("renew", leafDer, { csrDer: await buildCsr(key) })),
  };
}

function certificateOf(response: { readonly certificate?: Certificate }): Certificate {
  if (response.certificate === undefined) throw new Error("an answer without a certificate");
  return response.certificate;
}

function handlerOf(parts: Pick<ServerParts, "apiServices">): IssuanceServiceServer {
  let found: UntypedServiceImplementation | undefined;
  const server = {
    addService: (definition: ServiceDefinition, implementation: UntypedServiceImplementation): void => {
      if (definition === (IssuanceServiceService as ServiceDefinition)) found = implementation;
    },
  };
  const connections = { session: (call: { readonly session: Session }) => call.session };
  parts.apiServices(server as unknown as Server, connections as unknown as Connections);
  if (found === undefined) throw new Error("the issuance service was not added");
  return found as unknown as IssuanceServiceServer;
}

/** Calls the admin service without a wire. Rejects with a Refusal. */
export function adminInProcess(
  parts: Pick<ServerParts, "adminServices">,
): <Response>(method: keyof AdminServiceServer, request: object) => Promise<Response> {
  let handler: AdminServiceServer | undefined;
  parts.adminServices({
    addService: (_: ServiceDefinition, implementation: UntypedServiceImplementation) => {
      if ("createDeviceClass" in implementation) handler = implementation as unknown as AdminServiceServer;
    },
  } as unknown as Server);
  if (handler === undefined) throw new Error("no admin service was added");
  const service = handler;
  return (method, request) =>
    new Promise((resolve, reject) => {
      const run = service[method] as unknown as (
        call: unknown,
        done: (error: WireStatus | null, response?: never) => void,
      ) => void;
      run({ request, metadata: {} }, (error, response) => {
        if (error === null) resolve(response as never);
        else reject(refusalOf(error));
      });
    });
}
