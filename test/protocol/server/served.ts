// The wired server behind its real listeners, and clients of it, over loopback.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ClientOptions, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { HealthClient } from "../../../proto/gen/grpc/health/v1/health.ts";
import { AdminServiceClient } from "../../../proto/gen/signet/v1/admin.ts";
import { BundleServiceClient } from "../../../proto/gen/signet/v1/bundle.ts";
import {
  type AttestRequest,
  type AttestResponse,
  IssuanceServiceClient,
} from "../../../proto/gen/signet/v1/issuance.ts";
import type { UnaryMethod } from "../../../src/sdk/rpc.ts";
import { type AdminListener, listenAdmin } from "../../../src/server/listeners/admin-socket.ts";
import { type ApiListener, type ApiOptions, listenApi } from "../../../src/server/listeners/api.ts";
import { makeOwnCertificate, type OwnCertificate } from "../../../src/server/own-certificate.ts";
import { onTrustChange } from "../../../src/server/upkeep.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { buildServer, type ServerOptions, type TestServer } from "../../fakes/build-server.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { type Refusal, refusalOf } from "../../fakes/in-process.ts";
import type { TestKey } from "../../unit/x509/signers.ts";

/** A client certificate: chain without the root, and its key. */
export interface Presented {
  readonly chainDer: readonly Uint8Array[];
  readonly key: TestKey;
}

export interface Served extends TestServer {
  readonly api: ApiListener;
  readonly admin: AdminServiceClient;
  renewOwn(): Promise<OwnCertificate>;
  /** Clients on a connection of their own. */
  issuance(presented?: Presented, options?: ClientOptions): IssuanceServiceClient;
  bundle(presented?: Presented): BundleServiceClient;
  health(presented?: Presented): HealthClient;
  /** An agent that joined, as it presents itself. */
  agentNamed(name: string): Promise<Presented>;
  close(): Promise<void>;
}

/** The limits of the default configuration. */
const limits: ApiOptions["limits"] = {
  connections: 4096,
  anonymousConnections: 256,
  anonymousLifeMs: 30_000,
  handshakeMs: 10_000,
};

export async function serve(
  given: Partial<ServerOptions> & { readonly limits?: Partial<ApiOptions["limits"]> } = {},
): Promise<Served> {
  const stopping = new AbortController();
  // OpenSSL looks at the clock of this machine.
  const server = await buildServer({ clock: fakeClock(new Date()), stopping: stopping.signal, ...given });
  const renewOwn = (): Promise<OwnCertificate> =>
    makeOwnCertificate({ ...server.ownIssuing, state: server.state, jitter: () => 0 });
  const api = await listenApi({
    address: { host: "127.0.0.1", port: 0 },
    tls: (await renewOwn()).tls,
    limits: { ...limits, ...given.limits },
    services: server.apiServices,
    gate: server.gate,
    onTrustChange: onTrustChange(server.announcements),
  });
  server.setAddresses([api.address]);
  const dir = await mkdtemp(join(tmpdir(), "signet-served-"));
  const socket: AdminListener = await listenAdmin(join(dir, "admin.sock"), server.adminServices);
  const admin = new AdminServiceClient(`unix:${socket.path}`, credentials.createInsecure());
  const clients: { close(): void }[] = [admin];
  const kept = <C extends { close(): void }>(client: C): C => {
    clients.push(client);
    return client;
  };
  const rootPem = Buffer.from(
    server.state
      .view()
      .bundle.roots.map((root) => encodePem("CERTIFICATE", root.raw))
      .join(""),
  );
  const tls = (presented: Presented | undefined): ReturnType<typeof credentials.createSsl> =>
    presented === undefined
      ? credentials.createSsl(rootPem)
      : credentials.createSsl(
          rootPem,
          Buffer.from(presented.key.privateKey.export({ format: "pem", type: "pkcs8" })),
          Buffer.from(presented.chainDer.map((der) => encodePem("CERTIFICATE", der)).join("")),
        );
  const own: ClientOptions = {
    "grpc.ssl_target_name_override": "localhost",
    "grpc.use_local_subchannel_pool": 1,
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
  };
  return {
    ...server,
    api,
    admin,
    renewOwn,
    issuance: (presented, options = {}) =>
      kept(new IssuanceServiceClient(api.address, tls(presented), { ...own, ...options })),
    bundle: (presented) => kept(new BundleServiceClient(api.address, tls(presented), own)),
    health: (presented) => kept(new HealthClient(api.address, tls(presented), own)),
    agentNamed: async (name) => {
      const { key, recorded } = await server.join(name);
      return { key, chainDer: recorded.chainDer };
    },
    close: async () => {
      stopping.abort();
      await Promise.all([api.drain(1000), socket.drain(1000)]);
      for (const client of clients) client.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** A unary call as a promise; rejects with the ServiceError. */
export function called<Request, Response>(method: UnaryMethod<Request, Response>, request: Request): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 10_000 };
    method(request, new Metadata(), options, (error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

/** What a call was refused with; throws when it was not, or when the error carries no detail. */
export async function refusal(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    return refusalOf(error as ServiceError);
  }
  throw new Error("the call was not refused");
}

/** One step of an attestation and its answer. */
export function attested(client: IssuanceServiceClient, request: AttestRequest): Promise<AttestResponse> {
  return new Promise((resolve, reject) => {
    const stream = client.attest();
    stream.on("data", (answer: AttestResponse) => {
      resolve(answer);
      stream.cancel();
    });
    stream.on("error", reject);
    stream.on("end", () => reject(new Error("the stream ended without an answer")));
    stream.write(request);
  });
}
