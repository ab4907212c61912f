import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CertificateRecord, certificates } from "../../../src/store/collections/certificates.ts";
import { headerAndBytes } from "../../../src/store/json-codec.ts";

const record: CertificateRecord = {
  serialHex: "4f".repeat(16),
  authority: "int-2",
  authorityKeyId: "ab".repeat(20),
  spiffeId: "spiffe://prod.example/svc/a",
  profile: "workload",
  notBefore: 1_790_000_000_000,
  notAfter: 1_790_003_600_000,
  issuedAt: 1_790_000_060_123,
  ttlSeconds: 3600,
  dnsNames: ["a.prod.example", "*.prod.example"],
  ipAddresses: [],
  spkiSha256: "cd".repeat(32),
  caller: "spiffe://prod.example/agent/one",
  protocol: "issuance",
  entryId: "e-1",
  entryRevision: 7,
  der: Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x00),
};

const encode = (value: CertificateRecord): Uint8Array => certificates.encode(value);
const decode = (octets: Uint8Array, version: number): CertificateRecord => certificates.decode(octets, version);

const text = fc.string({ unit: "grapheme" });
const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const records = fc.record(
  {
    serialHex: text,
    authority: text,
    authorityKeyId: text,
    spiffeId: text,
    profile: text,
    notBefore: number,
    notAfter: number,
    issuedAt: fc.double({ noDefaultInfinity: true, noNaN: true }).map((value) => value + 0),
    ttlSeconds: number,
    dnsNames: fc.array(text),
    ipAddresses: fc.array(text),
    spkiSha256: text,
    caller: text,
    protocol: text,
    entryId: text,
    entryRevision: number,
    limitedBy: fc.constant("authority" as const),
    der: fc.uint8Array(),
  },
  {
    noNullPrototype: true,
    requiredKeys: [
      ...(["serialHex", "authority", "authorityKeyId", "spiffeId", "profile", "notBefore", "notAfter"] as const),
      ...(["issuedAt", "ttlSeconds", "dnsNames", "ipAddresses", "spkiSha256", "caller", "protocol", "der"] as const),
    ],
  },
);

describe("certificates", () => {
  test("decode() gives back whatever encode() took, members that are absent among them", () => {
    fc.assert(
      fc.property(records, (value) => {
        expect(decode(encode(value), 2)).toStrictEqual(value);
      }),
      { numRuns: 200 },
    );
  });

  test("decode() reads what version 1 wrote, a JSON object", () => {
    const old = headerAndBytes<CertificateRecord, "der">("der").encode(record);
    expect(new TextDecoder().decode(old.subarray(4, 5))).toBe("{");
    expect(decode(old, 1)).toStrictEqual(record);
  });

  test("the row of version 2 is never changed: its members keep their places", () => {
    const row = '["S","A","K","I","P",1,2,3,4,["D"],["N"],"H","C","O","E",5,"authority"]';
    const octets = Buffer.concat([Buffer.from([0, 0, 0, row.length]), Buffer.from(row), Buffer.from([9])]);
    expect(decode(octets, 2)).toStrictEqual({
      serialHex: "S",
      authority: "A",
      authorityKeyId: "K",
      spiffeId: "I",
      profile: "P",
      notBefore: 1,
      notAfter: 2,
      issuedAt: 3,
      ttlSeconds: 4,
      dnsNames: ["D"],
      ipAddresses: ["N"],
      spkiSha256: "H",
      caller: "C",
      protocol: "O",
      entryId: "E",
      entryRevision: 5,
      limitedBy: "authority",
      der: Uint8Array.of(9),
    });
  });

  test.each([
    ["a number that is not finite", { notAfter: Number.NaN }],
    ["a list with a hole", { dnsNames: ["a", undefined] }],
    ["a date where a number stands", { notAfter: new Date(0) }],
    ["a member that the row has no place for", { note: "x" }],
    ["octets that are text", { der: "MII" }],
  ])("encode() refuses %s", (_, wrong) => {
    expect(() => encode({ ...record, ...wrong } as unknown as CertificateRecord)).toThrow(TypeError);
  });

  test("decode() throws for a version it does not know, for a row that is cut short, and for octets of another kind", () => {
    const octets = encode(record);
    const object = headerAndBytes<CertificateRecord, "der">("der").encode(record);
    expect(() => decode(octets, 3)).toThrow(TypeError);
    expect(() => decode(octets.subarray(0, 100), 2)).toThrow(TypeError);
    expect(() => decode(octets.subarray(0, 3), 2)).toThrow(TypeError);
    expect(() => decode(object, 2)).toThrow(TypeError);
  });
});
