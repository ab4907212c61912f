import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Mutant } from "./mutants.ts";
import { root } from "./run.ts";

/** Mutants whose snippet is not exactly once in its file, or whose test file is gone, each with what is wrong. */
export async function misplaced(list: readonly Mutant[]): Promise<readonly string[]> {
  const faults: string[] = [];
  for (const { name, file, from, to, test } of list) {
    const source = await readFile(join(root, file), "utf8").catch(() => "");
    const times = source.split(from).length - 1;
    if (from === "" || times !== 1) faults.push(`${name}: its snippet is ${times} times in ${file}, must be once`);
    if (from === to) faults.push(`${name}: nothing is changed`);
    await readFile(join(root, test)).catch(() => faults.push(`${name}: there is no ${test}`));
  }
  return faults;
}
