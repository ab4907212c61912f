import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { requestOf } from "../unit/x509/build-request.ts";
import { JudgeProcess } from "./judge-process.ts";
import { mismatch, type Row } from "./table.ts";

const dir = mkdtempSync(join(tmpdir(), "signet-vectors-"));
afterAll(() => rmSync(dir, { recursive: true }));

const row: Row = {
  file: "one.der",
  kind: "csr",
  stage: "parse",
  expect: "accept",
  reason: "a reason",
  rule: "a rule",
  entry: { id: "spiffe://prod.example/svc/web", dns: [] },
};

/** Runs the program over a table of these rows, with one good request beside it. */
function run(...rows: readonly object[]): { readonly lines: readonly string[]; readonly status: number | null } {
  writeFileSync(join(dir, "one.der"), requestOf());
  writeFileSync(join(dir, "index.json"), JSON.stringify(rows));
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const args = ["--conditions=signet-source", main, join(dir, "index.json")];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: "utf8" });
  return { lines: stdout.trimEnd().split("\n"), status };
}

describe("npm run vectors", () => {
  it("ends with its totals and 0 when every row came out as expected", () => {
    const generated = {
      ...row,
      file: "made",
      generate: { concat: [{ repeat: "3080", times: 9000 }] },
      expect: "refuse",
    };
    expect(run(row, generated)).toEqual({ lines: ["2 rows, 2 as expected, 0 skipped"], status: 0 });
  });

  it("names a mismatch, a missing file and a refusal without its words, and ends with 1", () => {
    const rows = [
      { ...row, expect: "refuse" },
      { ...row, file: "gone.der" },
      { ...row, entry: { id: "spiffe://prod.example/x" } },
    ];
    const { lines, status } = run(...rows);
    expect(status).toBe(1);
    expect(lines.at(-1)).toBe("3 rows, 0 as expected, 0 skipped");
    expect(lines).toContain("MISMATCH one.der: a reason (a rule)");
    expect(lines).toContain("  accepted, must be refused");
    expect(lines).toContain("  missing: no file gone.der");
    expect(lines.some((line) => line.startsWith("  refused, must be accepted: id_not_in_entry: "))).toBe(true);
  });

  it("skips and names a kind without a judge", () => {
    expect(run(row, { ...row, kind: "smoke" })).toEqual({
      lines: ["skipped: 1 rows of the kind smoke, which has no judge yet", "2 rows, 1 as expected, 1 skipped"],
      status: 0,
    });
  });

  it("takes either verdict for low confidence, but not a missing file", () => {
    const low = { ...row, expect: "refuse", confidence: "low" };
    expect(run(low).status).toBe(0);
    expect(run({ ...low, file: "gone.der" }).status).toBe(1);
  });

  it("refuses a request that its stage should have refused", () => {
    const late = { ...row, expect: "refuse", entry: { id: "spiffe://prod.example/x" } };
    expect(run(late).status).toBe(1);
    expect(run({ ...late, stage: "decide" }).status).toBe(0);
  });
});

describe("JudgeProcess", () => {
  /** A child that does `body` with each row. */
  const judgeThat = (name: string, body: string): JudgeProcess => {
    const path = join(dir, `${name}.mjs`);
    writeFileSync(path, `process.on("message", () => { ${body} }); process.send("ready");`);
    return new JudgeProcess(pathToFileURL(path));
  };

  it("cuts off a hang after max_ms, and judges the next row in a new process", async () => {
    const judging = judgeThat("hang", "for (;;);");
    for (let i = 0; i < 2; i++) {
      expect(await judging.judge({ ...row, max_ms: 50 }, dir)).toEqual({
        kind: "hang",
        message: "no verdict within 50 ms",
      });
    }
    judging.close();
  });

  it("sees a crash", async () => {
    const judging = judgeThat("crash", 'process.kill(process.pid, "SIGKILL");');
    expect(await judging.judge(row, dir)).toEqual({ kind: "crash", message: "the process ended by SIGKILL" });
    judging.close();
  });
});

describe("mismatch()", () => {
  it("demands every text of error_names, in either way to write an index", () => {
    const refusal: Row = { ...row, expect: "refuse", error_names: ["identities[0].dir", "Nope"] };
    expect(mismatch(refusal, { kind: "refused", message: "identities.0.dir: nope" })).toBeUndefined();
    expect(mismatch(refusal, { kind: "refused", message: "identities.0.dir" })).toContain("does not name Nope");
  });

  it("counts a foreign error at any confidence", () => {
    expect(mismatch({ ...row, confidence: "low" }, { kind: "foreign", message: "RangeError" })).toBe(
      "foreign: RangeError",
    );
  });
});
