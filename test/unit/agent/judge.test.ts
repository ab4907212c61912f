import { describe, expect, it } from "vitest";
import { type Expected, type IssuedCertificate, judgeIssued } from "../../../agent/identities/judge.ts";
import { newNodeKey } from "../../../agent/identities/node-key.ts";
import { after, buildCa, type LeafOptions } from "../../fakes/build-ca.ts";
import { idOf } from "./slots.ts";

const ca = buildCa();
const key = newNodeKey();

function issued(leafOptions: LeafOptions = {}, fields: Partial<IssuedCertificate> = {}, from = ca): IssuedCertificate {
  const { leaf, chainDer } = from.issue({
    uri: idOf("/svc/a"),
    spkiDer: key.spkiDer,
    dnsNames: ["a.example"],
    ...leafOptions,
  });
  return {
    chainDer,
    serialHex: leaf.serialHex,
    spiffeId: idOf("/svc/a"),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    ttlSeconds: 3600,
    authority: "int-1",
    limitedByAuthority: false,
    entryId: "e-1",
    entryRevision: 1n,
    serverTime: ca.at,
    ...fields,
  };
}

const expected: Expected = {
  spiffeId: idOf("/svc/a"),
  spkiDer: key.spkiDer,
  names: { dnsNames: ["a.example"], ipAddresses: [] },
  purposes: ["server", "client"],
  bundle: ca.bundle,
  denied: { sequence: 1n, denied: [] },
  at: ca.at,
};
const reason = (certificate: IssuedCertificate, more: Partial<Expected> = {}): string => {
  const verdict = judgeIssued(certificate, { ...expected, ...more });
  return verdict.ok ? "ok" : verdict.reason;
};

describe("judgeIssued()", () => {
  it("takes what was asked for", () => {
    expect(reason(issued())).toBe("ok");
  });

  const intermediate = ca.intermediate.subjectKeyId ?? "";
  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    ["another identity", () => reason(issued({ uri: idOf("/svc/b") })), /another identity/],
    ["another key", () => reason(issued({ spkiDer: newNodeKey().spkiDer })), /another key than ours/],
    ["a name too many", () => reason(issued({ dnsNames: ["a.example", "b.example"] })), /names are not those/],
    ["a name too few", () => reason(issued({ dnsNames: [] })), /names are not those/],
    ["an address", () => reason(issued({ ipAddresses: ["10.0.0.1"] })), /names are not those/],
    ["a strange root", () => reason(issued({}, {}, buildCa())), /./],
    ["what has ended", () => reason(issued(), { at: after(ca.at, 3602) }), /./],
    ["what has not begun", () => reason(issued(), { at: after(ca.at, -120) }), /./],
    [
      "a revoked authority",
      () => reason(issued(), { denied: { sequence: 2n, denied: [{ authorityKeyId: intermediate, serialHex: "*" }] } }),
      /revoked/,
    ],
    ["no chain", () => reason(issued({}, { chainDer: [] })), /./],
    ["a chain without its intermediate", () => reason(issued({}, { chainDer: issued().chainDer.slice(0, 1) })), /./],
    ["an answer with another serial", () => reason(issued({}, { serialHex: "40" })), /serial/],
    ["an answer with another end", () => reason(issued({}, { notAfter: after(ca.at, 9) })), /ends at another time/],
    ["a client certificate for a workload", () => reason(issued({ extendedKeyUsage: "client" })), /./],
  ];
  for (const [what, judge, message] of cases) {
    it(`refuses ${what}`, () => {
      expect(judge()).not.toBe("ok");
      expect(judge()).toMatch(message);
    });
  }
});
