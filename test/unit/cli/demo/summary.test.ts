import { expect, it } from "vitest";
import { noStats, parseServiceLine, type ServiceStats } from "../../../../src/cli/demo/service-line.ts";
import { summaryLines as linesAt, type Outcome } from "../../../../src/cli/demo/summary.ts";
import { type Counted, lastLine, type Totals, totalsOf } from "../../../../src/cli/demo/totals.ts";
import { buildScene } from "./build-scene.ts";

const a: ServiceStats = {
  calls: 727,
  failed: 0,
  retried: 0,
  handshakes: 64,
  slowestMs: 40.6,
  serials: 6,
  refused: {},
  tls: ["TLSv1.3"],
};
const b: ServiceStats = { ...a, calls: 725, slowestMs: 12, serials: 7 };

const counted = (stats: ServiceStats, ...authorities: readonly string[]): Counted => ({
  stats,
  authorities: new Set(authorities),
});
const asPlanned: Totals = totalsOf(counted(a, "k1", "k2"), counted(b, "k2", "k1"), 4);
const nothing: Totals = totalsOf(counted(noStats), counted(noStats), 0);

function outcome(changes: Partial<Outcome> = {}): Outcome {
  return {
    totals: asPlanned,
    seconds: 60.2,
    ttlSeconds: 20,
    problems: [],
    interrupted: false,
    moved: { from: "int-1", to: "int-2", at: "00:30" },
    strangers: buildScene().strangers,
    recorded: { seen: 17, known: 17, own: 2, stored: 19 },
    kept: undefined,
    ...changes,
  };
}

const summaryLines = (held: Outcome, width = 80): readonly string[] => linesAt(held, width);

it("totalsOf() counts distinct serials that peers accepted, minus 2", () => {
  expect(asPlanned).toMatchObject({
    rotations: 11,
    rotationsOfA: 6,
    rotationsOfB: 5,
    authorities: 2,
    slowestMs: 40.6,
  });
  expect(nothing).toMatchObject({ rotations: 0, rotationsOfA: 0, authorities: 0 });
});

it("lastLine() has the fields of the interface in their order", () => {
  expect(lastLine(asPlanned)).toBe(
    "demo: calls=1452 failed=0 retried=0 handshakes=128 rotations=11 authorities=2 refused=4 tls=TLSv1.3",
  );
  expect(lastLine(nothing)).toBe(
    "demo: calls=0 failed=0 retried=0 handshakes=0 rotations=0 authorities=0 refused=0 tls=none",
  );
  expect(lastLine(totalsOf(counted(a), counted({ ...b, tls: ["TLSv1.2"] }), 4))).toMatch(/ tls=TLSv1\.2,TLSv1\.3$/);
});

it("summaryLines() of a run in which nothing happened", () => {
  expect(summaryLines(outcome()).join("\n")).toMatchInlineSnapshot(`
    "60 s, and nobody noticed anything
      calls        1,452   none failed, slowest 41 ms
      rotations       11   /svc/a 6, /svc/b 5, each one rename on disk
      authorities      2   int-1 to int-2 at 00:30, no call failed
      refused          4   no certificate, foreign CA, wrong identity, expired
      recorded        17   of 17 certificates handed out, and the server's own 2
    next: README, "Five minutes by hand""
  `);
});

it("summaryLines() of a run that was stopped, and keeps its files", () => {
  const lines = summaryLines(outcome({ interrupted: true, seconds: 12, moved: undefined, kept: "/tmp/d/a, /tmp/d/b" }));
  expect(lines.join("\n")).toMatchInlineSnapshot(`
    "stopped after 12 s, and nobody noticed anything
      calls        1,452   none failed, slowest 41 ms
      rotations       11   /svc/a 6, /svc/b 5, each one rename on disk
      authorities      2
      refused          4   no certificate, foreign CA, wrong identity, expired
      recorded        17   of 17 certificates handed out, and the server's own 2
    kept: /tmp/d/a, /tmp/d/b
    next: README, "Five minutes by hand""
  `);
});

it("summaryLines() of a run that went wrong names each problem", () => {
  const totals = totalsOf(counted({ ...a, failed: 3, retried: 1 }, "k1"), counted(b, "k2"), 3);
  const problems = ["3 calls failed", "a stranger got in: no certificate", "agent two ended unasked (exit 1)"];
  expect(summaryLines(outcome({ totals, problems })).join("\n")).toMatchInlineSnapshot(`
    "60 s, and not as it should be
      problem      3 calls failed
      problem      a stranger got in: no certificate
      problem      agent two ended unasked (exit 1)
      calls        1,452   3 FAILED, 1 sent once more, slowest 41 ms
      rotations       11   /svc/a 6, /svc/b 5, each one rename on disk
      authorities      2   int-1 to int-2 at 00:30
      refused          3   no certificate, foreign CA, wrong identity, expired
      recorded        17   of 17 certificates handed out, and the server's own 2
    try: signet demo --keep    leaves the logs of every process"
  `);
});

it("summaryLines() before the first call", () => {
  const lines = summaryLines(
    outcome({
      totals: nothing,
      seconds: 0,
      interrupted: true,
      moved: undefined,
      strangers: [],
      recorded: { seen: 0, known: 0, own: 1, stored: 1 },
    }),
  );
  expect(lines.join("\n")).toMatchInlineSnapshot(`
    "stopped before the first call
      calls            0
      rotations        0
      authorities      0
      refused          0
      recorded         0   of 0 certificates handed out, and the server's own 1
    next: README, "Five minutes by hand""
  `);
});

it("summaryLines() fit 80 columns", () => {
  const wide = summaryLines(outcome({ recorded: { seen: 12_345, known: 12_345, own: 20, stored: 12_399 } }));
  expect(Math.max(...wide.map((line) => line.length))).toBeLessThanOrEqual(80);
});

it("summaryLines() of a run without a rotation does not praise it", () => {
  const still = totalsOf(counted({ ...a, serials: 1 }, "k1"), counted({ ...b, serials: 1 }, "k1"), 4);
  const held = { totals: still, seconds: 6.4, moved: { from: "int-1", to: "int-2", at: "00:03" } };
  expect(summaryLines(outcome({ ...held, ttlSeconds: 3600 })).join("\n")).toMatchInlineSnapshot(`
    "6 s, and nothing was rotated: certificates live 1 h, longer than the run
      calls        1,452   none failed, slowest 41 ms
      rotations        0
      authorities      1   int-2 active at 00:03; no peer saw it before the end
      refused          4   no certificate, foreign CA, wrong identity, expired
      recorded        17   of 17 certificates handed out, and the server's own 2
    next: README, "Five minutes by hand""
  `);
  expect(summaryLines(outcome({ ...held, ttlSeconds: 5 }))[0]).toBe("6 s, and nothing was rotated");
  expect(summaryLines(outcome({ ...held, ttlSeconds: 20, interrupted: true }), 200)[0]).toBe(
    "stopped after 6 s, and nothing was rotated: certificates live 20 s, longer than the run",
  );
});

it("summaryLines() wrap between words on a narrow terminal", () => {
  const problems = ["agent two ended unasked, exit 1: signet: the data directory is in use"];
  expect(summaryLines(outcome({ problems }), 50).join("\n")).toMatchInlineSnapshot(`
    "60 s, and not as it should be
      problem      agent two ended unasked, exit 1:
                   signet: the data directory is in
                   use
      calls        1,452   none failed, slowest 41 ms
      rotations       11   /svc/a 6, /svc/b 5, each
                           one rename on disk
      authorities      2   int-1 to int-2 at 00:30, no
                           call failed
      refused          4   no certificate, foreign CA,
                           wrong identity, expired
      recorded        17   of 17 certificates handed
                           out, and the server's own 2
    try: signet demo --keep    leaves the logs of
         every process"
  `);
  expect(summaryLines(outcome(), 36).slice(0, 4).join("\n")).toMatchInlineSnapshot(`
    "60 s, and nobody noticed anything
      calls        1,452
        none failed, slowest 41 ms
      rotations       11"
  `);
});

it("summaryLines() names certificates in the store that nobody saw outside", () => {
  const text = summaryLines(outcome({ recorded: { seen: 17, known: 17, own: 2, stored: 20 } }), 200).join("\n");
  expect(text).toContain("17   of 17 certificates handed out, and the server's own 2, and 1 not seen outside");
});

it("parseServiceLine() reads what services say and leaves everything else alone", () => {
  expect(parseServiceLine('{"event":"listening","address":"127.0.0.1:1"}')).toEqual({
    event: "listening",
    address: "127.0.0.1:1",
  });
  expect(parseServiceLine(JSON.stringify({ event: "stats", ...a }))).toEqual({ event: "stats", ...a });
  expect(parseServiceLine('{"event":"stats","calls":"x","refused":{"expired":2},"tls":["TLSv1.3",4]}')).toEqual({
    event: "stats",
    ...noStats,
    refused: { expired: 2 },
    tls: ["TLSv1.3"],
  });
  expect(parseServiceLine('{"event":"refused","reason":"expired","detail":"ended"}')).toEqual({
    event: "refused",
    reason: "expired",
    spiffeId: undefined,
    detail: "ended",
  });
  expect(parseServiceLine('{"event":"warming"}')).toEqual({ event: "other", name: "warming" });
  for (const line of ["", "text", "[]", "null", '{"a":1}', "{"]) expect(parseServiceLine(line), line).toBeUndefined();
});
