// `npm run vectors -- PATH/index.json`: runs any table of vectors and says how many rows came out as expected.

import { dirname, resolve } from "node:path";
import { JudgeProcess } from "./judge-process.ts";
import { mismatch, type Row, readTable, rowName } from "./table.ts";

async function main(args: readonly string[]): Promise<number> {
  const [path] = args;
  if (path === undefined || args.length !== 1) {
    process.stderr.write("usage: npm run vectors -- PATH/index.json\n");
    return 2;
  }
  // npm changes to the package's folder; the path is meant from where the user stands.
  const file = resolve(process.env["INIT_CWD"] ?? ".", path);
  let rows: readonly Row[];
  try {
    rows = readTable(file);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
  const dir = dirname(file);
  const judging = new JudgeProcess();
  const skipped = new Map<string, number>();
  let expected = 0;
  let wrong = 0;
  for (const row of rows) {
    const outcome = await judging.judge(row, dir);
    if (outcome.kind === "no_judge") {
      skipped.set(row.kind, (skipped.get(row.kind) ?? 0) + 1);
      continue;
    }
    const fault = mismatch(row, outcome);
    if (fault === undefined) {
      expected++;
    } else {
      wrong++;
      process.stdout.write(`MISMATCH ${rowName(row)} (${row.rule})\n  ${fault}\n`);
    }
  }
  judging.close();
  let skippedRows = 0;
  for (const [kind, count] of skipped) {
    skippedRows += count;
    process.stdout.write(`skipped: ${count} rows of the kind ${kind}, which has no judge yet\n`);
  }
  process.stdout.write(`${rows.length} rows, ${expected} as expected, ${skippedRows} skipped\n`);
  return wrong === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
