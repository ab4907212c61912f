#!/usr/bin/env node
// The `signet` command. Starts on any Node: in a clone it hands over to the pinned one and runs the source, in a package
// it runs what was built, and says so in a sentence where the running Node is too old for that.
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "src/cli/main.ts");
const launcher = join(root, "tool/run.mjs");

if (existsSync(source) && existsSync(launcher)) {
  import(pathToFileURL(launcher).href).then(function (tool) {
    tool.launch(source, process.argv.slice(2));
  });
} else if (Number(process.versions.node.split(".")[0]) < 24) {
  console.error("signet: needs Node 24 or later, this is " + process.versions.node);
  console.error("try: npx --package node@24 --package signet signet --help");
  process.exitCode = 1;
} else {
  import(pathToFileURL(join(root, "dist/src/cli/main.js")).href);
}
