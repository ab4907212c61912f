// The question before what destroys or loosens.
import type { Cli } from "./context.ts";
import { CliError } from "./failure.ts";

/** Flags of every command that destroys or loosens. */
export interface RiskFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly reason?: string;
}

/**
 * True when it shall be done. Shows `touches` first, on stderr. With --dry-run that is all; without a terminal and
 * without --yes it throws exit 2 and nothing is done; a "no" throws exit 1.
 */
export async function confirmed(
  cli: Cli,
  flags: RiskFlags,
  risk: { readonly touches: readonly string[]; readonly question: string; readonly command: string },
): Promise<boolean> {
  const { print, input } = cli;
  if (flags.dryRun === true) {
    for (const line of risk.touches) {
      if (print.format === "table") print.line(line);
      else print.note(line);
    }
    print.note("dry run: nothing done");
    return false;
  }
  if (flags.yes === true) return true;
  for (const line of risk.touches) print.note(line);
  if (!input.isTerminal || !cli.err.isTerminal) {
    throw new CliError(2, "nothing done: this asks first, and there is no terminal to answer on", {
      cure: `${risk.command} --yes`,
    });
  }
  const interrupted = cli.interrupts.signal();
  print.progress(`${risk.question} [y/N] `);
  const answer = (await input.line(interrupted))?.trim().toLowerCase();
  if (interrupted.aborted) {
    print.progress("\n");
    throw new CliError(130, "nothing done: interrupted");
  }
  if (answer === "y" || answer === "yes") return true;
  throw new CliError(1, "nothing done: the answer was no");
}
