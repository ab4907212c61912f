// signet authority rotate: a new intermediate, and the watch over the old one.
import type { RotateAuthorityResponse } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode, wrongUse } from "./failure.ts";
import { bar, counted, grouped, plain } from "./layout.ts";
import { left, moment, secondsTo } from "./moments.ts";
import { authorityObject } from "./objects.ts";
import { startProgress } from "./progress.ts";
import { readRootKeyPem } from "./root-key-file.ts";
import { keyType, pathUnder, rotateStep, trustDomainIn } from "./words.ts";

export interface RotateFlags {
  readonly rootKey?: string;
  readonly rootPassphraseFile?: string;
  readonly keyType?: string;
  /** The intermediate of the devices instead of that of the services. */
  readonly devices?: boolean;
  /** `true` when it was given without a duration. */
  readonly wait?: number | true;
  readonly reason?: string;
}

const keyTypes: readonly string[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];

export async function rotateAuthority(cli: Cli, flags: RotateFlags): Promise<ExitCode> {
  if (flags.keyType !== undefined && !keyTypes.includes(flags.keyType)) {
    throw wrongUse(`--key-type ${flags.keyType}: it is one of ${keyTypes.join(", ")}`);
  }
  if (flags.rootPassphraseFile !== undefined && flags.rootKey === undefined) {
    throw wrongUse("--root-passphrase-file goes with --root-key", "signet authority rotate --help");
  }
  const rootKeyPem =
    flags.rootKey === undefined ? undefined : await readRootKeyPem(flags.rootKey, flags.rootPassphraseFile);
  const watch = flags.wait !== undefined;
  return withAdmin<ExitCode>(cli, "cannot rotate the intermediate", async (admin) => {
    const view = createView(cli, { watch, trustDomain: await trustDomainOf(admin) });
    const interrupted = cli.interrupts.signal();
    const over = new AbortController();
    const timer = typeof flags.wait === "number" ? setTimeout(() => over.abort(), flags.wait * 1000) : undefined;
    let latest: RotateAuthorityResponse | undefined;
    try {
      const request = {
        rootKeyPem: Buffer.from(rootKeyPem ?? ""),
        watch,
        reason: flags.reason ?? "",
        keyType: flags.keyType ?? "",
        serves: flags.devices === true ? "devices" : "services",
      };
      for await (const answer of admin.stream(
        "rotateAuthority",
        request,
        AbortSignal.any([interrupted, over.signal]),
      )) {
        latest = answer;
        view.show(answer);
      }
    } finally {
      clearTimeout(timer);
      view.stop();
    }
    const name = latest?.authority?.name ?? "the new intermediate";
    if (interrupted.aborted) {
      throw new CliError(130, `interrupted: the rotation to ${name} goes on`, { cure: "signet status" });
    }
    if (over.signal.aborted && typeof flags.wait === "number") {
      await view.end(latest);
      cli.print.note(
        `signet: not over after ${formatDuration(flags.wait)}: ${movedText(latest)}the rotation to ${name} goes on`,
      );
      cli.print.note("try: signet status");
      return 5;
    }
    if (latest === undefined)
      throw new CliError(1, "cannot rotate the intermediate: the server said nothing", { cure: "signet status" });
    await view.end(latest);
    return 0;
  });
}

interface View {
  show(answer: RotateAuthorityResponse): void;
  /** Takes what is redrawn away. */
  stop(): void;
  /** What is printed when all is said. */
  end(latest: RotateAuthorityResponse | undefined): Promise<void>;
}

function createView(cli: Cli, options: { readonly watch: boolean; readonly trustDomain: string }): View {
  const { watch } = options;
  const { print } = cli;
  const words = print.format === "table" && !print.quiet;
  const progress = startProgress(cli, {
    afterMs: watch ? 0 : 1000,
    leaves: "             Ctrl-C stops the watching, not the rotation",
  });
  const said = new Set<string>();
  const once = (step: string, text: string): void => {
    if (said.has(step) || !words) return;
    said.add(step);
    progress.clear();
    print.line(text);
  };
  return {
    show: (answer) => {
      const { authority } = answer;
      const now = cli.clock.now();
      const step = rotateStep(answer.step);
      if (authority === undefined) return;
      once("head", `${headOf(answer)}${options.trustDomain === "" ? "" : ` in ${plain(options.trustDomain)}`}`);
      if (step !== "unknown") {
        const until = authority.notAfter === undefined ? "" : `, until ${moment(authority.notAfter, now)}`;
        once("prepared", `  prepared   ${plain(authority.name)}, ${keyType(authority.keyType)}${until}`);
      }
      if (step === "waiting" && words) {
        progress.update(`  waiting    for the empty CRL of ${plain(authority.name)} at ${agents(answer)}`);
      }
      if (step === "activated" || step === "moving" || step === "done") {
        once("activated", `  activated  ${plain(authority.name)} signs every new leaf`);
        if (answer.waitingFor.length > 0)
          once("missing", `  without    the empty CRL at ${agents(answer)}: gave up waiting`);
      }
      if (step === "moving" && watch && words) progress.update(movingText(answer, now));
      if (step === "done") {
        once("done", `  done       every agent and identity has its newest leaf under ${plain(authority.name)}`);
        once("old", oldText(answer, now));
      }
    },
    stop: () => progress.stop(),
    end: async (latest) => {
      if (latest === undefined) return;
      if (print.format !== "table") {
        await print.value({
          step: rotateStep(latest.step),
          ...(latest.authority === undefined ? {} : { authority: authorityObject(latest.authority) }),
          ...(latest.previous === undefined ? {} : { previous: authorityObject(latest.previous) }),
          waitingFor: latest.waitingFor,
          leavesMoved: String(latest.leavesMoved),
          leavesTotal: String(latest.leavesTotal),
        });
      } else if (print.quiet) {
        print.line(latest.authority?.name ?? "");
      } else if (!watch && latest.previous !== undefined) {
        once("old", oldText(latest, cli.clock.now()));
        print.hint("next: signet status --watch");
      }
    },
  };
}

// Only for the heading: without it the rotation is just as good.
async function trustDomainOf(admin: AdminPeer): Promise<string> {
  try {
    return (await admin.call("getTrustBundle", {})).bundle?.trustDomain ?? "";
  } catch {
    return "";
  }
}

function headOf(answer: RotateAuthorityResponse): string {
  const names = [answer.previous?.name, answer.authority?.name].filter((name) => name !== undefined && name !== "");
  return plain(names.join(" > "));
}

// The old one signs no more, but what it signed is valid to its end.
function oldText({ previous, lastLeafEnds }: RotateAuthorityResponse, now: Date): string {
  const name = plain(previous?.name ?? "the old one");
  const isOver = lastLeafEnds === undefined || secondsTo(lastLeafEnds, now) <= 0;
  const ends = isOver ? "" : `${moment(lastLeafEnds, now)}, ${left(lastLeafEnds, now)}`;
  return `  old        ${name} ${isOver ? "has no live leaf any more" : `is dropped with its last leaf: ${ends}`}`;
}

function movingText(answer: RotateAuthorityResponse, now: Date): string {
  const { leavesMoved, leavesTotal, movedBy } = answer;
  const rest = movedBy === undefined ? "" : `, ${left(movedBy, now)}`;
  return `  moving     ${bar(Number(leavesMoved), Number(leavesTotal))} ${grouped(leavesMoved)} of ${counted(leavesTotal, "leaf", "leaves")}${rest}`;
}

function movedText(latest: RotateAuthorityResponse | undefined): string {
  if (latest === undefined || latest.leavesTotal === 0n) return "";
  return `${grouped(latest.leavesMoved)} of ${counted(latest.leavesTotal, "leaf", "leaves")} moved; `;
}

function agents(answer: RotateAuthorityResponse): string {
  const [first, second, ...more] = answer.waitingFor.map((id) => plain(pathUnder(trustDomainIn(id), id)));
  const named = [first, second].filter((name) => name !== undefined).join(", ");
  return more.length === 0 ? named || "its agents" : `${named} and ${counted(more.length, "other")}`;
}
