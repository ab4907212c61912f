// signet explain: what the issuing line would answer, and why.

import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { ExplainResponse } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { type Declare, idOrPath } from "./command.ts";
import { type AdminPeer, withAdmin } from "./connect.ts";
import type { Cli } from "./context.ts";
import type { CsrContents } from "./csr-contents.ts";
import { CliError, type ExitCode, reasonOf, wrongUse } from "./failure.ts";
import { facts, plain, wrap } from "./layout.ts";
import { explainObject } from "./objects.ts";
import { allPages } from "./pages.ts";
import { agentName, pathUnder, trustDomainIn } from "./words.ts";

const maxCsrBytes = 16 * 1024;

export function addExplain(program: Command, declare: Declare): void {
  declare
    .verb(program, "explain", {
      summary: "say whether an identity would be issued, rule by rule",
      description: [
        "Nothing is issued. With --csr the rules on its contents are judged too, and what it asks for is shown. Exit 1 when a rule refuses.",
      ],
      examples: ["signet explain --id /svc/a --agent one", "signet explain --id /svc/a --csr a.csr"],
      reach: "admin",
      needs: ["--id"],
    })
    .option("--id <ID>", "the identity, as SPIFFE ID or path", idOrPath("--id"))
    .option("--agent <NAME>", "the node that asks (default: the one that has the entry)")
    .option("--csr <FILE>", "the signing request, PEM or DER")
    .action(declare.run(explain));
}

async function explain(
  cli: Cli,
  flags: { readonly id: string; readonly agent?: string; readonly csr?: string },
): Promise<ExitCode> {
  const csr = flags.csr === undefined ? undefined : await readCsr(flags.csr);
  return withAdmin<ExitCode>(cli, "cannot explain", async (admin) => {
    const { print } = cli;
    const agent = flags.agent ?? (await onlyAgentOf(admin, flags.id));
    const answer = await admin.call("explain", {
      id: flags.id,
      agent,
      csrDer: Buffer.from(csr?.der ?? new Uint8Array()),
    });
    if (print.format !== "table") {
      const { der: _der, ...contents } = csr ?? { der: undefined };
      await print.value({ ...explainObject(answer), ...(csr === undefined ? {} : { csr: contents }) });
    } else if (print.quiet) {
      print.line(answer.allowed ? "allowed" : "refused");
    } else {
      printAnswer(cli, answer, { id: flags.id, agent, csr });
    }
    return answer.allowed ? 0 : 1;
  });
}

// The agent that asks is the one with the entry, unless several have one. Agents and the server ask for themselves:
// then it is empty.
async function onlyAgentOf(admin: AdminPeer, id: string): Promise<string> {
  const path = pathUnder(trustDomainIn(id), id);
  if (/^\/agent\/[^/]+$/.test(path) || path === "/signet/server") return "";
  const states = await allPages(async (page) => {
    const answer = await admin.call("listEntries", { agent: "", ...page });
    return { items: answer.entries, next: answer.nextPageToken };
  });
  const agents = states.flatMap(({ entry }) =>
    entry !== undefined && (entry.spiffeId === id || pathUnder(trustDomainIn(entry.spiffeId), entry.spiffeId) === id)
      ? [entry.agentId]
      : [],
  );
  const [first, second] = agents;
  if (first === undefined && /^\/(agent|device|signet)(\/|$)/.test(path)) {
    throw wrongUse(`no entry may give ${id} to an agent`, `signet explain --id ${id} --agent NAME`);
  }
  if (first === undefined) {
    throw new CliError(1, `no entry gives ${id} to any agent`, { cure: `signet entry create --id ${id} --agent NAME` });
  }
  if (second !== undefined) {
    throw wrongUse(
      `several agents have ${id}: ${agents.map(agentName).join(", ")}`,
      `signet explain --id ${id} --agent ${agentName(first)}`,
    );
  }
  return first;
}

async function readCsr(file: string): Promise<CsrContents> {
  let octets: Uint8Array;
  try {
    octets = await readFile(file);
  } catch (error) {
    throw wrongUse(`cannot read ${file}: ${reasonOf(error)}`, undefined, error);
  }
  // PEM adds a third; what is larger by far is no CSR, and no parser shall see it.
  if (octets.length > maxCsrBytes * 2) {
    throw wrongUse(`${file} is no signing request: it has ${octets.length} octets, ${maxCsrBytes} are the most`);
  }
  const { readCsrContents } = await import("./csr-contents.ts");
  return readCsrContents(octets, file);
}

function printAnswer(
  cli: Cli,
  answer: ExplainResponse,
  asked: { readonly id: string; readonly agent: string; readonly csr: CsrContents | undefined },
): void {
  const { print } = cli;
  const verdict = answer.allowed ? print.paint("ALLOWED", "good") : print.paint("REFUSED", "bad");
  const by = !answer.allowed || answer.entryId === "" ? "" : ` by ${answer.entryId}`;
  const trustDomain = trustDomainIn(answer.spiffeId);
  const agent = asked.agent.includes("/") ? pathUnder(trustDomain, asked.agent) : `/agent/${asked.agent}`;
  const asks = asked.agent === "" ? "" : ` for ${plain(agent)}`;
  print.line(`${plain(answer.spiffeId === "" ? asked.id : answer.spiffeId)}${asks}  ${verdict}${plain(by)}`);
  const nameWidth = Math.max(...answer.steps.map(({ rule }) => rule.length), 0);
  for (const step of answer.steps) {
    const word = step.passed ? print.paint("passed ", "good") : print.paint("REFUSED", "bad");
    const room = Math.max(print.width - 13 - nameWidth, 20);
    wrap(plain(step.detail), room).forEach((part, index) => {
      const head = index === 0 ? `  ${word}  ${plain(step.rule).padEnd(nameWidth)}` : " ".repeat(11 + nameWidth);
      print.line(`${head}  ${part}`.trimEnd());
    });
  }
  if (asked.csr !== undefined) {
    print.line("the CSR");
    for (const line of facts(csrFacts(asked.csr), { width: print.width })) print.line(line);
  }
  if (answer.allowed) {
    print.line("the certificate would hold");
    for (const line of facts(
      [
        ["id", answer.spiffeId],
        ["names", [...answer.dnsNames, ...answer.ipAddresses].join(", ")],
        ["life", formatDuration(answer.ttlSeconds)],
        ["by", answer.authority],
      ],
      { width: print.width },
    )) {
      print.line(line);
    }
  }
  const cure = answer.steps.find((step) => !step.passed && step.cure !== "")?.cure;
  if (cure !== undefined) print.hint(`try: ${plain(cure)}`);
}

function csrFacts(csr: CsrContents): readonly (readonly [string, string])[] {
  return [
    ["key", csr.key],
    ["subject", csr.subject === "" ? "" : `${csr.subject} (ignored)`],
    ["asks for", csr.names.length === 0 ? "no names: it gets those of the entry" : csr.names.join(", ")],
    ["usages", csr.usages.join(", ")],
    ["others", csr.otherExtensions.join(", ")],
    ["signature", csr.signatureValid ? "by its own key" : "NOT by its own key"],
  ];
}
