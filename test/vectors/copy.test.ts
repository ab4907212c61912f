import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const copy = fileURLToPath(new URL("./data", import.meta.url));
const original = fileURLToPath(new URL("../../../shared/vectors", import.meta.url));

function filesBelow(dir: string): readonly string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

describe.skipIf(!existsSync(original))("the copy of the shared vectors", () => {
  it("has the same files, octet for octet", () => {
    const files = filesBelow(original);
    expect(filesBelow(copy)).toEqual(files);
    const different = files.filter(
      (file) => !readFileSync(join(copy, file)).equals(readFileSync(join(original, file))),
    );
    expect(different).toEqual([]);
  });
});
