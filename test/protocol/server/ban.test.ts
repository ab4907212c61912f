// Bans and revocations over real TLS: what ends at once on the connections that the node has, what others are told, and
// what WatchDenyList waits for.
import { once } from "node:events";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type BanNodeRequest,
  NodeState,
  RevocationReason,
  type RevokeCertificatesRequest,
  type WatchDenyListResponse,
} from "../../../proto/gen/signet/v1/admin.ts";
import { AgentReport, type SyncRequest, type SyncResponse } from "../../../proto/gen/signet/v1/issuance.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { parseCrl } from "../../../src/x509/crl.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { refusalOf } from "../../fakes/in-process.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { attested, called, type Presented, refusal, type Served, serve } from "./served.ts";

let served: Served;
let one: Presented;
let two: Presented;

beforeEach(async () => {
  served = await serve();
  one = await served.agentNamed("one");
  two = await served.agentNamed("two");
  await served.entry();
});
afterEach(() => served.close());

const ban = (request: Partial<BanNodeRequest> = {}): BanNodeRequest => ({
  node: "one",
  reason: "stolen",
  dryRun: false,
  ...request,
});

const revoke = (request: Partial<RevokeCertificatesRequest>): RevokeCertificatesRequest => ({
  what: undefined,
  revocationReason: RevocationReason.REVOCATION_REASON_UNSPECIFIED,
  reason: "",
  dryRun: false,
  ...request,
});

const serialOf = (presented: Presented): string =>
  parseCertificate(presented.chainDer[0] ?? new Uint8Array()).serialHex;

type Sync = ClientDuplexStream<SyncRequest, SyncResponse>;

async function opened(presented: Presented): Promise<Sync> {
  const stream = served.issuance(presented).sync();
  await once(stream, "data");
  return stream;
}

/** Resolves when the server has no more connections than this. */
async function connectionsFell(to: number): Promise<void> {
  while (served.api.connections.open > to) await new Promise((resolve) => setTimeout(resolve, 5));
}

test("BanNode ends the node's Sync with node_banned, and its connection with it; a new one is told the same", async () => {
  const stream = await opened(one);
  const idle = served.issuance(one);
  await called(idle.renew.bind(idle), { csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))) });
  await opened(two);
  expect(served.api.connections.open).toBe(3);
  const ended = once(stream, "error");
  const banned = await called(served.admin.banNode.bind(served.admin), ban());
  expect(banned).toMatchObject({ already: false, node: { state: NodeState.NODE_STATE_BANNED } });
  expect(banned.revoked).toHaveLength(2);
  const [error] = (await ended) as [ServiceError];
  expect(refusalOf(error)).toMatchObject({ code: "denied", rule: "node_banned" });
  await connectionsFell(1); // Also the one on which nothing was going on; that of the other agent stays.
  const again = served.issuance(one).sync();
  const [refused] = (await once(again, "error")) as [ServiceError];
  expect(refusalOf(refused)).toMatchObject({ code: "denied", rule: "node_banned" });
  await connectionsFell(1);
  expect((await called(served.admin.banNode.bind(served.admin), ban())).already).toBe(true);
});

test("RevokeCertificates of an agent's own ends its Sync with certificate_revoked, and Issue on the same connection", async () => {
  const client = served.issuance(one);
  const stream = client.sync();
  await once(stream, "data");
  const ended = once(stream, "error");
  const { admin } = served;
  const done = await called(
    admin.revokeCertificates.bind(admin),
    revoke({
      what: { $case: "serialHex", value: serialOf(one).slice(0, 12) },
      revocationReason: RevocationReason.REVOCATION_REASON_SUPERSEDED,
    }),
  );
  expect(done.revoked).toMatchObject([
    { serialHex: serialOf(one), revocationReason: RevocationReason.REVOCATION_REASON_SUPERSEDED },
  ]);
  const [error] = (await ended) as [ServiceError];
  expect(refusalOf(error)).toMatchObject({ code: "unauthenticated", rule: "certificate_revoked" });
  const renew = async (): Promise<unknown> =>
    called(client.renew.bind(client), { csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))) });
  expect(await refusal(renew())).toMatchObject({ code: "unauthenticated", rule: "certificate_revoked" });
});

test("a revocation reaches the streams of the others: the deny list, and CRLs that say the same", async () => {
  const stream = await opened(two);
  const leaf = await served.issue("one", "/svc/a");
  const next = once(stream, "data");
  const { admin } = served;
  const done = await called(
    admin.revokeCertificates.bind(admin),
    revoke({ what: { $case: "spiffeId", value: "/svc/a" }, reason: "key on a shared disk" }),
  );
  const [update] = (await next) as [SyncResponse];
  expect(update.denyList?.sequence).toBe(done.deniedSequence);
  expect(update.denyList?.denied.map(({ serialHex }) => serialHex)).toEqual([leaf.record.serialHex]);
  const crls = update.denyList?.crlsDer.map((der) => parseCrl(new Uint8Array(der))) ?? [];
  expect(crls).toHaveLength(2);
  expect(crls.flatMap(({ revoked }) => revoked.map(({ serialHex }) => serialHex))).toEqual([leaf.record.serialHex]);
});

test("RevokeCertificates refuses what names nothing, no live certificate, or a reason that is none for a leaf", async () => {
  const { admin } = served;
  const ask = (request: Partial<RevokeCertificatesRequest>): Promise<unknown> =>
    called(admin.revokeCertificates.bind(admin), revoke(request));
  expect(await refusal(ask({}))).toMatchObject({ code: "bad_request" });
  expect(await refusal(ask({ what: { $case: "serialHex", value: "abcdef" } }))).toMatchObject({ code: "bad_request" });
  expect(await refusal(ask({ what: { $case: "serialHex", value: "abcdef0123" } }))).toMatchObject({
    code: "not_found",
  });
  const serial = { $case: "serialHex", value: serialOf(one) } as const;
  expect(await refusal(ask({ what: serial, revocationReason: 6 as RevocationReason }))).toMatchObject({
    code: "bad_request",
  });
  const dry = await called(admin.revokeCertificates.bind(admin), revoke({ what: serial, dryRun: true }));
  expect(dry.revoked).toHaveLength(1);
  const listed = await called(admin.getCertificate.bind(admin), { serialHex: serialOf(one) });
  expect(listed.certificate?.revokedAt).toBeUndefined();
});

async function watched(
  sequence: bigint,
): Promise<{ readonly answers: WatchDenyListResponse[]; readonly over: Promise<unknown> }> {
  const answers: WatchDenyListResponse[] = [];
  const stream = served.admin.watchDenyList({ sequence });
  stream.on("data", (answer: WatchDenyListResponse) => answers.push(answer));
  const over = once(stream, "end");
  await once(stream, "data");
  return { answers, over };
}

test("WatchDenyList ends once every live agent has it on disk; the banned one is not waited for", async () => {
  const stream = await opened(two);
  const { deniedSequence } = await called(served.admin.banNode.bind(served.admin), ban());
  const { answers, over } = await watched(deniedSequence);
  expect(answers.at(-1)).toMatchObject({ onDisk: 0, live: 1, done: false });
  expect(answers.at(-1)?.waitingFor.map(({ spiffeId }) => spiffeId)).toEqual([served.agent("two")]);
  stream.write({ report: AgentReport.fromPartial({ deniedSequence: deniedSequence - 1n, heldBackBy: "disk full" }) });
  stream.write({ report: AgentReport.fromPartial({ deniedSequence }) });
  await over;
  expect(answers.at(-1)).toMatchObject({ onDisk: 1, live: 1, waitingFor: [], done: true });
});

test("WatchDenyList of a sequence that there is not yet is refused", async () => {
  const stream = served.admin.watchDenyList({ sequence: 99n });
  stream.on("data", () => undefined);
  const [error] = (await once(stream, "error")) as [ServiceError];
  expect(refusalOf(error).code).toBe("bad_request");
});

test("GetStatus counts attempts with a used join string by another key, and names the string", async () => {
  const secret = await served.token("three");
  const join = async (): Promise<unknown> => {
    const csrDer = Buffer.from(await buildCsr(testKey("ec-p256")));
    return attested(served.issuance(), {
      step: { $case: "join", value: { spiffeId: served.agent("three"), secret: Buffer.from(secret), csrDer } },
    });
  };
  await join();
  expect((await called(served.admin.getStatus.bind(served.admin), {})).tokensReused).toBe(0n);
  expect(await refusal(join())).toMatchObject({ code: "token_used" });
  expect(await refusal(join())).toMatchObject({ code: "token_used" });
  const status = await called(served.admin.getStatus.bind(served.admin), {});
  expect(status.tokensReused).toBe(2n);
  expect(status.problems.map(({ what }) => what).join()).toContain("was tried 2 times by another key");
  // A week later it is still counted, and no problem any more.
  await served.clock.advance(8 * 86_400_000);
  const later = await called(served.admin.getStatus.bind(served.admin), {});
  expect(later.tokensReused).toBe(2n);
  expect(later.problems.map(({ what }) => what).join()).not.toContain("another key");
});
