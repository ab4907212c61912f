// A real gRPC admin service on a unix socket, with canned answers at a fixed time: what the command line is tested with.
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import { Status } from "../../proto/gen/google/rpc/status.ts";
import {
  AdminServiceService,
  type Authority,
  type CertificateRecord,
  type EntryState,
  type GetStatusResponse,
  type Node,
  RevocationReason,
  type RotateAuthorityResponse,
  type Token,
} from "../../proto/gen/signet/v1/admin.ts";
import { ErrorDetail } from "../../proto/gen/signet/v1/error.ts";

/** The time at which everything in here happens. */
export const fakeNow: Date = new Date("2026-11-25T14:02:09Z");

type Service = typeof AdminServiceService;
export type AdminMethod = keyof Service;
type RequestOf<M extends AdminMethod> = Service[M] extends { requestSerialize: (value: infer R) => Buffer } ? R : never;
type ResponseOf<M extends AdminMethod> = Service[M] extends { responseDeserialize: (value: Buffer) => infer R }
  ? R
  : never;
type AnswerOf<M extends AdminMethod> = Service[M] extends { responseStream: true }
  ? (request: RequestOf<M>) => AsyncIterable<ResponseOf<M>>
  : (request: RequestOf<M>) => ResponseOf<M> | Promise<ResponseOf<M>>;

/** What each method answers. An answer may throw `refusal(...)`. */
export type AdminAnswers = { readonly [M in AdminMethod]: AnswerOf<M> };

export interface FakeAdmin {
  readonly socketPath: string;
  /** Every request so far, in order. */
  readonly requests: readonly { readonly method: AdminMethod; readonly request: unknown }[];
  close(): void;
}

/** Serves at `socketPath` until closed. `answers` replace the canned ones. */
export async function startFakeAdmin(socketPath: string, answers: Partial<AdminAnswers> = {}): Promise<FakeAdmin> {
  const requests: { method: AdminMethod; request: unknown }[] = [];
  const all: AdminAnswers = { ...cannedAnswers(), ...answers };
  const server = new Server();
  const handlers: Record<string, handleUnaryCall<unknown, unknown> | handleServerStreamingCall<unknown, unknown>> = {};
  for (const method of Object.keys(AdminServiceService) as AdminMethod[]) {
    const answer = all[method] as (request: unknown) => unknown;
    const stream: handleServerStreamingCall<unknown, unknown> = (call) => {
      requests.push({ method, request: call.request });
      void writeAll(call, answer(call.request) as AsyncIterable<unknown>);
    };
    const unary: handleUnaryCall<unknown, unknown> = (call, callback) => {
      requests.push({ method, request: call.request });
      void (async () => answer(call.request))().then(
        (response) => callback(null, response),
        (error: unknown) => callback(asServiceError(error)),
      );
    };
    handlers[method] = AdminServiceService[method].responseStream ? stream : unary;
  }
  server.addService(AdminServiceService, handlers);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return { socketPath, requests, close: () => server.forceShutdown() };
}

async function writeAll(call: ServerWritableStream<unknown, unknown>, messages: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const message of messages) {
      if (call.cancelled) return;
      call.write(message);
    }
    call.end();
  } catch (error) {
    call.emit("error", asServiceError(error));
  }
}

class Refused extends Error {
  override readonly name = "Refused";
  readonly grpcCode: number;
  readonly detail: ErrorDetail;
  constructor(grpcCode: number, detail: ErrorDetail) {
    super(detail.detail);
    this.grpcCode = grpcCode;
    this.detail = detail;
  }
}

const grpcCodes: Readonly<Record<string, number>> = {
  denied: status.PERMISSION_DENIED,
  token_used: status.PERMISSION_DENIED,
  bad_request: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  exists: status.ALREADY_EXISTS,
  conflict: status.ABORTED,
  unavailable: status.UNAVAILABLE,
  in_doubt: status.UNAVAILABLE,
};

/** What an answer throws to refuse, as the real server puts it on the wire. */
export function refusal(code: string, detail: string, facts: Partial<ErrorDetail> = {}): Error {
  return new Refused(grpcCodes[code] ?? status.INTERNAL, ErrorDetail.fromPartial({ code, detail, ...facts }));
}

function asServiceError(error: unknown): { code: number; details: string; metadata: Metadata } {
  if (!(error instanceof Refused)) throw error;
  const metadata = new Metadata();
  const value = Buffer.from(ErrorDetail.encode(error.detail).finish());
  const details = [{ typeUrl: "type.googleapis.com/signet.v1.ErrorDetail", value }];
  metadata.set(
    "grpc-status-details-bin",
    Buffer.from(Status.encode({ code: error.grpcCode, message: error.message, details }).finish()),
  );
  return { code: error.grpcCode, details: error.message, metadata };
}

/** A moment before (negative) or after the time of the fake. */
export function at(seconds: number): Date {
  return new Date(fakeNow.getTime() + seconds * 1000);
}

const minute = 60;
const hour = 3600;
const day = 86_400;

/** A root of prod.example with an EC key; its private key was thrown away. */
export const fakeRootDer: Uint8Array = Uint8Array.from(
  Buffer.from(
    "MIIBsjCCAVigAwIBAgIQSgECAwQFBgcICQoLDA0ODzAKBggqhkjOPQQDAjAoMRUwEwYDVQQKDAxwcm9kLmV4YW1wbGUxDzAN" +
      "BgNVBAMMBnJvb3QtMTAeFw0yNjExMjUwMTQxNDZaFw0zNjExMjEwMTQxNDZaMCgxFTATBgNVBAoMDHByb2QuZXhhbXBsZTEP" +
      "MA0GA1UEAwwGcm9vdC0xMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESXfypdf18NXuDiiQRLfGoJUsAhvLqP5fsbzUYZLU" +
      "RNv5kjuhm8KKpRk2bl3z/P91lv62ItBX7mOPRrmUkEl99aNkMGIwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYw" +
      "HQYDVR0OBBYEFJVMtL/JZ8sqeXCc7n1r+eqFVWgVMCAGA1UdEQQZMBeGFXNwaWZmZTovL3Byb2QuZXhhbXBsZTAKBggqhkjO" +
      "PQQDAgNIADBFAiEA9i6E1kuhlx1fZTAJ3K26SWFhs1DUN5M546VVkGmbwM0CIA7Ca7Y4KRSEPMLVu7y8BPQOefj5tVWUPpR2" +
      "CAGyCPzg",
    "base64",
  ),
);

/** A join string's shape; its secret is none. */
const fakeJoinString = "sgj1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw";

export function fakeAuthority(fields: Partial<Authority> = {}): Authority {
  return {
    name: "int-2",
    kind: "intermediate",
    state: 2,
    parent: "root-1",
    keyType: "ec-p256",
    keyId: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    notBefore: at(-20 * day),
    notAfter: new Date("2027-01-05T09:00:00Z"),
    serves: ["services"],
    liveLeaves: 354n,
    lastLeafEnds: at(58 * minute),
    nextStep: "successor",
    nextStepAt: new Date("2026-12-21T09:00:00Z"),
    blockedBy: "",
    certificateDer: Buffer.from(fakeRootDer),
    keyOnServer: true,
    crlNextUpdate: at(6 * day),
    preparedAt: at(-20 * day),
    activatedAt: at(-19 * day),
    retiredAt: undefined,
    ...fields,
  };
}

const fakeAuthorities: readonly Authority[] = [
  fakeAuthority({
    name: "root-1",
    kind: "root",
    parent: "",
    keyId: "954cb4bfc967cb2a79709cee7d6bf9ea85556815",
    notAfter: new Date("2036-11-21T01:41:46Z"),
    serves: [],
    liveLeaves: 0n,
    lastLeafEnds: undefined,
    nextStep: "",
    nextStepAt: undefined,
    crlNextUpdate: new Date("2027-11-24T00:00:00Z"),
  }),
  fakeAuthority({
    name: "int-1",
    state: 3,
    notAfter: new Date("2026-12-14T09:00:00Z"),
    liveLeaves: 14n,
    lastLeafEnds: at(41 * minute),
    nextStep: "dropped",
    nextStepAt: at(41 * minute),
  }),
  fakeAuthority(),
];

export function fakeStatus(fields: Partial<GetStatusResponse> = {}): GetStatusResponse {
  return {
    trustDomain: "prod.example",
    version: "0.1.0",
    tokensReused: 0n,
    devicesLive: 0,
    startedAt: at(-12 * day - 4 * hour),
    serverTime: fakeNow,
    storeKind: "level",
    certificatesStored: 48_211n,
    storeBytes: 64_000_000n,
    authorities: [...fakeAuthorities],
    agentsLive: 43,
    agentsLate: 1,
    agentsBanned: 0,
    agentsGone: 0,
    bundleSequence: 7n,
    deniedSequence: 3n,
    agentsWithBundle: 42,
    identitiesLive: 324,
    identitiesLate: 1,
    runwayFirst: at(22 * minute),
    runwayHalf: at(47 * minute),
    issuedLastHour: 651n,
    deniedLastHour: 2n,
    deniedRules: ["not_parent"],
    issueP99Seconds: 0.0061,
    problems: [
      { what: "/agent/db-3 cannot write /run/signet/db: no space left on device", cure: "signet node show db-3" },
    ],
    rootKeyOnServer: true,
    rootCrlNextUpdate: new Date("2027-11-24T00:00:00Z"),
    apiAddress: "127.0.0.1:7443",
    ...fields,
  };
}

function fakeToken(fields: Partial<Token> = {}): Token {
  return {
    tokenId: "5d1c07aa9a1e",
    spiffeId: "spiffe://prod.example/agent/one",
    createdAt: fakeNow,
    expiresAt: at(10 * minute),
    state: 1,
    usedAt: undefined,
    usedFrom: "",
    reused: 0,
    createdBy: "local",
    ...fields,
  };
}

const fakeTokens: readonly Token[] = [
  fakeToken(),
  fakeToken({
    tokenId: "0b2e4f607182",
    spiffeId: "spiffe://prod.example/agent/db-3",
    expiresAt: at(-20 * minute),
    state: 2,
    usedAt: at(-25 * minute),
    usedFrom: "192.0.2.7:51544",
    reused: 2,
  }),
  fakeToken({
    tokenId: "77aa01fe5c3d",
    spiffeId: "spiffe://prod.example/agent/two",
    expiresAt: at(-2 * day),
    state: 3,
  }),
];

export function fakeEntry(
  fields: Partial<EntryState> = {},
  entry: Partial<NonNullable<EntryState["entry"]>> = {},
): EntryState {
  return {
    entry: {
      entryId: "e-1",
      spiffeId: "spiffe://prod.example/svc/a",
      agentId: "spiffe://prod.example/agent/one",
      selectors: [],
      dnsNames: ["a.prod.example"],
      ipAddresses: [],
      ttlSeconds: hour,
      hint: "",
      revision: 3n,
      ...entry,
    },
    createdAt: at(-2 * hour),
    updatedAt: at(-2 * hour),
    createdBy: "local",
    agentJoined: true,
    agentConnected: true,
    reported: {
      spiffeId: "spiffe://prod.example/svc/a",
      serialHex: "4f0c1e2d3b4a59687786a5b4c3d2e1f0",
      notAfter: at(44 * minute),
      renewAt: at(14 * minute),
      state: 1,
      lastError: "",
      entryRevision: 3n,
    },
    ...fields,
  };
}

const notJoined: Partial<EntryState> = { agentJoined: false, agentConnected: false, reported: undefined };

const fakeEntries: readonly EntryState[] = [
  fakeEntry(),
  fakeEntry(notJoined, {
    entryId: "e-2",
    spiffeId: "spiffe://prod.example/svc/b",
    agentId: "spiffe://prod.example/agent/two",
    dnsNames: [],
    ttlSeconds: 30 * minute,
  }),
];

export function fakeNode(fields: Partial<Node> = {}): Node {
  return {
    spiffeId: "spiffe://prod.example/agent/one",
    state: 1,
    attestation: "join_string",
    joinedAt: at(-12 * day),
    lastSeenAt: at(-2),
    serialHex: "5a00112233445566778899aabbccddee",
    notAfter: at(17 * hour),
    version: "0.1.0",
    address: "192.0.2.7:51544",
    bundleSequence: 7n,
    deniedSequence: 3n,
    entryRevision: 3n,
    clockOffsetSeconds: 0.12,
    heldBackBy: "",
    identities: [
      {
        spiffeId: "spiffe://prod.example/svc/a",
        serialHex: "4f0c1e2d3b4a59687786a5b4c3d2e1f0",
        notAfter: at(44 * minute),
        renewAt: at(14 * minute),
        state: 1,
        lastError: "",
        entryRevision: 3n,
      },
    ],
    connected: true,
    ...fields,
  };
}

const fakeNodes: readonly Node[] = [
  fakeNode(),
  fakeNode({
    spiffeId: "spiffe://prod.example/agent/db-3",
    state: 2,
    lastSeenAt: at(-14 * minute),
    bundleSequence: 6n,
    clockOffsetSeconds: -0.3,
    heldBackBy: "/run/signet/db: no space left on device",
    connected: false,
    identities: [
      {
        spiffeId: "spiffe://prod.example/svc/db",
        serialHex: "4b0c1e2d3b4a59687786a5b4c3d2e1f0",
        notAfter: at(22 * minute),
        renewAt: at(-8 * minute),
        state: 3,
        lastError: "/run/signet/db: no space left on device",
        entryRevision: 5n,
      },
    ],
  }),
];

export function fakeCertificate(fields: Partial<CertificateRecord> = {}): CertificateRecord {
  return {
    serialHex: "4f0c1e2d3b4a59687786a5b4c3d2e1f0",
    spiffeId: "spiffe://prod.example/svc/a",
    profile: "workload",
    authority: "int-2",
    notBefore: at(-17 * minute),
    notAfter: at(44 * minute),
    issuedAt: at(-16 * minute),
    ttlSeconds: hour,
    dnsNames: ["a.prod.example"],
    ipAddresses: [],
    caller: "spiffe://prod.example/agent/one",
    protocol: "issuance",
    entryId: "e-1",
    entryRevision: 3n,
    limitedBy: "",
    revocationReason: RevocationReason.REVOCATION_REASON_UNSPECIFIED,
    certificateDer: Buffer.from(fakeRootDer),
    authorityKeyId: "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c",
    ...fields,
  };
}

const fakeCertificates: readonly CertificateRecord[] = [
  fakeCertificate(),
  fakeCertificate({
    serialHex: "5a00112233445566778899aabbccddee",
    spiffeId: "spiffe://prod.example/agent/one",
    profile: "agent",
    authority: "int-1",
    notAfter: at(17 * hour),
    issuedAt: at(-7 * hour),
    dnsNames: [],
    entryId: "",
    entryRevision: 0n,
    ttlSeconds: day,
  }),
];

async function* rotation(watch: boolean): AsyncIterable<RotateAuthorityResponse> {
  const step = (fields: Partial<RotateAuthorityResponse>): RotateAuthorityResponse => ({
    step: 1,
    authority: fakeAuthority({ name: "int-3", state: 1, liveLeaves: 0n }),
    previous: fakeAuthority({ state: 3 }),
    waitingFor: [],
    leavesMoved: 0n,
    leavesTotal: 368n,
    lastLeafEnds: at(58 * minute),
    ...fields,
  });
  yield step({ step: 1 });
  yield step({ step: 2, waitingFor: ["spiffe://prod.example/agent/db-3"] });
  yield step({ step: 3 });
  if (!watch) return;
  yield step({ step: 4, leavesMoved: 147n, movedBy: at(24 * minute) });
  yield step({ step: 5, leavesMoved: 368n, lastLeafEnds: fakeNow });
}

function cannedAnswers(): AdminAnswers {
  const notFound = (what: string, name: string): Error =>
    refusal("not_found", `no ${what} ${name}`, { cure: `signet ${what} list` });
  const notYet = (): never => {
    throw refusal("not_supported", "this server does not do that yet");
  };
  const entryOf = (name: string): EntryState => {
    const found = fakeEntries.find(({ entry }) => entry?.entryId === name || entry?.spiffeId.endsWith(name) === true);
    if (found === undefined) throw notFound("entry", name);
    return found;
  };
  return {
    getStatus: () => fakeStatus(),
    createToken: ({ agent, ttlSeconds, addresses }) => ({
      token: fakeToken({
        spiffeId: agent.startsWith("spiffe:") ? agent : `spiffe://prod.example/agent/${agent}`,
        expiresAt: at(ttlSeconds),
      }),
      joinString: fakeJoinString,
      addresses: addresses.length === 0 ? ["127.0.0.1:7443"] : addresses,
    }),
    listTokens: () => ({ tokens: [...fakeTokens], nextPageToken: "" }),
    revokeToken: ({ tokenId }) => ({ token: fakeToken({ tokenId, state: 4 }) }),
    createEntry: ({ id, dnsNames, selectors, ttlSeconds }) => ({
      entry: fakeEntry(notJoined, {
        spiffeId: id.startsWith("/") ? `spiffe://prod.example${id}` : id,
        dnsNames,
        selectors,
        ttlSeconds: ttlSeconds === 0 ? hour : ttlSeconds,
      }),
    }),
    // Two pages, so that clients show that they read on.
    listEntries: ({ agent, pageToken }) => {
      const all = fakeEntries.filter(({ entry }) => agent === "" || entry?.agentId.endsWith(`/${agent}`) === true);
      return pageToken === "" && all.length > 1
        ? { entries: all.slice(0, 1), nextPageToken: "2" }
        : { entries: pageToken === "" ? all : all.slice(1), nextPageToken: "" };
    },
    getEntry: ({ entry }) => ({ entry: entryOf(entry) }),
    updateEntry: ({ entry, addDnsNames, ttlSeconds }) => {
      const held = entryOf(entry);
      const dnsNames = [...(held.entry?.dnsNames ?? []), ...addDnsNames];
      return {
        entry: fakeEntry(
          {},
          { ...held.entry, dnsNames, ttlSeconds: ttlSeconds ?? held.entry?.ttlSeconds ?? hour, revision: 9n },
        ),
      };
    },
    deleteEntry: ({ entry }) => ({ entry: entryOf(entry), revoked: [], deniedSequence: 0n }),
    async *watchEntry({ entry }) {
      yield { entry: { ...entryOf(entry), reported: undefined }, onDisk: false };
      yield { entry: entryOf(entry), onDisk: true };
    },
    listNodes: ({ bundleBelow }) => ({
      nodes: fakeNodes.filter((node) => bundleBelow === 0n || node.bundleSequence < bundleBelow),
      nextPageToken: "",
    }),
    getNode: ({ node }) => {
      const found = fakeNodes.find(({ spiffeId }) => spiffeId === node || spiffeId.endsWith(`/agent/${node}`));
      if (found === undefined) throw notFound("node", node);
      return { node: found };
    },
    listCertificates: ({ spiffeId }) => ({
      certificates: fakeCertificates.filter((each) => spiffeId === "" || each.spiffeId.endsWith(spiffeId)),
      nextPageToken: "",
    }),
    getCertificate: ({ serialHex }) => {
      const found = fakeCertificates.find((each) => each.serialHex === serialHex);
      if (found === undefined) throw refusal("not_found", `no certificate ${serialHex}`, { cure: "signet cert list" });
      return { certificate: found };
    },
    explain: ({ csrDer }) => ({
      allowed: csrDer.length === 0,
      steps: [
        { rule: "name_space", passed: true, detail: "/svc/a is a name for workloads", cure: "" },
        { rule: "no_entry", passed: true, detail: "e-1 gives it to /agent/one", cure: "" },
        csrDer.length === 0
          ? { rule: "authority_ends", passed: true, detail: "int-2 lives long enough for 1 h", cure: "" }
          : {
              rule: "dns_not_in_entry",
              passed: false,
              detail: "the CSR asks for admin.prod.example, e-1 allows a.prod.example",
              cure: "signet entry update e-1 --add-dns admin.prod.example",
            },
      ],
      spiffeId: "spiffe://prod.example/svc/a",
      dnsNames: ["a.prod.example"],
      ipAddresses: [],
      ttlSeconds: hour,
      authority: "int-2",
      entryId: "e-1",
    }),
    listAuthorities: () => ({ authorities: [...fakeAuthorities] }),
    getAuthority: ({ name }) => {
      const found = fakeAuthorities.find((each) => each.name === name);
      if (found === undefined) throw notFound("authority", name);
      return { authority: found };
    },
    rotateAuthority: ({ watch }) => rotation(watch),
    banNode: notYet,
    evictNode: notYet,
    revokeCertificates: notYet,
    createAdmin: notYet,
    listAdmins: notYet,
    deleteAdmin: notYet,
    createDeviceClass: notYet,
    listDeviceClasses: notYet,
    addDevices: notYet,
    listDevices: notYet,
    getDevice: notYet,
    acceptClock: () => ({
      serverTime: fakeNow,
      already: false,
      wasUnsureBecause: "the server's clock went 6 h forward at 2026-11-25T08:02:09Z; 41 of 43 agents still say 08:02",
    }),
    watchDenyList: notYet,
    getTrustBundle: () => ({
      bundle: {
        trustDomain: "prod.example",
        sequence: 7n,
        refreshHintSeconds: 300,
        rootsDer: [Buffer.from(fakeRootDer)],
      },
    }),
  };
}
