import { describe, expect, it } from "vitest";
import { fitReport, maxReportOctets, reportFitter } from "../../../agent/report-size.ts";
import { AgentReport, IdentityState } from "../../../proto/gen/signet/v1/issuance.ts";

type Identity = AgentReport["identities"][number];
const at = new Date("2026-11-24T12:00:00Z");
const end = (seconds: number): Date => new Date(at.getTime() + seconds * 1000);

function identity(i: number, fields: Partial<Identity> = {}): Identity {
  return {
    spiffeId: `spiffe://prod.example/team/payments/region/eu-west-1/service/${String(i).padStart(6, "0")}`,
    serialHex: "40".repeat(16),
    notAfter: end(100_000 - i),
    renewAt: end(50_000 - i),
    state: IdentityState.IDENTITY_STATE_ON_DISK,
    lastError: "",
    entryRevision: BigInt(i),
    ...fields,
  };
}
const failed = (i: number): Identity =>
  identity(i, { state: IdentityState.IDENTITY_STATE_WRITE_FAILED, lastError: `${i} `.padEnd(256, "é") });
const reportOf = (identities: readonly Identity[]): AgentReport => ({
  bundleSequence: 5n,
  deniedSequence: 9n,
  entryRevision: 7n,
  identities: [...identities],
  agentTime: at,
  version: "1.0.0",
  heldBackBy: "no space",
});
const many = (count: number, make: (i: number) => Identity): AgentReport =>
  reportOf(Array.from({ length: count }, (_, i) => make(i)));
const sizeOf = (report: AgentReport): number => AgentReport.encode(report).finish().length;

describe("fitReport()", () => {
  it("leaves a report that fits as it is", () => {
    const report = many(1000, identity);
    expect(fitReport(report)).toEqual({ report, identitiesCut: 0, errorsCut: 0 });
  });

  it("cuts error texts first, keeps those of the identities that end first, and every identity", () => {
    const report = many(3000, failed);
    expect(sizeOf(report)).toBeGreaterThan(1024 * 1024);
    const { report: cut, identitiesCut, errorsCut } = fitReport(report);
    expect(sizeOf(cut)).toBeLessThanOrEqual(maxReportOctets);
    expect(identitiesCut).toBe(0);
    expect(cut.identities.map(({ spiffeId }) => spiffeId)).toEqual(report.identities.map(({ spiffeId }) => spiffeId));
    const explained = cut.identities.filter(({ lastError }) => lastError !== "");
    expect(explained).toHaveLength(3000 - errorsCut);
    expect(explained).toEqual(report.identities.slice(errorsCut));
    expect(sizeOf(cut)).toBeGreaterThan(maxReportOctets - 8 * 1024);
  });

  it("cuts identities of 9,000, and keeps those in trouble and those that end first", () => {
    const report = many(9000, (i) => (i % 100 === 0 ? failed(i) : identity(i)));
    expect(sizeOf(report)).toBeGreaterThan(1024 * 1024);
    const { report: cut, identitiesCut, errorsCut } = fitReport(report);
    expect(sizeOf(cut)).toBeLessThanOrEqual(maxReportOctets);
    expect([cut.bundleSequence, cut.deniedSequence, cut.heldBackBy]).toEqual([5n, 9n, "no space"]);
    expect([identitiesCut > 0, errorsCut]).toEqual([true, 0]);
    expect(cut.identities).toHaveLength(9000 - identitiesCut);
    expect(cut.identities.filter(({ lastError }) => lastError !== "")).toHaveLength(90);
    const calm = cut.identities.filter(({ lastError }) => lastError === "");
    expect(calm).toEqual(report.identities.filter(({ lastError }) => lastError === "").slice(-calm.length));
  });

  it("still explains some when all of 9,000 fail", () => {
    const { report: cut, errorsCut } = fitReport(many(9000, failed));
    expect(sizeOf(cut)).toBeLessThanOrEqual(maxReportOctets);
    expect(cut.identities.length - errorsCut).toBeGreaterThan(100);
  });
});

describe("reportFitter()", () => {
  it("says once what was cut, and again only after a report that fitted", () => {
    const said: unknown[] = [];
    const fit = reportFitter({ warn: (facts: unknown) => void said.push(facts) } as never);
    const large = many(9000, identity);
    fit(large);
    expect(sizeOf(fit(large))).toBeLessThanOrEqual(maxReportOctets);
    expect(said).toEqual([{ identities: 9000, identitiesCut: expect.any(Number), errorsCut: 0 }]);
    fit(many(1, identity));
    fit(large);
    expect(said).toHaveLength(2);
  });
});
