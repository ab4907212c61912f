// signet agent: starts the agent in this process, and asks a running one.
import type { Command } from "commander";
import { agentStatus, renewIdentities } from "./agent-on-node.ts";
import type { Declare } from "./command.ts";
import { duration } from "./command.ts";
import type { Cli } from "./context.ts";
import { asCliError, type ExitCode } from "./failure.ts";
import { type HealthFlags, healthcheck } from "./healthcheck.ts";
import { givenJoinString } from "./join-input.ts";
import { agentSettings, settingFlags } from "./process-settings.ts";
import { processOptions } from "./server.ts";

export function addAgent(program: Command, declare: Declare): void {
  const agent = settingFlags(
    declare
      .verb(program, "agent", {
        summary: "start the agent of this node, or ask it: status, renew, healthcheck",
        description: [
          "The first start needs a join string; an agent that has joined ignores one. --join puts it where every user of this host can read it for as long as the agent runs (ps, /proc/PID/cmdline); --join-file and SIGNET_JOIN_FILE do not.",
        ],
        examples: [
          "signet agent --join-file -",
          "signet agent --join-file /run/join --data-dir /var/lib/signet-agent",
          "signet agent status",
        ],
        reach: "process",
      })
      .option("--join-file <FILE>", "file with the join string; - for the standard input")
      .option("--join <STRING>", "the join string itself; others on this host can read it")
      .option("--print-config", "show the configuration in force, and end"),
    agentSettings,
  );
  agent.action(declare.run(runAgent));
  declare
    .verb(agent, "status", {
      summary: "what the agent of this node holds, and until when",
      examples: ["signet agent status", "signet agent status --data-dir /var/lib/signet-agent -o json"],
      reach: "agent",
    })
    .action(declare.run(agentStatus));
  declare
    .verb(agent, "renew [ID]", {
      summary: "renew an identity now, or all of them",
      description: ["Answers when each is on disk or has failed. What is valid stays in use whatever happens."],
      examples: ["signet agent renew /svc/a", "signet agent renew --all"],
      reach: "agent",
    })
    .option("--all", "all identities of this node")
    .action(declare.run(renewIdentities));
  declare
    .verb(agent, "healthcheck", {
      summary: "exit 0 when every identity is valid on disk, 1 when not, 4 without an agent",
      examples: ["signet agent healthcheck", "signet agent healthcheck --wait 30s"],
      reach: "agent",
    })
    .option("--wait <DURATION>", "until it is ready; exit 5 when it is not by then", duration("--wait"))
    .action(declare.run((cli, flags: HealthFlags) => healthcheck(cli, flags, "agent")));
}

async function runAgent(cli: Cli, flags: Readonly<Record<string, unknown>>): Promise<ExitCode> {
  const printConfig = flags["printConfig"] === true;
  const joinString = printConfig
    ? undefined
    : await givenJoinString(cli, { join: flags["join"], joinFile: flags["joinFile"] });
  const options = await processOptions(cli, "agent", { settings: agentSettings, flags });
  try {
    return (await cli.starters.agent({ ...options, ...(joinString === undefined ? {} : { joinString }) })) as ExitCode;
  } catch (error) {
    throw asCliError(error, "cannot start the agent");
  }
}
