import { expect, test } from "vitest";
import { entryFromWire } from "../../../agent/from-wire.ts";
import { Bundle } from "../../../proto/gen/signet/v1/bundle.ts";
import {
  AgentReport,
  DenyList,
  EntryUpdate,
  IdentityReport,
  IdentityState,
  Certificate as WireCertificate,
} from "../../../proto/gen/signet/v1/issuance.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import { identityToWire } from "../../../src/protocols/admin/nodes.ts";
import { caErrorOf, errorDetail, grpcStatus } from "../../../src/protocols/grpc-call.ts";
import { grpcTable } from "../../../src/protocols/grpc-table.ts";
import { certificateToWire } from "../../../src/protocols/issuance/certificate-to-wire.ts";
import { entryUpdate } from "../../../src/protocols/issuance/entries-to-wire.ts";
import { reportFromWire } from "../../../src/protocols/issuance/sync.ts";
import { bundleToWire, denyListToWire } from "../../../src/protocols/trust-to-wire.ts";
import { CaError, caErrorCodes } from "../../../src/registry/ca-error.ts";
import { bundleFromWire, denyListFromWire, issuedFromWire } from "../../../src/sdk/from-wire.ts";
import { decodeFailure } from "../../../src/sdk/rpc.ts";
import type { NodeReportRecord } from "../../../src/store/collections/node-reports.ts";
import { jsonCodec } from "../../../src/store/json-codec.ts";
import { StoreError } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { buildServer } from "../../fakes/build-server.ts";
import { agentOne, entryOf, now, svcA } from "../issuing/facts.ts";

const wired = <T>(message: T, type: { encode(value: T): { finish(): Uint8Array }; decode(bytes: Uint8Array): T }): T =>
  type.decode(type.encode(message).finish());

test("bundleToWire() and the agent's bundleFromWire() are each other's inverse", async () => {
  const { bundle } = (await buildServer()).state.view();
  const back = bundleFromWire(wired(bundleToWire({ ...bundle, sequence: 2n ** 63n }), Bundle), bundle.trustDomain);
  expect(back).toMatchObject({ trustDomain: "prod.example", sequence: 2n ** 63n, refreshHintSeconds: 300 });
  expect(back.roots.map(({ raw }) => raw)).toEqual(bundle.roots.map(({ raw }) => raw));
});

test("denyListToWire() and the agent's denyListFromWire() are each other's inverse", async () => {
  const { crls } = (await buildServer()).state.view();
  const denied = [
    { authorityKeyId: "ab".repeat(20), serialHex: "4d".repeat(16) },
    { authorityKeyId: "cd".repeat(20), serialHex: "*" },
  ];
  const list = { sequence: 7n, denied, crlsDer: crls.map(({ value }) => value.der) };
  const { denyList, crlsDer } = denyListFromWire(wired(denyListToWire(list), DenyList));
  expect(denyList).toEqual({ sequence: 7n, denied });
  expect(crlsDer.map((der) => new Uint8Array(der))).toEqual(list.crlsDer);
});

test("entryUpdate() tells live entries apart from deletions, and its revision is the highest of both", () => {
  const live = { ...entryOf({ selectors: ["unix:uid:7"], hint: "h" }), revision: 5 };
  const gone = { ...entryOf({ entryId: "e-2", spiffeId: "spiffe://prod.example/svc/b", deletedAt: 1 }), revision: 9 };
  const update = wired(entryUpdate([live, gone]), EntryUpdate);
  expect(update).toMatchObject({ full: true, revision: 9n });
  expect(update.deleted).toEqual([{ entryId: "e-2", spiffeId: "spiffe://prod.example/svc/b", revision: 9n }]);
  const [entry] = update.entries;
  if (entry === undefined || update.entries.length !== 1) throw new Error("one entry was due");
  expect(entryFromWire(entry, agentOne)).toMatchObject({
    entryId: "e-1",
    spiffeId: svcA,
    dnsNames: live.value.dnsNames,
    ipAddresses: live.value.ipAddresses,
    ttlSeconds: 3600,
    revision: 5n,
  });
  expect(entryUpdate([])).toEqual({ full: true, entries: [], deleted: [], revision: 0n });
});

test("certificateToWire() and the agent's issuedFromWire() keep every field", async () => {
  const server = await buildServer();
  await server.join();
  await server.entry();
  const { record, chainDer } = await server.issue("one", "/svc/a");
  const message = wired(certificateToWire(record, chainDer, now), WireCertificate);
  expect(message.chainDer.map((der) => new Uint8Array(der))).toEqual(chainDer);
  const [leaf] = chainDer;
  expect(message).toMatchObject({
    serialHex: parseCertificate(leaf ?? new Uint8Array()).serialHex,
    spiffeId: record.spiffeId,
    notBefore: new Date(record.notBefore),
    notAfter: new Date(record.notAfter),
    ttlSeconds: 3600,
    authority: "int-1",
    limitedBy: "",
    entryId: "e-1",
    entryRevision: BigInt(record.entryRevision ?? 0),
    serverTime: now,
  });
  expect(issuedFromWire(message)).toMatchObject({ ttlSeconds: 3600, authority: "int-1" });
  expect(certificateToWire({ ...record, limitedBy: "authority" }, chainDer, now).limitedBy).toBe("authority");
});

const peer = { id: agentOne, address: "192.0.2.9:1" };

test("reportFromWire() and identityToWire() are each other's inverse for every state that has a name", () => {
  for (const state of Object.values(IdentityState).filter(
    (each): each is IdentityState => typeof each === "number" && each > 0,
  )) {
    const identity = {
      spiffeId: svcA,
      serialHex: "ab",
      notAfter: now,
      renewAt: now,
      state,
      lastError: "e",
      entryRevision: 4n,
    };
    const [kept] = reportFromWire(
      peer,
      wired(AgentReport.fromPartial({ identities: [identity] }), AgentReport),
      now,
    ).identities;
    if (kept === undefined) throw new Error("the identity is missing");
    expect(wired(identityToWire(kept), IdentityReport)).toEqual(identity);
  }
});

test("reportFromWire() keeps whatever an agent sends in a form that the store takes", () => {
  const codec = jsonCodec<NodeReportRecord>();
  const far = new Date(Number.NaN);
  const strange = AgentReport.fromPartial({
    bundleSequence: 2n ** 64n - 1n,
    deniedSequence: 0n,
    entryRevision: 2n ** 64n - 1n,
    agentTime: far,
    version: "\u0000\u202e".repeat(500),
    identities: Array.from({ length: 6000 }, () => ({
      spiffeId: "x".repeat(3000),
      notAfter: far,
      renewAt: far,
      state: 99 as IdentityState,
    })),
  });
  const report = reportFromWire(peer, strange, now);
  expect(codec.decode(codec.encode(report), 1)).toEqual(report);
  expect(report.identities).toHaveLength(5000);
  expect(report.identities[0]).toMatchObject({ notAfter: 0, renewAt: 0, state: "memory" });
  expect(report.clockOffsetMs).toBe(-now.getTime());
  const huge = AgentReport.decode(
    Uint8Array.from([0x2a, 10, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
  );
  expect(() => codec.encode(reportFromWire(peer, huge, now))).not.toThrow();
});

test.each(caErrorCodes)("grpcStatus() of %s is what the command line's decodeFailure() reads back", (code) => {
  const error = new CaError(code, "no, for a reason", {
    rule: "no_entry",
    value: "v",
    limit: "l",
    cure: "signet entry list",
    retry: "later",
    retryAfterSeconds: 7,
  });
  const status = grpcStatus(grpcTable, error);
  expect(status.code).toBe(grpcTable[code]);
  const failure = decodeFailure(Object.assign(new Error(status.details), status));
  expect(failure).toMatchObject({
    code,
    rule: "no_entry",
    detail: "no, for a reason",
    value: "v",
    limit: "l",
    cure: "signet entry list",
    retry: "later",
    retryAfterSeconds: 7,
  });
  expect(errorDetail(new CaError(code, "d"))).toMatchObject({ code, detail: "d", rule: "", cure: "" });
});

test("caErrorOf() keeps the nouns' errors, names the store's, and hides all others behind an id", () => {
  const logged: object[] = [];
  const deps = { log: { ...silentLogger, error: (fields: object) => void logged.push(fields) }, errorId: () => "id-1" };
  const own = new CaError("denied", "no");
  expect(caErrorOf(deps, own)).toBe(own);
  expect(caErrorOf(deps, new StoreError("in_doubt", "disk"))).toMatchObject({
    code: "in_doubt",
    facts: { retry: "later" },
  });
  expect(caErrorOf(deps, new StoreError("overloaded", "disk"))).toMatchObject({ code: "unavailable" });
  expect(caErrorOf(deps, new StoreError("closed", "disk"))).toMatchObject({ code: "unavailable" });
  expect(logged).toEqual([]);
  for (const thrown of [
    new TypeError("secret"),
    "secret",
    undefined,
    new StoreError("damaged", "secret"),
    new CaError("internal", "secret"),
  ]) {
    const error = caErrorOf(deps, thrown);
    expect(error.code).toBe("internal");
    expect(error.message).toBe("internal error id-1: the server's log says more");
  }
  expect(logged).toHaveLength(5);
});
