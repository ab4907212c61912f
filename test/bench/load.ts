// The process that asks: several agents, each on a connection of its own, with CSRs made beforehand.

import type { IssueItem } from "../../proto/gen/signet/v1/issuance.ts";
import { newNodeKey } from "../../src/sdk/node-key.ts";
import { ServerChannel } from "../../src/sdk/server-channel.ts";
import { parseTrustDomain } from "../../src/spiffe/id.ts";
import { parseCertificate } from "../../src/x509/certificate.ts";
import { buildCsr } from "../../src/x509/csr.ts";

/** An agent that has joined, and what it may ask for. */
export interface BenchAgent {
  readonly chainDer: readonly Uint8Array[];
  readonly keyDer: Uint8Array;
  readonly spiffeIds: readonly string[];
}

export interface Prepare {
  readonly kind: "prepare";
  readonly address: string;
  readonly trustDomain: string;
  readonly rootsDer: readonly Uint8Array[];
  readonly agents: readonly BenchAgent[];
  readonly csrs: number;
}

export interface Run {
  readonly kind: "run";
  /** Items of a call; 1: a call of Issue. */
  readonly batch: number;
  readonly inFlight: number;
  readonly ms: number;
  readonly maxCertificates: number;
}

export interface Ran {
  readonly certificates: number;
  readonly tookMs: number;
  /** Milliseconds of each call. */
  readonly latencies: Float64Array;
  /** The first call that failed. */
  readonly failure: string | undefined;
}

const deadlineMs = 20_000;
const maxMessageBytes = 16 * 1024 * 1024;

interface Asker {
  readonly channel: ServerChannel;
  readonly spiffeIds: readonly string[];
}

let askers: readonly Asker[] = [];
let csrs: readonly Buffer[] = [];
let next = 0;

process.on("message", (question: Prepare | Run) => {
  const work = question.kind === "prepare" ? prepare(question) : run(question);
  work.then(
    (answer) => process.send?.(answer),
    (error: unknown) => {
      throw error;
    },
  );
});
process.on("disconnect", () => process.exit(1));

async function prepare({ address, trustDomain, rootsDer, agents, csrs: count }: Prepare): Promise<object> {
  const roots = rootsDer.map((der) => parseCertificate(der));
  const bundle = { trustDomain: parseTrustDomain(trustDomain), sequence: 0n, refreshHintSeconds: 300, roots };
  askers = agents.map(({ chainDer, keyDer, spiffeIds }) => ({
    channel: new ServerChannel({
      address,
      trust: () => ({ bundle }),
      identity: { chainDer, keyDer },
      now: () => new Date(),
      maxMessageBytes,
    }),
    spiffeIds,
  }));
  csrs = await Promise.all(Array.from({ length: count }, async () => Buffer.from(await buildCsr(newNodeKey()))));
  return {};
}

async function run({ batch, inFlight, ms, maxCertificates }: Run): Promise<Ran> {
  const startMs = performance.now();
  const latencies: number[] = [];
  let certificates = 0;
  let failure: string | undefined;
  const ask = async (asker: Asker): Promise<void> => {
    while (failure === undefined && performance.now() < startMs + ms && certificates < maxCertificates) {
      const items = Array.from({ length: batch }, () => item(asker));
      const askedMs = performance.now();
      try {
        const got = await (batch === 1 ? issueOne(asker, items) : issueBatch(asker, items));
        certificates += got;
      } catch (error) {
        failure ??= error instanceof Error ? error.message : String(error);
      }
      latencies.push(performance.now() - askedMs);
    }
  };
  const lanes = Array.from({ length: inFlight }, (_, lane) => askers[lane % askers.length]);
  await Promise.all(lanes.filter((asker) => asker !== undefined).map(ask));
  return { certificates, tookMs: performance.now() - startMs, latencies: Float64Array.from(latencies), failure };
}

function item({ spiffeIds }: Asker): IssueItem {
  next++;
  const csrDer = csrs[next % csrs.length];
  const spiffeId = spiffeIds[next % spiffeIds.length];
  if (csrDer === undefined || spiffeId === undefined) throw new TypeError("the load was not prepared");
  return { spiffeId, csrDer, ttlSeconds: 0 };
}

async function issueOne({ channel }: Asker, [first]: readonly IssueItem[]): Promise<number> {
  const { issuance } = channel;
  const { certificate } = await channel.call(issuance.issue.bind(issuance), { item: first }, { deadlineMs });
  if (certificate?.chainDer.length !== 2) throw new Error("an answer without a chain of two");
  return 1;
}

async function issueBatch({ channel }: Asker, items: IssueItem[]): Promise<number> {
  const { issuance } = channel;
  const { results } = await channel.call(issuance.batchIssue.bind(issuance), { items }, { deadlineMs });
  for (const { result } of results) {
    if (result?.$case !== "certificate") throw new Error(`an item was refused: ${result?.value.detail ?? "no result"}`);
  }
  return results.length;
}
