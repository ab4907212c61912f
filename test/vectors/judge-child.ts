// The process that runs the judges: one row a message, one outcome back.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { JudgeRequest } from "./judge-process.ts";
import { judges } from "./judges/judges.ts";
import type { Outcome } from "./table.ts";

async function outcomeOf({ row, dir }: JudgeRequest): Promise<Outcome> {
  const judge = judges.get(row.kind);
  if (judge === undefined) return { kind: "no_judge" };
  if (row.generate === undefined && !existsSync(join(dir, row.file))) {
    return { kind: "missing", message: `no file ${row.file}` };
  }
  try {
    const judgement = await judge(row, dir);
    if (judgement.ok) return { kind: "accepted" };
    const { error } = judgement;
    if (!(error instanceof Error) || error.message === "")
      return { kind: "foreign", message: "a refusal without a message" };
    return { kind: "refused", message: error.message };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return { kind: "missing", message: error.message };
    }
    return { kind: "foreign", message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

function reply(message: Outcome | "ready"): void {
  process.send?.(message);
}

process.on("message", (request) => {
  void outcomeOf(request as JudgeRequest).then(reply);
});
reply("ready");
