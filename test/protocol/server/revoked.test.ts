// What a revoked agent, and one whose certificate ended, still gets: nothing, on connections and streams that it has.
import { once } from "node:events";
import { type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AgentReport } from "../../../proto/gen/signet/v1/issuance.ts";
import { getNodeView } from "../../../src/registry/nodes.ts";
import { type RevocationRecord, revocations } from "../../../src/store/collections/revocations.ts";
import { trust } from "../../../src/store/collections/trust.ts";
import { putIfAbsent, update } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { called, type Presented, refusal, type Served, serve } from "./served.ts";

let served: Served;
let one: Presented;

beforeEach(async () => {
  served = await serve();
  one = await served.agentNamed("one");
  await served.entry();
});
afterEach(() => served.close());

const csr = async (): Promise<Buffer> => Buffer.from(await buildCsr(testKey("ec-p256")));

/** Revokes the agent in the store; nobody is told. */
async function revoke(presented: Presented): Promise<void> {
  const leaf = parseCertificate(presented.chainDer[0] ?? new Uint8Array());
  const record: RevocationRecord = {
    authorityKeyId: leaf.authorityKeyId ?? "",
    serialHex: leaf.serialHex,
    spkiSha256: "ab".repeat(32),
    notAfter: leaf.notAfter.getTime(),
    revokedAt: served.clock.now().getTime(),
    reason: "keyCompromise",
  };
  const held = served.state.view().trust;
  const raised = { ...held.value, deniedSequence: held.value.deniedSequence + 1n };
  const { done } = await served.store.commit([putIfAbsent(revocations, record), update(trust, raised, held.revision)]);
  expect(done).toBe(true);
  await served.state.reload();
}

test("a revoked agent is refused at Renew and Issue, and its Sync ends at once, on the connection that it has", async () => {
  const client = served.issuance(one);
  const issue = async (): Promise<unknown> =>
    called(client.issue.bind(client), { item: { spiffeId: served.id("/svc/a"), csrDer: await csr(), ttlSeconds: 0 } });
  await issue();
  const stream = client.sync();
  const ended = once(stream, "error");
  const received: unknown[] = [];
  stream.on("data", (message) => received.push(message));
  await once(stream, "data");
  await revoke(one);
  served.announcements.trustChanged(); // The clock stands still: no full read comes to help.
  const [error] = (await ended) as [ServiceError];
  expect(error.code).toBe(status.UNAUTHENTICATED);
  expect(received).toHaveLength(1);
  expect(await refusal(issue())).toMatchObject({ code: "unauthenticated" });
  expect(await refusal(called(client.renew.bind(client), { csrDer: await csr() }))).toMatchObject({
    code: "unauthenticated",
  });
});

test("an agent whose certificate ended can report nothing: Sync judges a report before it keeps it", async () => {
  const stream = served.issuance(one).sync();
  await once(stream, "data");
  const ended = once(stream, "error");
  served.clock.pass(86_401); // Only calls see this: nothing that sleeps wakes by it.
  stream.write({ report: AgentReport.fromPartial({ version: "late" }) });
  const [error] = (await ended) as [ServiceError];
  expect(error.code).toBe(status.UNAUTHENTICATED);
  expect((await getNodeView(served.store, served.agent("one"))).report).toBeUndefined();
});

test("Sync ends in the moment after the agent's certificate ends, without a word to send", async () => {
  const stream = served.issuance(one).sync();
  const ended = once(stream, "error");
  const { notAfter } = parseCertificate(one.chainDer[0] ?? new Uint8Array());
  await once(stream, "data");
  // A minute before its end, so that the next full read is further away than that.
  served.clock.pass((notAfter.getTime() - 60_000 - served.clock.now().getTime()) / 1000);
  served.announcements.trustChanged();
  await once(stream, "data");
  await served.clock.sleepers(1);
  await served.clock.advance(60_001);
  const [error] = (await ended) as [ServiceError];
  expect(error.code).toBe(status.UNAUTHENTICATED);
});

test("a certificate that ended is UNAUTHENTICATED at each call of a connection that it opened, without any stream", async () => {
  const client = served.issuance(one);
  const { notAfter } = parseCertificate(one.chainDer[0] ?? new Uint8Array());
  const renew = async (): Promise<unknown> => called(client.renew.bind(client), { csrDer: await csr() });
  served.clock.pass((notAfter.getTime() - served.clock.now().getTime()) / 1000);
  await renew();
  served.clock.pass(0.001);
  expect(await refusal(renew())).toMatchObject({ code: "unauthenticated" });
});
