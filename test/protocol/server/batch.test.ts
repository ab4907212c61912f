import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BatchIssueResult, IssueItem } from "../../../proto/gen/signet/v1/issuance.ts";
import { certificateKey, certificates } from "../../../src/store/collections/certificates.ts";
import { buildCsr } from "../../../src/x509/csr.ts";
import { testKey } from "../../unit/x509/signers.ts";
import { called, type Presented, refusal, type Served, serve } from "./served.ts";

let served: Served;
let one: Presented;

beforeAll(async () => {
  served = await serve();
  one = await served.agentNamed("one");
  for (let i = 0; i < 5; i++) await served.entry({ path: `/svc/${i}` });
});
afterAll(() => served.close());

const item = async (path: string): Promise<IssueItem> => ({
  spiffeId: served.id(path),
  csrDer: Buffer.from(await buildCsr(testKey("ec-p256"))),
  ttlSeconds: 0,
});

async function batch(items: readonly IssueItem[]): Promise<readonly BatchIssueResult[]> {
  const client = served.issuance(one);
  return (await called(client.batchIssue.bind(client), { items: [...items] })).results;
}

test("BatchIssue answers each item by itself, in the order asked", async () => {
  const good = await item("/svc/0");
  const results = await batch([
    good,
    await item("/svc/nobody"),
    { ...good, csrDer: Buffer.from("hello") },
    { ...good, csrDer: Buffer.alloc(20_000) },
    { ...good, spiffeId: "not an id" },
    { ...good, ttlSeconds: 999_999 },
    await item("/svc/1"),
  ]);
  expect(
    results.map(({ result }) =>
      result?.$case === "error" ? `${result.value.code} ${result.value.rule}`.trim() : result?.$case,
    ),
  ).toEqual([
    "certificate",
    "denied no_entry",
    "bad_request",
    "too_large",
    "bad_request",
    "denied ttl_over_profile",
    "certificate",
  ]);
  for (const { result } of results) if (result?.$case === "error") expect(result.value.detail).not.toBe("");
});

test("BatchIssue of 100 items, the same entry a hundred times: 100 serials, each recorded with the same bytes", async () => {
  const items = await Promise.all(Array.from({ length: 100 }, () => item("/svc/2")));
  const results = await batch(items);
  const serials = new Set<string>();
  for (const { result } of results) {
    if (result?.$case !== "certificate") throw new Error("not issued");
    const { serialHex, authority, chainDer, entryRevision } = result.value;
    serials.add(serialHex);
    const held = await served.store.get(certificates, certificateKey(serialHex, authority));
    expect(held?.value.der).toEqual(new Uint8Array(chainDer[0] ?? []));
    expect(entryRevision).toBeGreaterThan(0n);
  }
  expect(serials.size).toBe(100);
});

test.each([0, 101])("BatchIssue of %i items is refused as a whole", async (length) => {
  const items = Array.from({ length }, () => ({ spiffeId: "", csrDer: Buffer.alloc(0), ttlSeconds: 0 }));
  const client = served.issuance(one);
  const before = (await served.store.stats()).counts["certificates"];
  const refused = await refusal(called(client.batchIssue.bind(client), { items }));
  expect(refused).toMatchObject({ grpcCode: status.INVALID_ARGUMENT, code: "bad_request" });
  expect(refused.detail.detail).toContain(`got ${length}`);
  expect((await served.store.stats()).counts["certificates"]).toBe(before);
});

test("a message of 2 MB is refused, and the connection goes on", async () => {
  const client = served.issuance(one);
  const big = { spiffeId: "", csrDer: Buffer.alloc(2 * 1024 * 1024), ttlSeconds: 0 };
  await expect(called(client.issue.bind(client), { item: big })).rejects.toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
  });
  await called(client.issue.bind(client), { item: await item("/svc/0") });
});

test("a client that goes away in the middle of a batch does not harm the server", async () => {
  const client = served.issuance(one);
  const items = await Promise.all(Array.from({ length: 100 }, () => item("/svc/3")));
  const gone = called(client.batchIssue.bind(client), { items });
  client.close();
  await gone.catch(() => undefined);
  expect(await batch([await item("/svc/3")])).toHaveLength(1);
});
