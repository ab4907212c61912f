// Builds what the package holds: dist/, plain JavaScript with types, from src, agent, deploy and proto/gen.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
rmSync(join(root, "dist"), { recursive: true, force: true });
const compiler = join(root, "node_modules/typescript/bin/tsc");
const { status } = spawnSync(process.execPath, [compiler, "-p", join(root, "tsconfig.build.json")], {
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);

// What starts in an installed package; a build without one of them is no build.
const needed = [
  "src/cli/main.js",
  "src/sdk/sdk.js",
  "deploy/samples/service-a/main.js",
  "deploy/samples/service-b/main.js",
];
const missing = needed.filter((path) => !existsSync(join(root, "dist", path)));
if (missing.length > 0) {
  console.error(`build: missing in dist: ${missing.join(", ")}`);
  process.exit(1);
}
