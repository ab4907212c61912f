// signet authority: the roots and intermediates.

import { createHash } from "node:crypto";
import type { Command } from "commander";
import type { Authority } from "../../proto/gen/signet/v1/admin.ts";
import { encodePem } from "../x509/pem.ts";
import { rotateAuthority } from "./authority-rotate.ts";
import { type Declare, duration } from "./command.ts";
import { withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode } from "./failure.ts";
import { type Column, counted, facts, grouped, plain } from "./layout.ts";
import { ends, endsShort, moment, when } from "./moments.ts";
import { namingNearest } from "./nearest-object.ts";
import { authorityObject } from "./objects.ts";
import { authorityState, keyType, toneOf } from "./words.ts";

export function addAuthority(program: Command, declare: Declare): void {
  const authority = declare.group(program, "authority", {
    summary: "the root and its intermediates: list, show, rotate",
    examples: ["signet authority list", "signet authority rotate --wait"],
  });
  declare
    .verb(authority, "list", {
      summary: "list the authorities: state, end, live leaves, what comes next",
      examples: ["signet authority list", "signet authority list -o json"],
      reach: "admin",
    })
    .action(declare.run(listAuthorities));
  declare
    .verb(authority, "show <NAME>", {
      summary: "show an authority",
      examples: ["signet authority show int-1", "signet authority show root-1 -o pem > root.pem"],
      reach: "admin",
      outputs: ["table", "json", "yaml", "pem"],
    })
    .action(declare.run(showAuthority));
  declare
    .verb(authority, "rotate", {
      summary: "make a new intermediate now and let it sign",
      description: [
        "Nobody waits for it: leaves carry their intermediate, and the old one stays until its last leaf has ended. When the root key is not on the server, give it with --root-key: it is decrypted here and used for this one signature.",
      ],
      examples: [
        "signet authority rotate --wait",
        "signet authority rotate --root-key root-1.key --reason 'root kept outside'",
      ],
      reach: "admin",
    })
    .option("--root-key <FILE>", "key of the root, PKCS#8 PEM, encrypted or not")
    .option("--root-passphrase-file <FILE>", "file with the passphrase of that key")
    .option("--key-type <TYPE>", "ec-p256, ec-p384, rsa-2048, rsa-3072 or ed25519 (default: as now)")
    .option(
      "--wait [DURATION]",
      "until every agent and identity has a leaf under the new one; exit 5 after DURATION",
      (text: string) => duration("--wait")(text),
    )
    .option("--reason <TEXT>", "why, for the audit log")
    .action(declare.run(rotateAuthority));
}

async function listAuthorities(cli: Cli): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot list the authorities", async (admin) => {
    const { print } = cli;
    const { authorities } = await admin.call("listAuthorities", {});
    if (print.format !== "table") await print.value(authorities.map(authorityObject));
    else if (print.quiet) for (const { name } of authorities) print.line(name);
    else print.table(authorityColumns(cli.clock.now()), authorities);
    return 0;
  });
}

/** The table of authorities, here and in `signet status`. */
export function authorityColumns(now: Date): readonly Column<Authority>[] {
  return [
    { head: "AUTHORITY", cell: ({ name }) => name },
    { head: "STATE", cell: ({ state }) => authorityState(state), tone: ({ state }) => toneOf(authorityState(state)) },
    { head: "ENDS", cell: ({ notAfter }) => endsShort(notAfter, now) },
    { head: "LEAVES", cell: ({ kind, liveLeaves }) => (kind === "root" ? "" : grouped(liveLeaves)) },
    { head: "NEXT", cell: (authority) => nextOf(authority, now) },
  ];
}

function nextOf(authority: Authority, now: Date): string {
  const next = [authority.nextStep, when(authority.nextStepAt, now)].filter((part) => part !== "").join(" ");
  return authority.blockedBy === "" ? next : `${next === "" ? "" : `${next}, `}waits: ${authority.blockedBy}`;
}

async function showAuthority(cli: Cli, _flags: unknown, name: string): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot show the authority", async (admin) => {
    const { print } = cli;
    const { authority } = await namingNearest(admin.call("getAuthority", { name }), {
      name,
      names: async () => (await admin.call("listAuthorities", {})).authorities.map((each) => each.name),
      cure: (near) => `signet authority show ${near}`,
    });
    if (authority === undefined) throw new CliError(1, "the server answered without the authority");
    if (cli.shared.output === "pem") print.raw(encodePem("CERTIFICATE", authority.certificateDer));
    else if (print.format !== "table") await print.value(authorityObject(authority));
    else if (print.quiet) print.line(authorityState(authority.state));
    else printAuthority(cli, authority);
    return 0;
  });
}

function printAuthority(cli: Cli, authority: Authority): void {
  const { print } = cli;
  const now = cli.clock.now();
  const state = authorityState(authority.state);
  const fingerprint = createHash("sha256").update(authority.certificateDer).digest("hex");
  const since = authority.activatedAt ?? authority.preparedAt;
  print.line(
    `${plain(authority.name)}  ${print.paint(state, toneOf(state))}${since === undefined ? "" : `, since ${moment(since, now)}`}`,
  );
  const isRoot = authority.kind === "root";
  const lines = facts(
    [
      [
        "is",
        isRoot
          ? `a root, ${keyType(authority.keyType)}`
          : `an intermediate under ${authority.parent}, ${keyType(authority.keyType)}`,
      ],
      ["ends", ends(authority.notAfter, now)],
      ["serves", authority.serves.join(", ")],
      [
        "leaves",
        isRoot
          ? ""
          : `${counted(authority.liveLeaves, "live leaf", "live leaves")}${authority.lastLeafEnds === undefined ? "" : `, the last until ${endsShort(authority.lastLeafEnds, now)}`}`,
      ],
      ["next", nextOf(authority, now)],
      ["key", `${authority.keyOnServer ? "on this server" : "not on this server"}, identifier ${authority.keyId}`],
      ["CRL", authority.crlNextUpdate === undefined ? "" : `valid until ${endsShort(authority.crlNextUpdate, now)}`],
      ["retired", authority.retiredAt === undefined ? "" : moment(authority.retiredAt, now)],
      ["SHA-256", fingerprint],
    ],
    { width: print.width },
  );
  for (const line of lines) print.line(line);
}
