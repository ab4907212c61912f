import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { JudgeProcess } from "./judge-process.ts";
import { judges } from "./judges/judges.ts";
import { mismatch, readTable, rowName } from "./table.ts";

const dir = fileURLToPath(new URL("./data/", import.meta.url));
const rows = readTable(`${dir}index.json`);
const judging = new JudgeProcess();

afterAll(() => judging.close());

for (const kind of new Set(rows.map((row) => row.kind))) {
  describe.skipIf(!judges.has(kind))(`vectors of the kind ${kind}`, () => {
    for (const row of rows.filter((each) => each.kind === kind)) {
      it(`${row.expect}s ${rowName(row)}`, { timeout: 60_000 }, async () => {
        const outcome = await judging.judge(row, dir);
        if (outcome.kind === "no_judge") throw new Error(`no judge for the kind ${kind}`);
        expect(mismatch(row, outcome), `${row.reason} (${row.rule})`).toBeUndefined();
      });
    }
  });
}
