// What a certificate costs the server, as a ratio to raw crypto on the same machine (DESIGN section 11): `npm run bench`.
import { availableParallelism, cpus } from "node:os";
import { parseArgs } from "node:util";
import { table } from "../../src/cli/layout.ts";
import { measure, type Plan, type Result, type Results } from "./measure.ts";
import { openPlace, type PlaceOptions } from "./place.ts";

const usage = `usage: npm run bench -- [--seconds S] [--quick] [-o json] [--profile DIR]

Starts a server and a load on this host, and prints what a certificate costs.

  --seconds S    seconds of load for each kind of work, 1 to 60 (default: 4)
  --quick        two short rounds: shows that it works, not how fast
  -o json        the numbers as JSON
  --profile DIR  writes a CPU profile of the server there
`;
const width = 80;
const rounds = 5;

interface Flags {
  readonly seconds: number;
  readonly quick: boolean;
  readonly json: boolean;
  readonly profileDir: string | undefined;
}

/** Throws a TypeError that says what is wrong. */
function readFlags(args: readonly string[]): Flags | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: "string", default: "4" },
      quick: { type: "boolean", default: false },
      output: { type: "string", short: "o", default: "text" },
      profile: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const seconds = Number(values.seconds);
  if (!(seconds >= 1 && seconds <= 60)) throw new TypeError(`--seconds must be 1 to 60, got ${values.seconds}`);
  if (values.output !== "text" && values.output !== "json") {
    throw new TypeError(`-o must be text or json, got ${values.output}`);
  }
  return { seconds, quick: values.quick, json: values.output === "json", profileDir: values.profile };
}

function planOf({ seconds, quick }: Flags): Omit<Plan, "signal"> {
  if (quick) return { rounds: 2, roundMs: 250, rawMs: 40, warmUpMs: 250 };
  return { rounds, roundMs: (1000 * seconds) / rounds, rawMs: 200, warmUpMs: 1500 };
}

function sizeOf({ quick }: Flags): Pick<PlaceOptions, "agents" | "entriesPerAgent" | "csrs"> {
  return quick ? { agents: 2, entriesPerAgent: 2, csrs: 256 } : { agents: 8, entriesPerAgent: 8, csrs: 4096 };
}

const machine = {
  cpu: cpus()[0]?.model ?? "unknown CPU",
  cores: availableParallelism(),
  node: process.versions.node,
  openssl: process.versions.openssl,
  platform: `${process.platform} ${process.arch}`,
} as const;

function screen({ rawMicros, works, rounds: count }: Results): string {
  const { lines } = table<Result>(
    [
      { head: "issue", cell: ({ work }) => work },
      { head: "CPU µs", cell: ({ cpuMicrosPerCertificate }) => cpuMicrosPerCertificate.toFixed(1), right: true },
      { head: "certs/s", cell: ({ certificatesPerSecond }) => certificatesPerSecond.toFixed(0), right: true },
      { head: "p50 ms", cell: ({ p50Ms }) => p50Ms.toFixed(1), right: true },
      { head: "p99 ms", cell: ({ p99Ms }) => p99Ms.toFixed(1), right: true },
      { head: "ratio", cell: ({ ratio }) => ratio.toFixed(2), right: true },
      { head: "budget", cell: ({ budget }) => budget.toFixed(1), right: true },
    ],
    works,
    { width, paint: (text) => text },
  );
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}`,
    `Node ${machine.node}, OpenSSL ${machine.openssl}; store level, synced`,
    `raw import + verify + sign, P-256: ${rawMicros.toFixed(1)} µs of CPU`,
    "",
    ...lines,
    "",
    `ratio: server CPU a certificate to the raw crypto beside it, median of ${count}`,
    "p50, p99: of a call, by a load on the same host; rates are its, not the server's",
    "budget: DESIGN section 11; information only, not enforced yet",
    "",
  ].join("\n");
}

async function main(flags: Flags): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)));
  const plan = planOf(flags);
  const place = await openPlace({ ...sizeOf(flags), profileDir: flags.profileDir, signal: stop.signal });
  let results: Results;
  try {
    results = await measure(place, { ...plan, signal: stop.signal });
  } finally {
    await place.close();
  }
  process.stdout.write(
    flags.json ? `${JSON.stringify({ machine, quick: flags.quick, ...results }, undefined, 2)}\n` : screen(results),
  );
}

try {
  const flags = readFlags(process.argv.slice(2));
  if (flags === "help") process.stdout.write(usage);
  else await main(flags);
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
