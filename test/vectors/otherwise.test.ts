// Where we decide otherwise than a row: only rows of low confidence may be here, and each has its reason.

import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { JudgeProcess } from "./judge-process.ts";
import { judges } from "./judges/judges.ts";
import { readTable } from "./table.ts";

const otherwise: ReadonlyMap<string, string> = new Map([
  [
    "config/norway.yaml",
    "YAML 1.2 has no boolean `no`, so the reader takes the text that stands there, and `no` is a good trust domain; what the row warns of, a trust domain named false, cannot come out of it",
  ],
]);

const dir = fileURLToPath(new URL("./data/", import.meta.url));
const rows = readTable(`${dir}index.json`).filter(({ kind }) => judges.has(kind));
const judging = new JudgeProcess();
afterAll(() => judging.close());

test("rows that come out otherwise than they say are of low confidence, and each is argued here", async () => {
  const found: string[] = [];
  for (const row of rows.filter(({ confidence }) => confidence === "low")) {
    const { kind } = await judging.judge(row, dir);
    if ((kind === "accepted") !== (row.expect === "accept")) found.push(row.file);
  }
  expect(found).toEqual([...otherwise.keys()]);
});

test("the only kind of row without a judge is ocsp", () => {
  const kinds = new Set(readTable(`${dir}index.json`).map(({ kind }) => kind));
  expect([...kinds].filter((kind) => !judges.has(kind))).toEqual(["ocsp"]);
});
