import { once } from "node:events";
import { stat } from "node:fs/promises";
import { type ClientReadableStream, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import {
  AuthorityState,
  type ExplainRequest,
  type ExplainResponse,
  NodeState,
  type RotateAuthorityResponse,
  RotateStep,
  TokenState,
  type WatchEntryResponse,
} from "../../../proto/gen/signet/v1/admin.ts";
import { IdentityState } from "../../../proto/gen/signet/v1/issuance.ts";
import { rotateWhatIsDue } from "../../../src/authority/rotation.ts";
import { memoryKeys } from "../../../src/keys/memory.ts";
import { recordReport } from "../../../src/registry/nodes.ts";
import { parseJoinString } from "../../../src/spiffe/join-string.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { called, refusal, type Served, serve } from "./served.ts";

const open: Served[] = [];
afterEach(async () => {
  for (const served of open.splice(0)) await served.close();
});

async function started(options: Parameters<typeof serve>[0] = {}): Promise<Served> {
  const served = await serve(options);
  open.push(served);
  return served;
}

const entryOf = (fields: object): never =>
  ({
    id: "/svc/a",
    agent: "one",
    selectors: [],
    dnsNames: [],
    ipAddresses: [],
    ttlSeconds: 0,
    hint: "",
    reason: "",
    ...fields,
  }) as never;
const updateOf = (fields: object): never =>
  ({ entry: "e-1", expectedRevision: 0n, addDnsNames: [], removeDnsNames: [], reason: "", ...fields }) as never;

test("the admin socket is its owner's alone", async () => {
  const { admin } = await started();
  const path = admin
    .getChannel()
    .getTarget()
    .replace(/^unix:/, "");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("CreateToken gives a string with the server's address and pins, ListTokens the newest first, RevokeToken ends it", async () => {
  const served = await started();
  const { admin } = served;
  const made = await called(admin.createToken.bind(admin), {
    agent: "one",
    ttlSeconds: 0,
    addresses: [],
    replace: false,
    fingerprint: "",
    reason: "",
  });
  const parsed = parseJoinString(made.joinString);
  expect(parsed).toMatchObject({ subject: served.agent("one"), addresses: [served.api.address] });
  expect(parsed.rootPins).toHaveLength(1);
  expect(made.token?.expiresAt?.getTime()).toBe(served.clock.now().getTime() + 600_000);
  await served.clock.advance(1000);
  await called(admin.createToken.bind(admin), {
    agent: "/agent/two",
    ttlSeconds: 60,
    addresses: ["ca.test:7443"],
    replace: false,
    fingerprint: "",
    reason: "",
  });
  const { tokens } = await called(admin.listTokens.bind(admin), { pageSize: 0, pageToken: "" });
  expect(tokens.map(({ spiffeId }) => spiffeId)).toEqual([served.agent("two"), served.agent("one")]);
  const tokenId = made.token?.tokenId ?? "";
  const revoked = await called(admin.revokeToken.bind(admin), { tokenId, reason: "lost" });
  expect(revoked.token?.state).toBe(TokenState.TOKEN_STATE_REVOKED);
  for (const [request, code] of [
    [{ agent: "", ttlSeconds: 0, addresses: [] }, "bad_request"],
    [{ agent: "a/b", ttlSeconds: 0, addresses: [] }, "bad_request"],
    [{ agent: "/svc/a", ttlSeconds: 0, addresses: [] }, "bad_request"],
    [{ agent: "one", ttlSeconds: 4_000_000_000, addresses: [] }, "bad_request"],
    [{ agent: "one", ttlSeconds: 0, addresses: ["0.0.0.0:7443"] }, "bad_request"],
    [{ agent: "one", ttlSeconds: 0, addresses: ["no port"] }, "bad_request"],
  ] as const) {
    const refused = await refusal(
      called(admin.createToken.bind(admin), {
        ...request,
        addresses: [...request.addresses],
        replace: false,
        fingerprint: "",
        reason: "",
      }),
    );
    expect(refused).toMatchObject({ code, grpcCode: status.INVALID_ARGUMENT });
  }
});

test("entries: create, get by number and path, list in pages, update at a revision, delete", async () => {
  const served = await started();
  const { admin } = served;
  const made = await called(admin.createEntry.bind(admin), entryOf({ dnsNames: ["a.test"] }));
  expect(made.entry?.entry).toMatchObject({
    entryId: "e-1",
    spiffeId: served.id("/svc/a"),
    agentId: served.agent("one"),
    ttlSeconds: 3600,
  });
  expect(made.entry).toMatchObject({ agentJoined: false, agentConnected: false, createdBy: "local" });
  expect(await refusal(called(admin.createEntry.bind(admin), entryOf({})))).toMatchObject({
    code: "exists",
    grpcCode: status.ALREADY_EXISTS,
  });
  expect(await refusal(called(admin.createEntry.bind(admin), entryOf({ id: "/agent/two" })))).toMatchObject({
    rule: "name_space",
  });
  expect(
    await refusal(called(admin.createEntry.bind(admin), entryOf({ id: "/svc/b", reason: "r".repeat(513) }))),
  ).toMatchObject({ code: "bad_request" });
  const revision = made.entry?.entry?.revision ?? 0n;
  const changed = await called(
    admin.updateEntry.bind(admin),
    updateOf({ expectedRevision: revision, addDnsNames: ["b.test"], removeDnsNames: ["a.test"] }),
  );
  expect(changed.entry?.entry?.dnsNames).toEqual(["b.test"]);
  const stale = called(admin.updateEntry.bind(admin), updateOf({ expectedRevision: revision, ttlSeconds: 60 }));
  expect(await refusal(stale)).toMatchObject({ code: "conflict", grpcCode: status.ABORTED });
  for (let i = 0; i < 11; i++) await served.entry({ path: `/svc/n${i}` });
  const seen: string[] = [];
  let pageToken = "";
  do {
    const page = await called(admin.listEntries.bind(admin), { agent: "", pageSize: 5, pageToken });
    expect(page.entries.length).toBeLessThanOrEqual(5);
    seen.push(...page.entries.map(({ entry }) => entry?.entryId ?? ""));
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  expect(seen).toEqual(Array.from({ length: 12 }, (_, i) => `e-${i + 1}`));
  await called(admin.deleteEntry.bind(admin), {
    entry: "e-1",
    expectedRevision: 0n,
    reason: "",
    revoke: false,
    dryRun: false,
  });
  expect(await refusal(called(admin.getEntry.bind(admin), { entry: "/svc/a" }))).toMatchObject({
    code: "not_found",
    grpcCode: status.NOT_FOUND,
  });
  expect((await called(admin.getEntry.bind(admin), { entry: "/svc/n0" })).entry?.entry?.entryId).toBe("e-2");
  const { entries } = await called(admin.listEntries.bind(admin), {
    agent: "one",
    pageSize: 2 ** 32 - 1,
    pageToken: "",
  });
  expect(entries).toHaveLength(11);
});

test.each(["garbage", "x".repeat(5000), "\u0000"])(
  "a page token of another server is a bad request (%j)",
  async (pageToken) => {
    const { admin } = await started();
    expect(await refusal(called(admin.listEntries.bind(admin), { agent: "", pageSize: 5, pageToken }))).toMatchObject({
      code: "bad_request",
    });
  },
);

test("WatchEntry tells when the identity is on disk, by the agent's report of this revision", async () => {
  const served = await started();
  const { admin } = served;
  await served.join();
  const made = await served.entry();
  const stream = admin.watchEntry({
    entry: "e-1",
    revision: BigInt(made.revision),
  }) as ClientReadableStream<WatchEntryResponse>;
  const answers: WatchEntryResponse[] = [];
  stream.on("data", (answer: WatchEntryResponse) => answers.push(answer));
  await once(stream, "data");
  const identity = {
    spiffeId: served.id("/svc/a"),
    serialHex: "aa",
    notAfter: 0,
    renewAt: 0,
    state: "on_disk",
    lastError: "",
  } as const;
  const report = {
    agentId: served.agent("one"),
    seenAt: served.clock.now().getTime(),
    version: "",
    address: "",
    bundleSequence: 1n,
    deniedSequence: 1n,
    entryRevision: made.revision,
    clockOffsetMs: 0,
    heldBackBy: "",
  };
  await recordReport(served.nouns, { ...report, identities: [{ ...identity, entryRevision: made.revision - 1 }] });
  await recordReport(served.nouns, { ...report, identities: [{ ...identity, entryRevision: made.revision }] });
  await once(stream, "end");
  expect(answers[0]).toMatchObject({ onDisk: false, entry: { agentJoined: true } });
  expect(answers.at(-1)).toMatchObject({
    onDisk: true,
    entry: { reported: { state: IdentityState.IDENTITY_STATE_ON_DISK } },
  });
});

test("nodes and certificates: listed, found, live only, by ID, by serial, and not found", async () => {
  const served = await started();
  const { admin } = served;
  await served.join();
  await served.entry({ ttlSeconds: 60 });
  const { record } = await served.issue("one", "/svc/a");
  const { nodes } = await called(admin.listNodes.bind(admin), {
    bundleBelow: 0n,
    notSeenSeconds: 0,
    pageSize: 0,
    pageToken: "",
  });
  expect(nodes).toMatchObject([{ spiffeId: served.agent("one"), state: NodeState.NODE_STATE_LIVE, connected: false }]);
  expect((await called(admin.getNode.bind(admin), { node: "one" })).node?.spiffeId).toBe(served.agent("one"));
  expect(await refusal(called(admin.getNode.bind(admin), { node: "nobody" }))).toMatchObject({ code: "not_found" });
  const list = async (more: object): Promise<readonly string[]> => {
    const request = { spiffeId: "", authority: "", live: false, pageSize: 0, pageToken: "", ...more };
    return (await called(admin.listCertificates.bind(admin), request)).certificates.map(({ serialHex }) => serialHex);
  };
  expect(await list({})).toHaveLength(3); // The server's own, too.
  expect(await list({ spiffeId: "/svc/a" })).toEqual([record.serialHex]);
  expect(await list({ authority: "int-1" })).toHaveLength(3);
  await served.clock.advance(61_000);
  expect(await list({ spiffeId: "/svc/a", live: true })).toEqual([]);
  expect(await list({ live: true })).toHaveLength(2);
  const withColons = record.serialHex.toUpperCase().match(/../g)?.join(":") ?? "";
  const { certificate } = await called(admin.getCertificate.bind(admin), { serialHex: withColons });
  expect(new Uint8Array(certificate?.certificateDer ?? [])).toEqual(record.der);
  expect(await refusal(called(admin.getCertificate.bind(admin), { serialHex: "00".repeat(16) }))).toMatchObject({
    code: "not_found",
  });
  expect(await refusal(called(admin.getCertificate.bind(admin), { serialHex: "../x" }))).toMatchObject({
    code: "bad_request",
  });
});

test("Explain says what would be granted, and which rule objects with its cure; it issues nothing", async () => {
  const served = await started();
  const { admin } = served;
  await served.join();
  await served.entry({ dnsNames: ["a.test"] });
  const explain = (request: Partial<ExplainRequest>): Promise<ExplainResponse> =>
    called(admin.explain.bind(admin), { id: "/svc/a", agent: "one", csrDer: Buffer.alloc(0), ...request });
  const before = (await served.store.stats()).counts["certificates"];
  expect(await explain({})).toMatchObject({
    allowed: true,
    dnsNames: ["a.test"],
    ttlSeconds: 3600,
    authority: "int-1",
    entryId: "e-1",
  });
  const csrDer = Buffer.from(await buildCsr(testKey("ec-p256"), { dnsNames: ["b.test"] }));
  const denied = await explain({ csrDer });
  expect(denied.allowed).toBe(false);
  expect(denied.steps.find(({ passed }) => !passed)).toMatchObject({
    rule: "dns_not_in_entry",
    cure: "signet entry update e-1 --add-dns b.test",
  });
  expect((await explain({ id: "/svc/nobody" })).steps.at(-1)).toMatchObject({ rule: "no_entry", passed: false });
  expect((await explain({ id: "/device/a/1" })).steps.at(-1)).toMatchObject({ rule: "name_space", passed: false });
  expect(await refusal(explain({ id: "no id" }))).toMatchObject({ code: "bad_request" });
  expect(await refusal(explain({ csrDer: Buffer.from("x") }))).toMatchObject({ code: "bad_request" });
  expect((await served.store.stats()).counts["certificates"]).toBe(before);
});

test("RotateAuthority prepares, says for whom it waits, and ends when the server activated", async () => {
  const served = await started();
  const { admin } = served;
  await served.join();
  const stream = admin.rotateAuthority({
    rootKeyPem: Buffer.alloc(0),
    watch: false,
    reason: "",
    keyType: "",
    serves: "",
  }) as ClientReadableStream<RotateAuthorityResponse>;
  const steps: RotateAuthorityResponse[] = [];
  const waits = new Promise<void>((resolve) => {
    stream.on("data", (answer: RotateAuthorityResponse) => {
      steps.push(answer);
      if (answer.step === RotateStep.ROTATE_STEP_WAITING) resolve();
    });
  });
  await waits;
  await served.clock.advance(301_000);
  await rotateWhatIsDue(served.rotation);
  await once(stream, "end");
  expect(steps.map(({ step }) => step)).toEqual([
    RotateStep.ROTATE_STEP_PREPARED,
    RotateStep.ROTATE_STEP_WAITING,
    RotateStep.ROTATE_STEP_ACTIVATED,
  ]);
  expect(steps[1]?.waitingFor).toEqual([served.agent("one")]);
  expect(steps[2]).toMatchObject({
    authority: { name: "int-2", state: AuthorityState.AUTHORITY_STATE_ACTIVE },
    previous: { name: "int-1" },
  });
  const { authorities } = await called(admin.listAuthorities.bind(admin), {});
  expect(authorities.map(({ name, state }) => [name, state])).toEqual([
    ["root-1", AuthorityState.AUTHORITY_STATE_ACTIVE],
    ["int-1", AuthorityState.AUTHORITY_STATE_OLD],
    ["int-2", AuthorityState.AUTHORITY_STATE_ACTIVE],
  ]);
  expect(await refusal(called(admin.getAuthority.bind(admin), { name: "int-9" }))).toMatchObject({ code: "not_found" });
});

test("RotateAuthority with the root key elsewhere: denied without it, bad request for what is no key or a wrong one, done with it", async () => {
  const rootKeys = memoryKeys();
  const served = await started({ rootKeys });
  const rotate = async (rootKeyPem: Buffer, keyType = ""): Promise<readonly RotateAuthorityResponse[]> => {
    const stream = served.admin.rotateAuthority({ rootKeyPem, watch: false, reason: "", keyType, serves: "" });
    const answers: RotateAuthorityResponse[] = [];
    stream.on("data", (answer: RotateAuthorityResponse) => {
      answers.push(answer);
      void rotateWhatIsDue(served.rotation);
    });
    await new Promise<void>((resolve, reject) => {
      stream.on("end", resolve);
      stream.on("error", (error: ServiceError) => reject(error));
    });
    return answers;
  };
  expect(await refusal(rotate(Buffer.alloc(0)))).toMatchObject({ code: "denied", rule: "root_key_elsewhere" });
  expect(await refusal(rotate(Buffer.from("hello")))).toMatchObject({ code: "bad_request" });
  const pem = (key: ReturnType<typeof rootKeys.key>): Buffer =>
    Buffer.from(key.export({ format: "pem", type: "pkcs8" }));
  for (const type of ["ec-p256", "rsa-2048", "ed25519"] as const) {
    expect(await refusal(rotate(pem(testKey(type).privateKey)))).toMatchObject({ code: "bad_request" });
  }
  expect(await refusal(rotate(pem(rootKeys.key("root-1")), "dsa"))).toMatchObject({ code: "bad_request" });
  expect((await rotate(pem(rootKeys.key("root-1")))).at(-1)?.step).toBe(RotateStep.ROTATE_STEP_ACTIVATED);
});

test("GetStatus counts agents and certificates, and names a join string that was tried twice", async () => {
  const served = await started();
  await served.join();
  await served.entry();
  await served.issue("one", "/svc/a");
  await served.entry({ agent: "absent", path: "/svc/b" });
  const found = await called(served.admin.getStatus.bind(served.admin), {});
  expect(found).toMatchObject({
    trustDomain: "prod.example",
    agentsLive: 1,
    bundleSequence: 1n,
    deniedSequence: 1n,
    rootKeyOnServer: true,
    apiAddress: served.api.address,
    issuedLastHour: 3n, // The server's own, the agent's, the identity.
  });
  expect(found.certificatesStored).toBe(3n);
  expect(found.problems.map(({ what }) => what)).toEqual([
    expect.stringContaining("/agent/absent has entries and has not joined"),
  ]);
});

test("an internal error says nothing but an id that the log explains", async () => {
  const logged: { readonly fields: object; readonly event: string }[] = [];
  const say = (fields: object, event: string): void => void logged.push({ fields, event });
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: say,
    level: "info" as const,
  };
  const served = await started({ log });
  Object.defineProperty(served.store, "stats", { value: () => Promise.reject(new TypeError("secret detail")) });
  const refused = await refusal(called(served.admin.getStatus.bind(served.admin), {}));
  expect(refused).toMatchObject({ grpcCode: status.INTERNAL, code: "internal" });
  expect(refused.detail.detail).not.toContain("secret");
  const [, errorId = ""] = /internal error ([0-9a-f]{12}):/.exec(refused.detail.detail) ?? [];
  expect(logged).toMatchObject([{ event: "internal error", fields: { errorId, err: { message: "secret detail" } } }]);
});
