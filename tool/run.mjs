// Runs a script of this repository on the Node that it pins: `node tool/run.mjs SCRIPT [ARGUMENTS]`.
// Plain JavaScript that starts on Node 20; what it starts may be TypeScript.
import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const leastMajor = 24;

/** The pinned Node of this platform, or undefined where its package is not installed. */
export function pinnedNode() {
  const names = [`node-${process.platform}-${process.arch}`, `node-bin-${process.platform}-${process.arch}`];
  for (const name of names) {
    try {
      const home = realpathSync(join(root, "node_modules/pinned-node/package.json"));
      return join(dirname(createRequire(home).resolve(`${name}/package.json`)), "bin/node");
    } catch {
      // The next name, or none: the running Node may do.
    }
  }
  return undefined;
}

/** Runs `script` and ends this process as it ended. */
export function launch(script, args) {
  const running = Number(process.versions.node.split(".")[0]) >= leastMajor ? process.execPath : undefined;
  const node = pinnedNode() ?? running;
  if (node === undefined) {
    console.error(
      `signet: needs Node ${leastMajor} or later, this is ${process.versions.node}: the pinned one is not installed`,
    );
    console.error("try: npm ci");
    process.exit(1);
  }
  const child = spawn(node, ["--conditions=signet-source", script, ...args], {
    stdio: "inherit",
    env: {
      ...process.env,
      PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}`,
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, "node_modules/.cache/node"),
    },
  });
  // The terminal sends SIGINT to both; the child decides what it means.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`signet: cannot start ${node}: ${error.message}`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(code ?? 128 + (constants.signals[signal ?? "SIGTERM"] ?? 15)));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [script, ...args] = process.argv.slice(2);
  if (script === undefined) {
    console.error("usage: node tool/run.mjs SCRIPT [ARGUMENTS]");
    process.exit(2);
  }
  launch(script, args);
}
