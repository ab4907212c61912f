import { describe, expect, it } from "vitest";
import { countedFromNow, type Expected, type IssuedCertificate, judgeIssued } from "../../../src/sdk/judge-issued.ts";
import { newNodeKey } from "../../../src/sdk/node-key.ts";
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

  it("measures the lifetime by the server's clock, or by ours when it does not say its time", () => {
    const late = after(ca.at, 1800);
    expect(reason(issued({}, { ttlSeconds: 3500 }), { at: late })).toBe("ok");
    expect(reason(issued({}, { serverTime: undefined }), { at: late })).toMatch(/another lifetime/);
    expect(reason(issued({}, { serverTime: undefined, ttlSeconds: 1800 }), { at: late })).toBe("ok");
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
    ["a lifetime that is not the leaf's", () => reason(issued({}, { ttlSeconds: 4_000_000_000 })), /another lifetime/],
    ["a lifetime that is a little too long", () => reason(issued({}, { ttlSeconds: 3721 })), /another lifetime/],
    ["a lifetime that is far too short", () => reason(issued({}, { ttlSeconds: 1 })), /another lifetime/],
    [
      "a lifetime that only an odd server time explains",
      () => reason(issued({}, { ttlSeconds: 7200, serverTime: after(ca.at, -3600) })),
      /another lifetime/,
    ],
    [
      "a short lifetime that would be renewed after its end",
      () => reason(issued({ notAfter: after(ca.at, 60) }, { ttlSeconds: 120 })),
      /another lifetime/,
    ],
    ["a client certificate for a workload", () => reason(issued({ extendedKeyUsage: "client" })), /./],
  ];
  for (const [what, judge, message] of cases) {
    it(`refuses ${what}`, () => {
      expect(judge()).not.toBe("ok");
      expect(judge()).toMatch(message);
    });
  }
});

describe("countedFromNow()", () => {
  it("leaves an answer that is new", () => {
    const answer = issued();
    expect(countedFromNow(answer, ca.at)).toBe(answer);
  });

  it("counts what is left of one that is given once more, which is then taken", () => {
    const again = countedFromNow(issued({}, { serverTime: after(ca.at, 3000.5) }), after(ca.at, 3001));
    expect(again.ttlSeconds).toBe(599);
    expect(reason(again, { at: after(ca.at, 3001) })).toBe("ok");
    expect(countedFromNow(issued({}, { serverTime: undefined }), after(ca.at, 4000)).ttlSeconds).toBe(0);
  });
});
