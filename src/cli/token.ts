// signet token: join strings for new nodes.
import type { Command } from "commander";
import type { Token } from "../../proto/gen/signet/v1/admin.ts";
import { nearest } from "../platform/nearest.ts";
import { type Declare, each, life, riskFlags } from "./command.ts";
import { confirmed, type RiskFlags } from "./confirm.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode } from "./failure.ts";
import { ago, left, moment } from "./moments.ts";
import { tokenObject } from "./objects.ts";
import { allPages } from "./pages.ts";
import { agentName, pathUnder, tokenState, toneOf, trustDomainIn } from "./words.ts";

const defaultTtlSeconds = 600;

export function addToken(program: Command, declare: Declare): void {
  const token = declare.group(program, "token", {
    summary: "join strings for new nodes: create, list, revoke",
    examples: ["signet token create --agent one"],
  });
  declare
    .verb(token, "create", {
      summary: "make a join string for one node",
      description: [
        "The join string holds all that a node needs to join: the trust domain, where the server is, its roots, and a secret. It works once and is shown once. The last line of the output is the string.",
      ],
      examples: [
        "signet token create --agent one",
        "signet token create --agent db-3 --ttl 1h --address ca.prod.example:7443",
      ],
      reach: "admin",
      needs: ["--agent"],
    })
    .option("--agent <NAME>", "name of the node, or its SPIFFE ID")
    .option("--ttl <DURATION>", "how long it may be used (default: 10m)", life("--ttl"))
    .option("--address <HOST:PORT>", "where the node reaches the server; may be repeated", each)
    .option(
      "--replace",
      "a node of this name that is alive is cut off when the string is used: what it holds is revoked",
    )
    .option("--reason <TEXT>", "why, for the audit log")
    .action(declare.run(createToken));
  declare
    .verb(token, "list", {
      summary: "list the join strings that were made",
      examples: ["signet token list", "signet token list -o json"],
      reach: "admin",
    })
    .action(declare.run(listTokens));
  riskFlags(
    declare.verb(token, "revoke <TOKEN>", {
      summary: "make a join string useless that was not used",
      examples: [
        "signet token revoke 5d1c07aa9a1e",
        "signet token revoke 5d1c07aa9a1e --yes --reason 'sent to the wrong host'",
      ],
      reach: "admin",
    }),
  ).action(declare.run(revokeToken));
}

interface CreateFlags {
  readonly agent: string;
  readonly ttl?: number;
  readonly address?: readonly string[];
  readonly replace?: boolean;
  readonly reason?: string;
}

async function createToken(cli: Cli, flags: CreateFlags): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot make a join string", async (admin) => {
    const answer = await admin.call("createToken", {
      agent: flags.agent,
      ttlSeconds: flags.ttl ?? defaultTtlSeconds,
      addresses: [...(flags.address ?? [])],
      replace: flags.replace === true,
      fingerprint: "",
      reason: flags.reason ?? "",
    });
    const { token, joinString, addresses } = answer;
    if (cli.print.format !== "table") {
      await cli.print.value({ ...(token === undefined ? {} : tokenObject(token)), joinString, addresses });
      return 0;
    }
    const now = cli.clock.now();
    if (token?.expiresAt !== undefined) {
      cli.print.hint(
        `for ${token.spiffeId}, works once, until ${moment(token.expiresAt, now)} (${left(token.expiresAt, now)})`,
      );
    }
    cli.print.hint(
      `it holds ${addresses.join(", ")}${loopbackOnly(addresses) ? ", reachable from this host only; other nodes: --address" : ""}`,
    );
    cli.print.hint("on the node: signet agent --join-file -     then paste this line");
    cli.print.line(joinString);
    return 0;
  });
}

function loopbackOnly(addresses: readonly string[]): boolean {
  return addresses.length > 0 && addresses.every((address) => /^(127\.|\[::1\]|localhost:)/.test(address));
}

async function listTokens(cli: Cli): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot list the join strings", async (admin) => {
    const { print } = cli;
    const tokens = await everyToken(admin);
    if (print.format !== "table") {
      await print.value(tokens.map(tokenObject));
      return 0;
    }
    if (print.quiet) {
      for (const token of tokens) print.line(token.tokenId);
      return 0;
    }
    if (tokens.length === 0) {
      print.hint("no join strings");
      print.hint("next: signet token create --agent NAME");
      return 0;
    }
    const now = cli.clock.now();
    const trustDomain = trustDomainIn(tokens[0]?.spiffeId);
    print.line(trustDomain);
    print.table<Token>(
      [
        { head: "TOKEN", cell: (token) => token.tokenId },
        { head: "NODE", cell: (token) => pathUnder(trustDomain, token.spiffeId) },
        { head: "STATE", cell: (token) => tokenState(token.state), tone: (token) => toneOf(tokenState(token.state)) },
        { head: "UNTIL", cell: (token) => untilOf(token, now) },
        { head: "USED", cell: (token) => usedOf(token, now) },
      ],
      tokens,
    );
    const stolen = tokens.find((token) => token.reused > 0);
    if (stolen !== undefined) {
      print.hint(`try: signet node show ${agentName(stolen.spiffeId)}, and ask whether that node is yours`);
    }
    return 0;
  });
}

function untilOf(token: Token, now: Date): string {
  if (token.expiresAt === undefined) return "";
  return tokenState(token.state) === "open"
    ? `${moment(token.expiresAt, now)}, ${left(token.expiresAt, now)}`
    : moment(token.expiresAt, now);
}

function usedOf(token: Token, now: Date): string {
  if (token.usedAt === undefined) return "";
  const used = `${ago(token.usedAt, now)} from ${token.usedFrom}`;
  return token.reused === 0 ? used : `${used}; then tried ${token.reused} x with another key`;
}

async function revokeToken(cli: Cli, flags: RiskFlags, tokenId: string): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot revoke the join string", async (admin) => {
    const tokens = await everyToken(admin);
    const matching = tokens.filter((token) => token.tokenId.startsWith(tokenId.toLowerCase()));
    const [held, second] = matching;
    if (held === undefined) {
      const near = nearest(
        tokenId,
        tokens.map((token) => token.tokenId),
      );
      throw new CliError(1, `no join string ${tokenId}${near === undefined ? "" : `: the nearest is ${near}`}`, {
        cure: "signet token list",
      });
    }
    if (second !== undefined) {
      throw new CliError(
        2,
        `${tokenId} is not enough: ${matching.map((token) => token.tokenId).join(", ")} begin with it`,
      );
    }
    const now = cli.clock.now();
    const state = tokenState(held.state);
    const go = await confirmed(cli, flags, {
      touches: [
        `join string ${held.tokenId} for ${held.spiffeId}`,
        state === "open" && held.expiresAt !== undefined
          ? `  open until ${moment(held.expiresAt, now)} (${left(held.expiresAt, now)}); nobody can join with it afterwards`
          : `  it is ${state} already`,
      ],
      question: "revoke it?",
      command: `signet token revoke ${held.tokenId}`,
    });
    if (!go) return 0;
    const { token } = await admin.call("revokeToken", { tokenId: held.tokenId, reason: flags.reason ?? "" });
    if (cli.print.format !== "table") {
      await cli.print.value(token === undefined ? {} : tokenObject(token));
    } else {
      cli.print.line(cli.print.quiet ? held.tokenId : `join string ${held.tokenId} revoked`);
    }
    return 0;
  });
}

function everyToken(admin: AdminPeer): Promise<readonly Token[]> {
  return allPages(async (page) => {
    const answer = await admin.call("listTokens", { ...page });
    return { items: answer.tokens, next: answer.nextPageToken };
  });
}
