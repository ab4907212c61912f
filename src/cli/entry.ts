// signet entry: who may have which identity.
import type { Command } from "commander";
import type { EntryState } from "../../proto/gen/signet/v1/admin.ts";
import { type Declare, duration, each, idOrPath, life, riskFlags, wholeNumber } from "./command.ts";
import { confirmed, type RiskFlags } from "./confirm.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { entryColumns, entryLines } from "./entry-screen.ts";
import { CliError, type ExitCode, wrongUse } from "./failure.ts";
import { counted } from "./layout.ts";
import { namingNearest } from "./nearest-object.ts";
import { entryObject } from "./objects.ts";
import { allPages } from "./pages.ts";
import { waitForEntry } from "./wait-for-entry.ts";
import { agentName, pathUnder, trustDomainIn } from "./words.ts";

export function addEntry(program: Command, declare: Declare): void {
  const entry = declare.group(program, "entry", {
    summary: "who may have which identity: create, list, show, ...",
    examples: ["signet entry create --id /svc/a --agent one --dns a.prod.example", "signet entry list"],
  });
  declare
    .verb(entry, "create", {
      summary: "let an agent have an identity for a workload",
      description: [
        "/svc/a means spiffe://TRUST-DOMAIN/svc/a. The agent gets the identity at once and renews it for as long as the entry is there.",
      ],
      examples: [
        "signet entry create --id /svc/a --agent one --dns a.prod.example",
        "signet entry create --id /svc/db --agent db-3 --ttl 30m --wait 10s",
      ],
      reach: "admin",
      needs: ["--id", "--agent"],
    })
    .option("--id <ID>", "SPIFFE ID of the workload, or its path", idOrPath("--id"))
    .option("--agent <NAME>", "the node that gets it")
    .option("--selector <TYPE:VALUE>", "which process may have it over a socket; may be repeated", each)
    .option("--dns <NAME>", "DNS name in the certificate; may be repeated", each)
    .option("--ip <ADDRESS>", "IP address in the certificate; may be repeated", each)
    .option("--ttl <DURATION>", "life of each certificate (default: the server's)", life("--ttl"))
    .option("--hint <TEXT>", "by which a program tells identities apart")
    .option("--reason <TEXT>", "why, for the audit log")
    .option("--wait <DURATION>", "until the agent has it on disk; exit 5 when it has not by then", duration("--wait"))
    .action(declare.run(createEntry));
  declare
    .verb(entry, "list", {
      summary: "list the entries",
      examples: ["signet entry list", "signet entry list --agent one -o json"],
      reach: "admin",
    })
    .option("--agent <NAME>", "only those of this node")
    .action(declare.run(listEntries));
  declare
    .verb(entry, "show <ENTRY>", {
      summary: "show an entry, and what its agent made of it",
      examples: ["signet entry show e-1", "signet entry show /svc/a"],
      reach: "admin",
    })
    .action(declare.run(showEntry));
  declare
    .verb(entry, "update <ENTRY>", {
      summary: "change an entry",
      description: [
        "--dns, --ip and --selector replace the whole list; --add-dns and --remove-dns change it. The agent renews at once.",
      ],
      examples: ["signet entry update e-1 --add-dns admin.prod.example", "signet entry update /svc/a --ttl 30m"],
      reach: "admin",
    })
    .option("--selector <TYPE:VALUE>", "replaces the selectors; may be repeated", each)
    .option("--dns <NAME>", "replaces the DNS names; may be repeated", each)
    .option("--ip <ADDRESS>", "replaces the IP addresses; may be repeated", each)
    .option("--add-dns <NAME>", "adds a DNS name; may be repeated", each)
    .option("--remove-dns <NAME>", "takes a DNS name away; may be repeated", each)
    .option("--ttl <DURATION>", "life of each certificate", life("--ttl"))
    .option("--hint <TEXT>", "by which a program tells identities apart")
    .option("--revision <N>", "only if the entry still has this revision", wholeNumber("--revision", 1))
    .option("--reason <TEXT>", "why, for the audit log")
    .option("--wait <DURATION>", "until the agent has it on disk; exit 5 when it has not by then", duration("--wait"))
    .action(declare.run(updateEntry));
  riskFlags(
    declare
      .verb(entry, "delete <ENTRY>", {
        summary: "end an identity: it is renewed no more",
        description: ["Certificates that were issued live on to their end. The agent takes the files away then."],
        examples: ["signet entry delete e-1", "signet entry delete /svc/a --dry-run"],
        reach: "admin",
      })
      .option("--revision <N>", "only if the entry still has this revision", wholeNumber("--revision", 1)),
  ).action(declare.run(deleteEntry));
}

interface EntryFlags {
  readonly selector?: readonly string[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly ttl?: number;
  readonly hint?: string;
  readonly reason?: string;
  readonly wait?: number;
}

async function createEntry(
  cli: Cli,
  flags: EntryFlags & { readonly id: string; readonly agent: string },
): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot create the entry", async (admin) => {
    const answer = await admin.call("createEntry", {
      id: flags.id,
      agent: flags.agent,
      selectors: [...(flags.selector ?? [])],
      dnsNames: [...(flags.dns ?? [])],
      ipAddresses: [...(flags.ip ?? [])],
      ttlSeconds: flags.ttl ?? 0,
      hint: flags.hint ?? "",
      reason: flags.reason ?? "",
    });
    return finish(cli, admin, { state: answer.entry, wait: flags.wait, isNew: true });
  });
}

async function updateEntry(
  cli: Cli,
  flags: EntryFlags & {
    readonly addDns?: readonly string[];
    readonly removeDns?: readonly string[];
    readonly revision?: number;
  },
  name: string,
): Promise<ExitCode> {
  const list = (values: readonly string[] | undefined): { values: string[] } | undefined =>
    values === undefined ? undefined : { values: [...values] };
  const changes = [flags.selector, flags.dns, flags.ip, flags.addDns, flags.removeDns, flags.ttl, flags.hint];
  if (changes.every((change) => change === undefined)) {
    throw wrongUse(`nothing to change in ${name}: give --add-dns, --ttl or another flag`, "signet entry update --help");
  }
  return withAdmin<ExitCode>(cli, "cannot update the entry", async (admin) => {
    if (flags.removeDns !== undefined) await checkRemoved(admin, flags, name);
    const answer = await namingNearest(
      admin.call("updateEntry", {
        entry: name,
        expectedRevision: BigInt(flags.revision ?? 0),
        selectors: list(flags.selector),
        dnsNames: list(flags.dns),
        ipAddresses: list(flags.ip),
        addDnsNames: [...(flags.addDns ?? [])],
        removeDnsNames: [...(flags.removeDns ?? [])],
        ttlSeconds: flags.ttl,
        hint: flags.hint,
        reason: flags.reason ?? "",
      }),
      { name, names: () => entryNames(admin), cure: (near) => `signet entry show ${near}` },
    );
    return finish(cli, admin, { state: answer.entry, wait: flags.wait, isNew: false });
  });
}

// A name that is not there is misspelt: the server would take it for done.
async function checkRemoved(
  admin: AdminPeer,
  flags: {
    readonly dns?: readonly string[];
    readonly addDns?: readonly string[];
    readonly removeDns?: readonly string[];
  },
  name: string,
): Promise<void> {
  const { entry } = await getEntry(admin, name);
  const held = [...(flags.dns ?? entry?.dnsNames ?? []), ...(flags.addDns ?? [])].map((each) => each.toLowerCase());
  const missing = flags.removeDns?.find((each) => !held.includes(each.toLowerCase()));
  if (missing === undefined) return;
  const has = held.length === 0 ? "it has none" : `it has ${held.join(", ")}`;
  throw wrongUse(`${name} has no DNS name ${missing}: ${has}`, `signet entry show ${name}`);
}

// What create and update print, and the wait of both.
async function finish(
  cli: Cli,
  admin: AdminPeer,
  made: { readonly state: EntryState | undefined; readonly wait: number | undefined; readonly isNew: boolean },
): Promise<ExitCode> {
  const { print } = cli;
  const { state } = made;
  if (state?.entry === undefined) throw new CliError(1, "the server answered without the entry");
  const early = made.wait === undefined || print.format === "table";
  if (early) await printEntry(cli, state);
  if (made.wait === undefined) {
    if (made.isNew && !state.agentJoined)
      print.hint(`next: signet token create --agent ${agentName(state.entry.agentId)}`);
    return 0;
  }
  const waited = await waitForEntry(cli, admin, { state, seconds: made.wait });
  if (!early) await print.value({ ...entryObject(waited.state), onDisk: waited.exit === 0 });
  return waited.exit;
}

async function printEntry(cli: Cli, state: EntryState): Promise<void> {
  const { print } = cli;
  if (print.format !== "table") await print.value(entryObject(state));
  else if (print.quiet) print.line(state.entry?.entryId ?? "");
  else for (const line of entryLines(state, { now: cli.clock.now(), width: print.width })) print.line(line);
}

async function listEntries(cli: Cli, flags: { readonly agent?: string }): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot list the entries", async (admin) => {
    const { print } = cli;
    const states = await everyEntry(admin, flags.agent ?? "");
    if (print.format !== "table") {
      await print.value(states.map(entryObject));
      return 0;
    }
    if (print.quiet) {
      for (const { entry } of states) print.line(entry?.entryId ?? "");
      return 0;
    }
    if (states.length === 0) {
      print.hint(flags.agent === undefined ? "no entries" : `no entries of ${flags.agent}`);
      print.hint(`next: signet entry create --id /svc/a --agent ${flags.agent ?? "NAME"}`);
      return 0;
    }
    const trustDomain = trustDomainIn(states[0]?.entry?.spiffeId);
    print.line(trustDomain);
    print.table(entryColumns(trustDomain, cli.clock.now()), states);
    return 0;
  });
}

async function showEntry(cli: Cli, _flags: unknown, name: string): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot show the entry", async (admin) => {
    const state = await getEntry(admin, name);
    await printEntry(cli, state);
    if (!state.agentJoined && state.entry !== undefined) {
      cli.print.hint(`next: signet token create --agent ${agentName(state.entry.agentId)}`);
    }
    return 0;
  });
}

async function deleteEntry(
  cli: Cli,
  flags: RiskFlags & { readonly revision?: number },
  name: string,
): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot delete the entry", async (admin) => {
    const { print } = cli;
    const state = await getEntry(admin, name);
    const entry = state.entry;
    if (entry === undefined) throw new CliError(1, "the server answered without the entry");
    const trustDomain = trustDomainIn(entry.spiffeId);
    const { certificates } = await admin.call("listCertificates", {
      spiffeId: entry.spiffeId,
      authority: "",
      live: true,
      pageSize: 100,
      pageToken: "",
    });
    const last = certificates.reduce<Date | undefined>(
      (latest, { notAfter }) =>
        notAfter !== undefined && (latest === undefined || notAfter > latest) ? notAfter : latest,
      undefined,
    );
    const { endsShort } = await import("./moments.ts");
    const go = await confirmed(cli, flags, {
      touches: [
        `${entry.entryId}  ${entry.spiffeId} for ${pathUnder(trustDomain, entry.agentId)}`,
        last === undefined
          ? "  no certificate of it is alive"
          : `  ${counted(certificates.length, "certificate")} of it ${certificates.length === 1 ? "stays" : "stay"} valid, the last until ${endsShort(last, cli.clock.now())}`,
        "  the agent renews it no more and then removes its files",
      ],
      question: "delete it?",
      command: `signet entry delete ${entry.entryId}`,
    });
    if (!go) return 0;
    const answer = await admin.call("deleteEntry", {
      entry: entry.entryId,
      // What was shown is what is deleted: somebody may have changed it during the question.
      expectedRevision: BigInt(flags.revision ?? entry.revision),
      reason: flags.reason ?? "",
      revoke: false,
      dryRun: false,
    });
    if (print.format !== "table") await print.value(answer.entry === undefined ? {} : entryObject(answer.entry));
    else print.line(print.quiet ? entry.entryId : `${entry.entryId} deleted: ${entry.spiffeId} is renewed no more`);
    return 0;
  });
}

async function getEntry(admin: AdminPeer, name: string): Promise<EntryState> {
  const { entry } = await namingNearest(admin.call("getEntry", { entry: name }), {
    name,
    names: () => entryNames(admin),
    cure: (near) => `signet entry show ${near}`,
  });
  if (entry === undefined) throw new CliError(1, "the server answered without the entry");
  return entry;
}

function everyEntry(admin: AdminPeer, agent: string): Promise<readonly EntryState[]> {
  return allPages(async (page) => {
    const answer = await admin.call("listEntries", { agent, ...page });
    return { items: answer.entries, next: answer.nextPageToken };
  });
}

async function entryNames(admin: AdminPeer): Promise<readonly string[]> {
  const states = await everyEntry(admin, "");
  return states.flatMap(({ entry }) =>
    entry === undefined
      ? []
      : [entry.entryId, entry.spiffeId, pathUnder(trustDomainIn(entry.spiffeId), entry.spiffeId)],
  );
}
