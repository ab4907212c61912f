// signet node: the agents, as the server sees them.
import type { Command } from "commander";
import type { Node } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { foreign } from "../platform/foreign-text.ts";
import { type Declare, duration, wholeNumber } from "./command.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import { CliError, type ExitCode } from "./failure.ts";
import { type Column, facts, plain } from "./layout.ts";
import { ago, ends, endsShort, when } from "./moments.ts";
import { namingNearest } from "./nearest-object.ts";
import { nodeObject } from "./objects.ts";
import { allPages } from "./pages.ts";
import { agentName, identityState, nodeState, pathUnder, spaced, toneOf, trustDomainIn } from "./words.ts";

export function addNode(program: Command, declare: Declare): void {
  const node = declare.group(program, "node", {
    summary: "the agents, one a node: list, show",
    examples: ["signet node list"],
  });
  declare
    .verb(node, "list", {
      summary: "list the nodes: state, bundle on disk, last seen",
      examples: ["signet node list", "signet node list --bundle-below 8", "signet node list --not-seen 1h -o json"],
      reach: "admin",
    })
    .option("--bundle-below <N>", "only those with an older bundle on disk", wholeNumber("--bundle-below", 1))
    .option("--not-seen <DURATION>", "only those not seen for so long", duration("--not-seen"))
    .action(declare.run(listNodes));
  declare
    .verb(node, "show <NODE>", {
      summary: "show a node and the identities it holds",
      examples: ["signet node show one", "signet node show spiffe://prod.example/agent/one -o json"],
      reach: "admin",
    })
    .action(declare.run(showNode));
}

async function listNodes(
  cli: Cli,
  flags: { readonly bundleBelow?: number; readonly notSeen?: number },
): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot list the nodes", async (admin) => {
    const { print } = cli;
    const nodes = await everyNode(admin, {
      bundleBelow: BigInt(flags.bundleBelow ?? 0),
      notSeenSeconds: flags.notSeen ?? 0,
    });
    if (print.format !== "table") {
      await print.value(nodes.map(nodeObject));
      return 0;
    }
    if (print.quiet) {
      for (const node of nodes) print.line(agentName(node.spiffeId));
      return 0;
    }
    if (nodes.length === 0) {
      const filtered = flags.bundleBelow !== undefined || flags.notSeen !== undefined;
      print.hint(filtered ? "no node is like that" : "no nodes yet");
      if (!filtered) print.hint("next: signet token create --agent NAME");
      return 0;
    }
    const trustDomain = trustDomainIn(nodes[0]?.spiffeId);
    const now = cli.clock.now();
    print.line(trustDomain);
    print.table<Node>(columns(trustDomain, now), nodes);
    const heldBack = nodes.filter((node) => node.heldBackBy !== "");
    for (const node of heldBack)
      print.sentence(`${pathUnder(trustDomain, node.spiffeId)} is held back: ${foreign(node.heldBackBy)}`);
    const [held] = heldBack;
    if (held !== undefined) print.hint(`try: signet node show ${agentName(held.spiffeId)}`);
    return 0;
  });
}

function columns(trustDomain: string, now: Date): readonly Column<Node>[] {
  return [
    { head: "NODE", cell: (node) => pathUnder(trustDomain, node.spiffeId) },
    { head: "STATE", cell: (node) => nodeState(node.state), tone: (node) => toneOf(nodeState(node.state)) },
    { head: "SEEN", cell: (node) => ago(node.lastSeenAt, now) },
    { head: "ENDS", cell: (node) => endsShort(node.notAfter, now), drop: 1 },
    { head: "BUNDLE", cell: (node) => String(node.bundleSequence), right: true },
    { head: "IDS", cell: (node) => String(node.identities.length), right: true },
    { head: "OLDEST", cell: (node) => endsShort(firstEnd(node), now), drop: 4 },
    { head: "CLOCK", cell: (node) => offset(node.clockOffsetSeconds), drop: 3, right: true },
    { head: "VERSION", cell: (node) => foreign(node.version), drop: 2 },
  ];
}

function firstEnd(node: Node): Date | undefined {
  const dates = node.identities.flatMap(({ notAfter }) => (notAfter === undefined ? [] : [notAfter]));
  return dates.length === 0 ? undefined : new Date(Math.min(...dates.map((date) => date.getTime())));
}

function offset(seconds: number): string {
  const shown = Math.abs(seconds).toFixed(1);
  return `${shown === "0.0" ? "" : seconds < 0 ? "-" : "+"}${shown} s`;
}

async function showNode(cli: Cli, _flags: unknown, name: string): Promise<ExitCode> {
  return withAdmin<ExitCode>(cli, "cannot show the node", async (admin) => {
    const { print } = cli;
    const { node } = await namingNearest(admin.call("getNode", { node: name }), {
      name,
      names: async () => {
        const nodes = await everyNode(admin, { bundleBelow: 0n, notSeenSeconds: 0 });
        return nodes.flatMap((each) => [agentName(each.spiffeId), each.spiffeId]);
      },
      cure: (near) => `signet node show ${near}`,
    });
    if (node === undefined) throw new CliError(1, "the server answered without the node");
    if (print.format !== "table") {
      await print.value(nodeObject(node));
    } else if (print.quiet) {
      print.line(nodeState(node.state));
    } else {
      printNode(cli, node);
    }
    return 0;
  });
}

function printNode(cli: Cli, node: Node): void {
  const { print } = cli;
  const now = cli.clock.now();
  const trustDomain = trustDomainIn(node.spiffeId);
  const state = nodeState(node.state);
  print.line(`${plain(node.spiffeId)}  ${print.paint(state, toneOf(state))}`);
  const pairs: readonly (readonly [string, string])[] = [
    [
      "seen",
      `${ago(node.lastSeenAt, now)}${node.address === "" ? "" : ` from ${foreign(node.address)}`}, ${node.connected ? "connected" : "not connected"}`,
    ],
    ["joined", `${ago(node.joinedAt, now)}${node.attestation === "" ? "" : ` by ${spaced(node.attestation)}`}`],
    ["itself", `until ${ends(node.notAfter, now)}, serial ${node.serialHex}`],
    ["on disk", `bundle ${node.bundleSequence}, deny list ${node.deniedSequence}, entries at ${node.entryRevision}`],
    ["held back", foreign(node.heldBackBy)],
    [
      "clock",
      `${Math.abs(node.clockOffsetSeconds).toFixed(1)} s ${node.clockOffsetSeconds < 0 ? "behind" : "ahead of"} the server's`,
    ],
    ["runs", node.version === "" ? "" : `signet ${foreign(node.version)}`],
  ];
  for (const line of facts(pairs, { width: print.width })) print.line(line);
  if (node.identities.length === 0) return;
  print.table(
    [
      { head: "ID", cell: (identity) => pathUnder(trustDomain, identity.spiffeId) },
      { head: "ENDS", cell: (identity) => endsShort(identity.notAfter, now) },
      { head: "RENEWS", cell: (identity) => when(identity.renewAt, now), drop: 1 },
      {
        head: "STATE",
        cell: (identity) => {
          const word = spaced(identityState(identity.state));
          return identity.lastError === "" ? word : `${word}: ${foreign(identity.lastError)}`;
        },
        tone: (identity) => toneOf(identityState(identity.state)),
      },
    ],
    node.identities,
  );
  if (node.state === 3) {
    print.hint(
      `${formatDuration(Math.max(0, (now.getTime() - (node.notAfter ?? now).getTime()) / 1000))} after its end it still comes back by its key, within agent_grace`,
    );
  }
}

function everyNode(
  admin: AdminPeer,
  wanted: { readonly bundleBelow: bigint; readonly notSeenSeconds: number },
): Promise<readonly Node[]> {
  return allPages(async (page) => {
    const answer = await admin.call("listNodes", { ...wanted, ...page });
    return { items: answer.nodes, next: answer.nextPageToken };
  });
}
