import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeOwnFile } from "../../../agent/data-files.ts";
import { type NewCertificate, OwnIdentity } from "../../../agent/enrol/own-identity.ts";
import { WireError } from "../../../src/sdk/from-wire.ts";
import type { IssuedCertificate } from "../../../src/sdk/judge-issued.ts";
import { type NodeKey, newNodeKey } from "../../../src/sdk/node-key.ts";
import { after, buildCa, type LeafOptions } from "../../fakes/build-ca.ts";
import { idOf } from "./slots.ts";

const ca = buildCa();
const id = idOf("/agent/one");
let directory = "";
let own: OwnIdentity;
let key: NodeKey;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-own-"));
  own = await OwnIdentity.open({ directory, write: writeOwnFile });
  key = await own.nextKey();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

interface Change {
  readonly leaf?: LeafOptions;
  readonly answer?: Partial<IssuedCertificate>;
  readonly certificate?: Partial<NewCertificate>;
  readonly from?: typeof ca;
}

function certificateOf({ leaf: options = {}, answer = {}, certificate = {}, from = ca }: Change = {}): NewCertificate {
  const { leaf, chainDer } = from.issue({ uri: id, spkiDer: key.spkiDer, extendedKeyUsage: "client", ...options });
  const issued: IssuedCertificate = {
    chainDer,
    serialHex: leaf.serialHex,
    spiffeId: id,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    ttlSeconds: 3600,
    authority: "int-1",
    limitedByAuthority: false,
    entryId: "",
    entryRevision: 0n,
    serverTime: ca.at,
    ...answer,
  };
  const trust = { bundle: ca.bundle, denyList: { sequence: 1n, denied: [] } };
  return { issued, key, id, trust, sentAt: ca.at, now: ca.at, jitter: 0, ...certificate };
}

const denied = [{ authorityKeyId: ca.intermediate.subjectKeyId ?? "", serialHex: "*" }];
const altered: readonly (readonly [string, () => Change])[] = [
  ["another agent", () => ({ leaf: { uri: idOf("/agent/two") } })],
  ["a workload", () => ({ leaf: { uri: idOf("/svc/a") } })],
  ["another key", () => ({ leaf: { spkiDer: newNodeKey().spkiDer } })],
  ["a name", () => ({ leaf: { dnsNames: ["a.example"] } })],
  ["an address", () => ({ leaf: { ipAddresses: ["10.0.0.1"] } })],
  ["a server only", () => ({ leaf: { extendedKeyUsage: "server" } })],
  ["a time that is over", () => ({ certificate: { now: after(ca.at, 3602) } })],
  ["a strange root", () => ({ from: buildCa() })],
  [
    "an authority that is revoked",
    () => ({ certificate: { trust: { bundle: ca.bundle, denyList: { sequence: 2n, denied } } } }),
  ],
  ["nothing", () => ({ answer: { chainDer: [] } })],
  ["another lifetime than it has", () => ({ answer: { ttlSeconds: 4_000_000_000 } })],
  ["another serial than it has", () => ({ answer: { serialHex: "40" } })],
];

describe("OwnIdentity.install()", () => {
  it("keeps a certificate for our key, and forgets the pending one", async () => {
    await own.install(certificateOf());
    expect(await readdir(directory)).toEqual(["agent.json"]);
    const again = await OwnIdentity.open({ directory, write: writeOwnFile });
    expect(again.held).toEqual(own.held);
    expect(again.held?.keyDer).toEqual(key.keyDer);
  });

  it.each(altered)("refuses a certificate for %s, and keeps the key and the certificate before", async (_, change) => {
    await own.install(certificateOf());
    const before = own.held;
    key = await own.nextKey();
    await expect(own.install(certificateOf(change()))).rejects.toThrow(WireError);
    expect(own.held).toBe(before);
    const again = await OwnIdentity.open({ directory, write: writeOwnFile });
    expect(again.held).toEqual(before);
    expect((await again.nextKey()).keyDer).toEqual(key.keyDer);
  });
});
