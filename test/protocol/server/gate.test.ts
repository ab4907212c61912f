// One judgement a call, before its message is read, and once more for a request that was kept back.
import type { ClientWritableStream } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import {
  IssuanceServiceService,
  type IssueRequest,
  type IssueResponse,
} from "../../../proto/gen/signet/v1/issuance.ts";
import { certificateKey, certificates } from "../../../src/store/collections/certificates.ts";
import { type RevocationRecord, revocations } from "../../../src/store/collections/revocations.ts";
import { trust } from "../../../src/store/collections/trust.ts";
import { createMemoryStore } from "../../../src/store/memory.ts";
import { putIfAbsent, remove, type Store, update } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { fakeClock } from "../../fakes/fake-clock.ts";
import { type Refusal, refusalOf } from "../../fakes/in-process.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { called, type Presented, type Served, serve } from "./served.ts";

let served: Served;
afterEach(() => served.close());

/** A store that tells how often certificates were looked up: once a judgement. */
function counted(): { readonly store: Store; readonly looks: () => number } {
  const inner = createMemoryStore({ clock: fakeClock(new Date()) });
  let looks = 0;
  return {
    looks: () => looks,
    store: {
      kind: inner.kind,
      get: (collection, key) => {
        if (collection.name === certificates.name) looks++;
        return inner.get(collection, key);
      },
      commit: (ops) => inner.commit(ops),
      scan: (collection, index, range, options) => inner.scan(collection, index, range, options),
      stats: () => inner.stats(),
      health: () => inner.health(),
      close: () => inner.close(),
    },
  };
}

const item = async (): Promise<IssueRequest> => ({
  item: { spiffeId: served.id("/svc/a"), csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))), ttlSeconds: 0 },
});

/** Opens an Issue call that sends nothing yet. */
function begun(presented: Presented): {
  readonly call: ClientWritableStream<IssueRequest>;
  readonly answer: Promise<IssueResponse | Refusal>;
} {
  const { path, requestSerialize, responseDeserialize } = IssuanceServiceService.issue;
  const client = served.issuance(presented);
  let call: ClientWritableStream<IssueRequest> | undefined;
  const answer = new Promise<IssueResponse | Refusal>((resolve) => {
    call = client.makeClientStreamRequest(path, requestSerialize, responseDeserialize, (error, response) => {
      resolve(error === null && response !== undefined ? response : refusalOf(error as never));
    });
    call.on("error", () => undefined);
  });
  if (call === undefined) throw new Error("no call");
  return { call, answer };
}

test("a call is judged once, and one that is sent at once is not judged again", async () => {
  const { store, looks } = counted();
  served = await serve({ store });
  const one = await served.agentNamed("one");
  await served.entry();
  const client = served.issuance(one);
  await called(client.issue.bind(client), await item());
  const before = looks();
  for (let n = 0; n < 3; n++) await called(client.issue.bind(client), await item());
  expect(looks() - before).toBe(3);
});

test("a request that was kept back is judged when it is complete: revoked meanwhile is refused", async () => {
  const { store, looks } = counted();
  served = await serve({ store });
  await served.entry();
  const one = await served.agentNamed("one");
  const keptBack = async (meanwhile: () => Promise<void> | void): Promise<IssueResponse | Refusal> => {
    const before = looks();
    const { call, answer } = begun(one);
    await expect.poll(looks).toBe(before + 1);
    await meanwhile();
    call.write(await item());
    call.end();
    return answer;
  };
  expect(await keptBack(() => undefined)).toHaveProperty("certificate");
  const leaf = parseCertificate(one.chainDer[0] ?? new Uint8Array());
  const key = certificateKey(leaf.serialHex, "int-1");
  // Nothing was announced, and time has passed: it is looked up anew.
  const record = await served.store.get(certificates, key);
  if (record === undefined) throw new Error("no record");
  const later = keptBack(async () => {
    await served.store.commit([remove(certificates, key, record.revision)]);
    await served.clock.advance(1001);
  });
  expect(await later).toMatchObject({ code: "unauthenticated" });
  await served.store.commit([putIfAbsent(certificates, record.value)]);
  expect(await keptBack(() => undefined)).toHaveProperty("certificate");
  // Trust changed: what was found before does not count any more.
  const revoked = keptBack(async () => {
    const held = served.state.view().trust;
    const raised = { ...held.value, deniedSequence: held.value.deniedSequence + 1n };
    const denied: RevocationRecord = {
      authorityKeyId: leaf.authorityKeyId ?? "",
      serialHex: leaf.serialHex,
      spkiSha256: "ab".repeat(32),
      notAfter: leaf.notAfter.getTime(),
      revokedAt: served.clock.now().getTime(),
      reason: "keyCompromise",
    };
    await served.store.commit([putIfAbsent(revocations, denied), update(trust, raised, held.revision)]);
    await served.state.reload();
    served.announcements.trustChanged();
  });
  expect(await revoked).toMatchObject({ code: "unauthenticated" });
});

test("a request that is complete only after its certificate ended is refused", async () => {
  const { store, looks } = counted();
  served = await serve({ store });
  await served.entry();
  const one = await served.agentNamed("one");
  const { notAfter } = parseCertificate(one.chainDer[0] ?? new Uint8Array());
  const before = looks();
  const { call, answer } = begun(one);
  await expect.poll(looks).toBe(before + 1);
  await served.clock.advance(notAfter.getTime() + 1 - served.clock.now().getTime());
  call.write(await item());
  call.end();
  expect(await answer).toMatchObject({ code: "unauthenticated" });
});
