// signet demo: the whole product at work, in a minute. Its own room is demo/.
import type { Command } from "commander";
import { type Declare, duration } from "./command.ts";

interface DemoFlags {
  readonly for?: number;
  readonly ttl?: number;
  readonly dir?: string;
  readonly keep?: boolean;
}

const defaultForSeconds = 60;
const defaultTtlSeconds = 20;

export function addDemo(program: Command, declare: Declare): void {
  declare
    .verb(program, "demo", {
      summary: "watch a CA, two agents and two services live through many rotations",
      description: [
        "Makes a root, starts a server, two agents and two services as processes of their own, lets the services call each other over mutual TLS, rotates what can be rotated, and lets strangers knock. It leaves nothing running.",
      ],
      examples: ["signet demo", "signet demo --for 40s --ttl 13s", "signet demo --dir ./demo --keep"],
      reach: "none",
    })
    .option("--for <DURATION>", "how long the services call each other (default: 60s)", duration("--for"))
    .option("--ttl <DURATION>", "life of the services' certificates (default: 20s)", duration("--ttl"))
    .option("--dir <DIR>", "work here and keep a/, b/, endpoints.json and events.jsonl")
    .option("--keep", "keep everything: data directories and logs too")
    .action(
      declare.run(async (cli, flags: DemoFlags) => {
        const { runDemo } = await import("./demo/demo.ts");
        return runDemo(cli, {
          forSeconds: flags.for ?? defaultForSeconds,
          ttlSeconds: flags.ttl ?? defaultTtlSeconds,
          ...(flags.dir === undefined ? {} : { dir: flags.dir }),
          keep: flags.keep === true,
        });
      }),
    );
}
