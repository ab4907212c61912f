// `npm run test:mutants [-- TEXT]`: plants each breach of mutants.ts, all or those with TEXT in their name, and sees that the
// test it names turns red. The tree is not touched. Last line `mutants: N of N killed`; exit 1 when one survives.
import { availableParallelism } from "node:os";
import { type Mutant, mutants } from "./mutants.ts";
import { runTests } from "./run.ts";
import { misplaced } from "./snippets.ts";

const baselineWithinMs = 600_000;
const mutantWithinMs = 120_000;
/** A test that waits for what never comes ends sooner than in its project, which leaves room for a busy machine. */
const testTimeoutMs = 10_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Why the named test is no judge: it does not exist, or is red by itself. Undefined when all of them are green. */
async function baselineFault(list: readonly Mutant[]): Promise<string | undefined> {
  const files = [...new Set(list.map(({ test }) => test))].sort();
  say(`${list.length} mutants; first ${files.length} test files without any`);
  const { passed, failed, late, broken } = await runTests({ files, withinMs: baselineWithinMs });
  if (broken !== "") return `these tests do not run: ${broken}`;
  if (failed.length + late.length > 0) return `red without a mutant: ${[...failed, ...late].join("; ")}`;
  const absent = list.find(({ red }) => red === "" || !passed.some((name) => name.includes(red)));
  return absent && `no test is named "${absent.red}" in ${absent.test}, for: ${absent.name}`;
}

/** Why a mutant counts as alive; undefined when its test turned red by what it asserts. */
async function survival(mutant: Mutant): Promise<string | undefined> {
  const { test, red, hangs = false } = mutant;
  const run = await runTests({ files: [test], only: red, planted: mutant, withinMs: mutantWithinMs, testTimeoutMs });
  if (run.failed.length > 0 || (hangs && run.late.length > 0)) return undefined;
  if (run.late.length > 0) return `its test did not end in time, which proves nothing: ${run.late.join("; ")}`;
  return run.broken !== "" ? `its test did not run: ${run.broken}` : "its test stayed green";
}

async function main([text = ""]: readonly string[]): Promise<number> {
  const list = mutants.filter(({ name }) => name.includes(text));
  const lost = await misplaced(list);
  const fault = lost.length > 0 ? lost.join("\n") : await baselineFault(list);
  if (fault !== undefined || list.length === 0) {
    say(fault ?? `no mutant has "${text}" in its name`);
    say(`mutants: 0 of ${list.length} killed`);
    return 1;
  }
  const waiting = [...list];
  const survivors: string[] = [];
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
      const why = await survival(mutant);
      if (why !== undefined) survivors.push(`${mutant.name} (${mutant.file}; ${mutant.test}): ${why}`);
      say(`${why === undefined ? "killed" : "ALIVE "}  ${mutant.name}`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, work));
  for (const survivor of survivors) say(`survivor: ${survivor}`);
  say(`mutants: ${list.length - survivors.length} of ${list.length} killed`);
  return survivors.length === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
