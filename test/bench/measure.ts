// The measuring: rounds in which raw crypto and each kind of load take turns, so that what else the machine does meets
// all of them alike. Only CPU time is compared; rates and latencies are shown beside it.
import type { Child } from "./child.ts";
import type { Ran, Run } from "./load.ts";
import type { Place } from "./place.ts";
import { prepareRaw } from "./raw.ts";

/** A kind of load, with what DESIGN section 11 allows it. */
interface Work {
  readonly name: string;
  readonly batch: number;
  readonly inFlight: number;
  readonly budget: number;
}

const works: readonly Work[] = [
  { name: "one RPC each, 64 in flight", batch: 1, inFlight: 64, budget: 2.5 },
  { name: "one RPC each, 16 in flight", batch: 1, inFlight: 16, budget: 3 },
  { name: "batches of 50, 4 in flight", batch: 50, inFlight: 4, budget: 1.7 },
];

export interface Result {
  readonly work: string;
  readonly certificates: number;
  /** Of the server's process, all threads; median of the rounds. */
  readonly cpuMicrosPerCertificate: number;
  readonly certificatesPerSecond: number;
  /** Of a call, over all rounds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Server CPU a certificate over raw crypto of the same round: median, lowest and highest. */
  readonly ratio: number;
  readonly lowestRatio: number;
  readonly highestRatio: number;
  readonly budget: number;
}

export interface Results {
  /** CPU µs of raw import, verify and sign; median. */
  readonly rawMicros: number;
  readonly rounds: number;
  readonly works: readonly Result[];
}

export interface Plan {
  readonly rounds: number;
  /** Of load, a kind and round. */
  readonly roundMs: number;
  /** Of raw crypto, before and after each load. */
  readonly rawMs: number;
  readonly warmUpMs: number;
  readonly signal: AbortSignal;
}

interface Round {
  readonly raw: number;
  readonly cpuMicros: number;
  readonly ran: Ran;
}

/** However fast the machine is, a round ends here, and the store stays small. */
const maxCertificates = 100_000;

export async function measure({ server, load }: Place, plan: Plan): Promise<Results> {
  const raw = prepareRaw(64);
  const rounds = works.map((work) => ({ work, done: [] as Round[] }));
  for (const { work } of rounds) await round(server, load, work, plan.warmUpMs);
  raw.measure(plan.rawMs);
  const raws = [raw.measure(plan.rawMs)];
  for (let number = 0; number < plan.rounds; number++) {
    for (const { work, done } of rounds) {
      plan.signal.throwIfAborted();
      const { cpuMicros, ran } = await round(server, load, work, plan.roundMs);
      const before = raws.at(-1) ?? 0;
      const after = raw.measure(plan.rawMs);
      raws.push(after);
      done.push({ raw: (before + after) / 2, cpuMicros, ran });
    }
  }
  return {
    rawMicros: median(raws),
    rounds: plan.rounds,
    works: rounds.map(({ work, done }) => resultOf(work, done)),
  };
}

/** One load, with the server's CPU time around it. Throws when a call failed. */
async function round(server: Child, load: Child, work: Work, ms: number): Promise<Omit<Round, "raw">> {
  const { batch, inFlight } = work;
  const before = await server.ask<object, NodeJS.CpuUsage>({});
  const ran = await load.ask<Run, Ran>({ kind: "run", batch, inFlight, ms, maxCertificates });
  const after = await server.ask<object, NodeJS.CpuUsage>({});
  if (ran.failure !== undefined) throw new Error(`${work.name}: ${ran.failure}`);
  return { cpuMicros: after.user + after.system - before.user - before.system, ran };
}

function resultOf(work: Work, done: readonly Round[]): Result {
  const certificates = sum(done.map(({ ran }) => ran.certificates));
  const ratios = done.map(({ raw, cpuMicros, ran }) => cpuMicros / ran.certificates / raw);
  const latencies = done.flatMap(({ ran }) => [...ran.latencies]).sort((one, other) => one - other);
  return {
    work: work.name,
    certificates,
    cpuMicrosPerCertificate: median(done.map(({ cpuMicros, ran }) => cpuMicros / ran.certificates)),
    certificatesPerSecond: (1000 * certificates) / sum(done.map(({ ran }) => ran.tookMs)),
    p50Ms: at(latencies, 0.5),
    p99Ms: at(latencies, 0.99),
    ratio: median(ratios),
    lowestRatio: Math.min(...ratios),
    highestRatio: Math.max(...ratios),
    budget: work.budget,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return (at(sorted, 0.5) + (sorted[Math.ceil(sorted.length / 2) - 1] ?? 0)) / 2;
}

/** The value below which that share of the sorted ones lies. */
function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
