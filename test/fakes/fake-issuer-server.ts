// A server for tests of the agent: real gRPC over TLS 1.3, certificates of a small CA, everything in memory. It does what
// the agent can see of a server, and can be told to fail.
import { constants, createHash, randomBytes, verify } from "node:crypto";
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { Status } from "../../proto/gen/google/rpc/status.ts";
import { type Bundle, BundleServiceService, type GetBundleResponse } from "../../proto/gen/signet/v1/bundle.ts";
import { ErrorDetail, Retry } from "../../proto/gen/signet/v1/error.ts";
import {
  type AgentReport,
  type AttestJoin,
  type AttestRequest,
  type AttestResponse,
  type AttestResult,
  type BatchIssueRequest,
  type BatchIssueResponse,
  type BatchIssueResult,
  type DenyList,
  type Entry,
  IssuanceServiceService,
  type RenewRequest,
  type RenewResponse,
  type SyncRequest,
  type SyncResponse,
  type Certificate as WireCertificate,
} from "../../proto/gen/signet/v1/issuance.ts";
import { parseSpiffeId, parseTrustDomain } from "../../src/spiffe/id.ts";
import { encodeJoinString } from "../../src/spiffe/join-string.ts";
import { recoverTranscript } from "../../src/spiffe/recover-proof.ts";
import { crlTbs } from "../../src/x509/crl.ts";
import { parseCsr } from "../../src/x509/csr.ts";
import { encodePem } from "../../src/x509/pem.ts";
import { after, buildCa, signedDer, type TestCa } from "./build-ca.ts";

class OptionalMtls extends ServerCredentials {
  constructor(context: SecureContextOptions) {
    const floor = { minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;
    super({ requestCert: true, rejectUnauthorized: false, ...floor }, { ...context, ...floor });
  }
  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}

/** A failure with its detail, as the server sends it. */
export class Refused extends Error {
  readonly detail: ErrorDetail;
  constructor(code: string, rule = "", retryAfterSeconds = 0) {
    super(`${code} ${rule}`);
    const sentence = rule === "" ? code.replaceAll("_", " ") : `no, by ${rule}`;
    this.detail = {
      code,
      rule,
      detail: sentence,
      value: "",
      limit: "",
      cure: "",
      retry: Retry.RETRY_NEVER,
      retryAfterSeconds,
    };
  }
}

interface Issued {
  readonly spiffeId: string;
  readonly serialHex: string;
  readonly spkiDer: Uint8Array;
}

export interface FakeIssuerOptions {
  readonly ca?: TestCa;
  /** Lives of agents' certificates and the wall clock of the server. */
  readonly agentSeconds?: number;
  readonly now?: () => Date;
  readonly port?: number;
  /** What a new one knows of an old one: what it issued and which secrets it gave out. */
  readonly memory?: FakeIssuer;
  /** ID in the server's own certificate. */
  readonly serverId?: string;
}

const trustDomain = "prod.example";

export class FakeIssuer {
  readonly ca: TestCa;
  readonly issued: Issued[];
  readonly reports: AgentReport[] = [];
  readonly calls: string[] = [];
  readonly batchSizes: number[] = [];
  /** Called before each call is answered; what it throws is the answer. */
  before: (call: string) => void = () => {};
  /** Changes each certificate before it is sent. */
  alter: (certificate: WireCertificate) => WireCertificate = (certificate) => certificate;
  bundleSequence = 1n;
  deniedSequence = 1n;
  denied: DenyList["denied"] = [];
  addresses: string[] = [];
  address = "";
  readonly #options: FakeIssuerOptions;
  readonly #secrets: Map<string, { readonly spiffeId: string; used: AttestResult | undefined; spki: string }>;
  readonly #entries: Map<string, Entry>;
  readonly #deleted: Map<string, { entryId: string; spiffeId: string; revision: bigint }>;
  readonly #streams = new Set<ServerDuplexStream<SyncRequest, SyncResponse>>();
  readonly #sockets = new Set<Socket>();
  readonly #waiters: { readonly ready: () => boolean; readonly resolve: () => void }[] = [];
  #revision: bigint;
  #grpc: Server | undefined;
  #net: NetServer | undefined;

  constructor(options: FakeIssuerOptions = {}) {
    this.#options = options;
    const { memory } = options;
    this.ca = options.ca ?? memory?.ca ?? buildCa({ at: new Date() });
    this.issued = memory?.issued ?? [];
    this.#secrets = memory?.secrets() ?? new Map();
    this.#entries = new Map(memory?.entries().map((entry) => [entry.spiffeId, entry]));
    this.#deleted = new Map();
    this.#revision = memory?.revision ?? 1n;
  }

  get revision(): bigint {
    return this.#revision;
  }
  entries(): readonly Entry[] {
    return [...this.#entries.values()];
  }
  secrets(): Map<string, { readonly spiffeId: string; used: AttestResult | undefined; spki: string }> {
    return this.#secrets;
  }

  /** Opens the port. */
  async start(): Promise<this> {
    const grpc = new Server();
    grpc.addService(BundleServiceService, {
      getBundle: (_call: unknown, callback: sendUnaryData<GetBundleResponse>) =>
        this.#answer("getBundle", callback, () => ({ bundle: this.bundle() })),
    });
    grpc.addService(IssuanceServiceService, {
      attest: (stream: ServerDuplexStream<AttestRequest, AttestResponse>) => this.#attest(stream),
      renew: (call: ServerUnaryCall<RenewRequest, RenewResponse>, callback: sendUnaryData<RenewResponse>) =>
        this.#answer("renew", callback, () => ({
          addresses: [],
          certificate: this.#issue(
            this.#caller(call).spiffeId,
            call.request.csrDer,
            this.#options.agentSeconds ?? 3600,
          ),
        })),
      issue: (_call: unknown, callback: sendUnaryData<unknown>) => callback({ code: status.UNIMPLEMENTED }),
      batchIssue: (
        call: ServerUnaryCall<BatchIssueRequest, BatchIssueResponse>,
        callback: sendUnaryData<BatchIssueResponse>,
      ) =>
        this.#answer("batchIssue", callback, () => {
          this.#caller(call);
          this.batchSizes.push(call.request.items.length);
          return { results: call.request.items.map((item) => this.#item(item.spiffeId, item.csrDer)) };
        }),
      sync: (stream: ServerDuplexStream<SyncRequest, SyncResponse>) => this.#sync(stream),
    });
    const server = this.ca.issue({
      uri: this.#options.serverId ?? `spiffe://${trustDomain}/signet/server`,
      dnsNames: ["localhost"],
      extendedKeyUsage: "server",
    });
    const pem = (der: Uint8Array): string => encodePem("CERTIFICATE", der);
    const injector = grpc.createConnectionInjector(
      new OptionalMtls({
        ca: pem(this.ca.root.raw),
        cert: server.chainDer.map(pem).join(""),
        key: server.key.privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
      }),
    );
    const net = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => {});
      injector.injectConnection(socket);
    });
    await new Promise<void>((resolve, reject) => {
      net.once("error", reject);
      net.listen(this.#options.port ?? 0, "127.0.0.1", resolve);
    });
    this.address = `127.0.0.1:${(net.address() as AddressInfo).port}`;
    this.#grpc = grpc;
    this.#net = net;
    return this;
  }

  get port(): number {
    return Number(this.address.split(":")[1]);
  }

  /** As kill -9: every connection is cut. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#grpc?.forceShutdown();
    await new Promise<void>((resolve) => (this.#net === undefined ? resolve() : this.#net.close(() => resolve())));
  }

  bundle(): Bundle {
    return {
      trustDomain,
      sequence: this.bundleSequence,
      refreshHintSeconds: 2,
      rootsDer: [Buffer.from(this.ca.root.raw)],
    };
  }

  denyList(): DenyList {
    const crl = (issuer: TestCa["root"], key: TestCa["rootKey"]): Buffer => {
      const thisUpdate = this.ca.at;
      const tbs = crlTbs({
        issuer,
        number: this.deniedSequence,
        thisUpdate,
        nextUpdate: after(thisUpdate, 86_400),
        revoked: [],
      });
      return Buffer.from(signedDer(key, tbs));
    };
    return {
      sequence: this.deniedSequence,
      denied: this.denied,
      crlsDer: [crl(this.ca.root, this.ca.rootKey), crl(this.ca.intermediate, this.ca.intermediateKey)],
    };
  }

  /** A join string for an agent. */
  joinString(
    name: string,
    options: { readonly addresses?: readonly string[]; readonly pins?: readonly Uint8Array[] } = {},
  ): string {
    const secret = new Uint8Array(randomBytes(32));
    const spiffeId = `spiffe://${trustDomain}/agent/${name}`;
    this.#secrets.set(Buffer.from(secret).toString("hex"), { spiffeId, used: undefined, spki: "" });
    return encodeJoinString({
      kind: "agent",
      trustDomain: parseTrustDomain(trustDomain),
      subject: parseSpiffeId(spiffeId),
      addresses: options.addresses ?? [this.address],
      secret,
      rootPins: options.pins ?? [new Uint8Array(createHash("sha256").update(this.ca.root.raw).digest())],
      expiresAt: after(this.#now(), 600),
    });
  }

  /** Makes or changes an entry and pushes it. */
  putEntry(path: string, agent: string, fields: Partial<Entry> = {}): Entry {
    const spiffeId = `spiffe://${trustDomain}${path}`;
    this.#revision += 1n;
    const entry: Entry = {
      entryId: this.#entries.get(spiffeId)?.entryId ?? `e-${this.#revision}`,
      spiffeId,
      agentId: `spiffe://${trustDomain}/agent/${agent}`,
      selectors: [],
      dnsNames: [],
      ipAddresses: [],
      ttlSeconds: 3600,
      hint: "",
      revision: this.#revision,
      ...fields,
    };
    this.#entries.set(spiffeId, entry);
    this.#deleted.delete(spiffeId);
    this.push({ entries: { full: false, entries: [entry], deleted: [], revision: this.#revision } });
    return entry;
  }

  /** Deletes an entry and pushes that. */
  deleteEntry(path: string): void {
    const spiffeId = `spiffe://${trustDomain}${path}`;
    const entry = this.#entries.get(spiffeId);
    if (entry === undefined) throw new Error(`no entry ${path}`);
    this.#revision += 1n;
    this.#entries.delete(spiffeId);
    const deleted = { entryId: entry.entryId, spiffeId, revision: this.#revision };
    this.#deleted.set(spiffeId, deleted);
    this.push({ entries: { full: false, entries: [], deleted: [deleted], revision: this.#revision } });
  }

  /** A message to every agent that is connected. */
  push(message: Partial<SyncResponse>): void {
    for (const stream of this.#streams) stream.write({ ...nothing, ...message });
  }

  /** Resolves once the condition holds; looked at after every call and report. */
  until(ready: () => boolean): Promise<void> {
    if (ready()) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push({ ready, resolve }));
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }

  #happened(): void {
    for (const waiter of this.#waiters.splice(0)) {
      if (waiter.ready()) waiter.resolve();
      else this.#waiters.push(waiter);
    }
  }

  #answer<T>(call: string, callback: sendUnaryData<T>, work: () => T): void {
    this.calls.push(call);
    try {
      this.before(call);
      callback(null, work());
    } catch (error) {
      callback(serviceError(error));
    }
    this.#happened();
  }

  /** The agent of a call by its verified certificate, which must be in force. */
  #caller(call: { getAuthContext(): { sslPeerCertificate?: { raw: Uint8Array; valid_to: string } } }): Issued {
    const peer = call.getAuthContext().sslPeerCertificate;
    const serial = peer === undefined ? "" : (peer as unknown as { serialNumber: string }).serialNumber.toLowerCase();
    const known = this.issued.find(({ serialHex, spiffeId }) => serialHex === serial && spiffeId.includes("/agent/"));
    if (peer === undefined || known === undefined) throw new Refused("unauthenticated");
    if (new Date(peer.valid_to) < this.#now()) throw new Refused("unauthenticated");
    return known;
  }

  #item(spiffeId: string, csrDer: Uint8Array): BatchIssueResult {
    try {
      const entry = this.#entries.get(spiffeId);
      if (entry === undefined) throw new Refused("denied", "no_entry");
      this.before(`issue ${spiffeId}`);
      return { result: { $case: "certificate", value: this.#issue(spiffeId, csrDer, entry.ttlSeconds, entry) } };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { result: { $case: "error", value: error.detail } };
    }
  }

  #issue(spiffeId: string, csrDer: Uint8Array, ttlSeconds: number, entry?: Entry): WireCertificate {
    const { spkiDer } = parseCsr(new Uint8Array(csrDer));
    const now = this.#now();
    const wholeNow = new Date(Math.floor(now.getTime() / 1000) * 1000);
    const notAfter = new Date(Math.ceil(after(now, ttlSeconds).getTime() / 1000) * 1000);
    const notBefore =
      after(wholeNow, -60) < this.ca.intermediate.notBefore ? this.ca.intermediate.notBefore : after(wholeNow, -60);
    const { leaf, chainDer } = this.ca.issue({
      uri: spiffeId,
      spkiDer,
      notBefore,
      notAfter,
      dnsNames: entry?.dnsNames ?? [],
      ipAddresses: entry?.ipAddresses ?? [],
      extendedKeyUsage: entry === undefined ? "client" : "both",
    });
    this.issued.push({ spiffeId, serialHex: leaf.serialHex, spkiDer });
    return this.alter({
      chainDer: chainDer.map((der) => Buffer.from(der)),
      serialHex: leaf.serialHex,
      spiffeId,
      notBefore,
      notAfter,
      ttlSeconds,
      authority: "int-1",
      limitedBy: "",
      entryId: entry?.entryId ?? "",
      entryRevision: entry?.revision ?? 0n,
      serverTime: now,
    });
  }

  #result(certificate: WireCertificate): AttestResult {
    return { certificate, bundle: this.bundle(), denyList: this.denyList(), addresses: this.addresses };
  }

  #join(join: AttestJoin): AttestResult {
    const known = this.#secrets.get(Buffer.from(join.secret).toString("hex"));
    if (known === undefined || known.spiffeId !== join.spiffeId) throw new Refused("token_unknown");
    const spki = Buffer.from(parseCsr(new Uint8Array(join.csrDer)).spkiDer).toString("hex");
    if (known.used !== undefined) {
      if (known.spki !== spki) throw new Refused("token_used");
      return known.used;
    }
    known.used = this.#result(this.#issue(join.spiffeId, join.csrDer, this.#options.agentSeconds ?? 3600));
    known.spki = spki;
    return known.used;
  }

  #attest(stream: ServerDuplexStream<AttestRequest, AttestResponse>): void {
    stream.on("error", () => {});
    const serverNonce = randomBytes(32);
    let start: Extract<NonNullable<AttestRequest["step"]>, { $case: "recoverStart" }>["value"] | undefined;
    stream.on("data", ({ step }: AttestRequest) => {
      this.calls.push(`attest ${step?.$case}`);
      try {
        this.before(`attest ${step?.$case}`);
        if (step?.$case === "join") {
          stream.write({ step: { $case: "result", value: this.#join(step.value) } });
          stream.end();
        } else if (step?.$case === "recoverStart") {
          start = step.value;
          stream.write({ step: { $case: "challenge", value: { serverNonce } } });
        } else if (step?.$case === "recoverProof" && start !== undefined) {
          const last = this.issued.findLast(({ spiffeId }) => spiffeId === start?.spiffeId);
          if (last === undefined) throw new Refused("denied", "node_unknown");
          if (last.serialHex !== start.serialHex) throw new Refused("denied", "certificate_replaced");
          const transcript = recoverTranscript({
            trustDomain: parseTrustDomain(trustDomain),
            id: parseSpiffeId(start.spiffeId),
            serialHex: start.serialHex,
            clientNonce: new Uint8Array(start.clientNonce),
            serverNonce: new Uint8Array(serverNonce),
            csrSha256: new Uint8Array(createHash("sha256").update(step.value.csrDer).digest()),
          });
          const key = { key: Buffer.from(last.spkiDer), format: "der", type: "spki" } as const;
          if (!verify("sha256", transcript, key, step.value.signature))
            throw new Refused("unauthenticated", "key_not_ours");
          const result = this.#result(
            this.#issue(start.spiffeId, step.value.csrDer, this.#options.agentSeconds ?? 3600),
          );
          stream.write({ step: { $case: "result", value: result } });
          stream.end();
        }
      } catch (error) {
        stream.emit("error", serviceError(error));
      }
      this.#happened();
    });
    stream.on("end", () => stream.end());
  }

  #sync(stream: ServerDuplexStream<SyncRequest, SyncResponse>): void {
    stream.on("error", () => {});
    this.calls.push("sync");
    let agent: Issued;
    try {
      this.before("sync");
      agent = this.#caller(stream);
    } catch (error) {
      stream.emit("error", serviceError(error));
      this.#happened();
      return;
    }
    this.#streams.add(stream);
    stream.on("data", ({ report }: SyncRequest) => {
      if (report !== undefined) this.reports.push(report);
      this.#happened();
    });
    const over = (): void => {
      this.#streams.delete(stream);
      this.#happened();
    };
    stream.on("end", () => stream.end());
    stream.on("close", over);
    stream.on("cancelled", over);
    const own = this.entries().filter((entry) => entry.agentId === agent.spiffeId);
    stream.write({
      ...nothing,
      entries: { full: true, entries: own, deleted: [...this.#deleted.values()], revision: this.#revision },
      bundle: this.bundle(),
      denyList: this.denyList(),
      addresses: { addresses: this.addresses },
    });
    this.#happened();
  }
}

const nothing: SyncResponse = {
  entries: undefined,
  bundle: undefined,
  denyList: undefined,
  addresses: undefined,
  renewNow: undefined,
};

function serviceError(error: unknown): { code: number; details: string; metadata: Metadata } {
  if (!(error instanceof Refused)) return { code: status.INTERNAL, details: String(error), metadata: new Metadata() };
  const code = error.detail.code === "unauthenticated" ? status.UNAUTHENTICATED : status.PERMISSION_DENIED;
  const metadata = new Metadata();
  const value = Buffer.from(ErrorDetail.encode(error.detail).finish());
  const details = [{ typeUrl: "type.googleapis.com/signet.v1.ErrorDetail", value }];
  metadata.set(
    "grpc-status-details-bin",
    Buffer.from(Status.encode({ code, message: error.detail.detail, details }).finish()),
  );
  return { code, details: error.detail.detail, metadata };
}
