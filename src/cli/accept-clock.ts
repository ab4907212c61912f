// signet server accept-clock: an admin says that the clock is right, whatever it did.
import { formatDuration } from "../platform/durations.ts";
import { confirmed, type RiskFlags } from "./confirm.ts";
import { withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import type { ExitCode } from "./failure.ts";
import { facts, plain } from "./layout.ts";

export async function acceptClock(cli: Cli, flags: RiskFlags): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot accept the clock", async (admin) => {
    const { print } = cli;
    const reason = flags.reason ?? "";
    const found = await admin.call("acceptClock", { reason, dryRun: true });
    const time = found.serverTime === undefined ? "" : `${found.serverTime.toISOString().slice(0, 19)}Z`;
    const object = (accepted: boolean): object => ({
      serverTime: found.serverTime,
      sure: found.already || accepted,
      accepted,
      wasUnsureBecause: found.wasUnsureBecause,
    });
    if (found.already) {
      if (print.format !== "table") await print.value(object(false));
      else if (!print.quiet) print.sentence(`nothing to accept: the server is sure of its clock, which says ${time}`);
      return 0;
    }
    const here = cli.clock.now();
    const off = found.serverTime === undefined ? 0 : Math.round((found.serverTime.getTime() - here.getTime()) / 1000);
    const away =
      Math.abs(off) < 2 ? "" : `, ${formatDuration(Math.abs(off))} ${off < 0 ? "behind" : "ahead of"} this host's`;
    const pairs = [
      ["it says", `${time}${away}`],
      ["because", plain(found.wasUnsureBecause)],
      ["then", "the server signs by it: what it issues begins and ends by this clock"],
    ] as const;
    const touches = facts(pairs, { width: Math.min(print.width, 80) });
    const risk = { touches, question: `is ${time} the time?`, command: "signet server accept-clock" };
    if (!(await confirmed(cli, flags, risk))) return 0;
    const done = await admin.call("acceptClock", { reason, dryRun: false });
    if (print.format !== "table") await print.value(object(!done.already));
    else if (!print.quiet) {
      const at = done.serverTime === undefined ? time : `${done.serverTime.toISOString().slice(0, 19)}Z`;
      print.line(done.already ? `the clock is sure again: ${at}` : `clock accepted: ${at}; the server issues again`);
    }
    return 0;
  });
}
