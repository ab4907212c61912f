// signet doctor --store: whether a stopped server's store is whole, and taking a copy of one as it is.
import type { Command } from "commander";
import { type Declare, riskFlags } from "./command.ts";
import { confirmed, type RiskFlags } from "./confirm.ts";
import type { Cli } from "./context.ts";
import { asCliError, CliError, type ExitCode, wrongUse } from "./failure.ts";
import { placeFlags } from "./place.ts";
import { processOptions } from "./server.ts";

export function addDoctor(program: Command, declare: Declare): void {
  riskFlags(
    declare
      .verb(program, "doctor", {
        summary: "read and check everything in the store of a server that is stopped",
        description: [
          "--accept takes the store as it is when its mark does not fit: a data directory that was moved or copied, or a mark that was lost. What was acknowledged after a copy was made is not in it: certificates may be alive that it does not know.",
        ],
        examples: ["signet doctor --store --data-dir /var/lib/signet", "signet doctor --store --accept"],
        reach: "process",
      })
      .option("--store", "check the store")
      .option("--accept", "take it as it is, whatever its mark says"),
  ).action(declare.run(doctor));
}

interface DoctorFlags extends RiskFlags {
  readonly store?: boolean;
  readonly accept?: boolean;
}

async function doctor(cli: Cli, flags: DoctorFlags): Promise<ExitCode> {
  const where = placeFlags(cli.shared);
  if (flags.store !== true)
    throw wrongUse("signet doctor checks the store: say --store", `signet doctor --store${where}`);
  const options = await processOptions(cli, "server", { settings: [], flags: {} });
  const accept = flags.accept === true;
  if (accept) {
    const go = await confirmed(cli, flags, {
      touches: [
        "  the store is taken as it is, and its mark is written anew",
        "  what was acknowledged after a copy of it was made is not in it",
      ],
      question: "take it as it is?",
      command: `signet doctor --store --accept${where}`,
    });
    if (!go) return 0;
  }
  try {
    const { dir, counts, accepted } = await cli.starters.doctor(options, { accept });
    for (const [collection, count] of Object.entries(counts)) {
      if (count > 0) cli.print.line(`${collection.padEnd(18)} ${count}`);
    }
    cli.print.note(`every record in ${dir}/store was read and is whole${accepted ? "; taken as it is" : ""}`);
    cli.print.note(`next: signet server${where}`);
    return 0;
  } catch (error) {
    const fault = storeFault(error);
    const failure = asCliError(error, fault?.code === "damaged" ? "the store is not whole" : "cannot check the store");
    if (fault?.about === "mark" && !accept) {
      throw new CliError(1, failure.message, { cure: `signet doctor --store --accept${where}`, cause: error });
    }
    // What the start of a server would advise is what was just done.
    throw fault === undefined ? failure : new CliError(failure.exit, failure.message, { cause: error });
  }
}

/** What the store itself objects to, below what others made of it. */
function storeFault(error: unknown): { readonly code: unknown; readonly about: unknown } | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each.name === "StoreError" && "code" in each && "about" in each) return each;
  }
  return undefined;
}
