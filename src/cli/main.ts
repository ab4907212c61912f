#!/usr/bin/env node
// The `signet` command. Says in a sentence when Node is too old; else loads the command line, and nothing more than that
// before a command asks for it.
import type { CliContext } from "./context.ts";

const leastMajor = 24;

async function main(): Promise<void> {
  if (Number(process.versions.node.split(".")[0]) < leastMajor) {
    process.stderr.write(`signet: needs Node ${leastMajor} or later, this is ${process.versions.node}\n`);
    process.stderr.write("try: npx --package node@24 --package signet signet --help\n");
    process.exitCode = 1;
    return;
  }
  const [{ runCli }, { terminalContext }] = await Promise.all([import("./program.ts"), import("./terminal.ts")]);
  const starters: CliContext["starters"] = {
    server: async (options) => (await import("../server/main.ts")).runServer(options),
    agent: async (options) => (await import("../../agent/main.ts")).runAgent(options),
    init: async (options) => (await import("../server/init.ts")).initTrustDomain(options),
    doctor: async (options, how) => (await import("../server/doctor.ts")).checkStore(options, how),
  };
  const terminal = terminalContext(process, starters);
  process.exitCode = await runCli(terminal.context, process.argv.slice(2));
  await terminal.flushed();
  // Whatever still keeps the loop alive (a half-closed pipe, a pooled socket) must not keep the user waiting.
  process.exit();
}

await main();
