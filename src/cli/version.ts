// signet version.
import type { Command } from "commander";
import type { Declare } from "./command.ts";
import type { Cli } from "./context.ts";
import type { ExitCode } from "./failure.ts";

export function addVersion(program: Command, declare: Declare): void {
  declare
    .verb(program, "version", {
      summary: "the version of this program, and of the Node it runs on",
      examples: ["signet version", "signet version -q"],
      reach: "local",
    })
    .action(declare.run(showVersion));
}

export async function showVersion(cli: Cli): Promise<ExitCode> {
  const { buildInfo } = await import("../platform/build-info.ts");
  const { version } = buildInfo;
  const { print } = cli;
  const node = process.versions.node;
  if (print.format !== "table") await print.value({ version, node, platform: process.platform, arch: process.arch });
  else if (print.quiet) print.line(version);
  else print.line(`signet ${version}  Node ${node}  ${process.platform} ${process.arch}`);
  return 0;
}
