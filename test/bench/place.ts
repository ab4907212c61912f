// A trust domain to measure: the real server in a process of its own, over a store on disk, with agents that joined by
// join strings and entries for each.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { credentials } from "@grpc/grpc-js";
import { writeOwnFile } from "../../agent/data-files.ts";
import { joinTrustDomain } from "../../agent/enrol/join.ts";
import { OwnIdentity } from "../../agent/enrol/own-identity.ts";
import { defaultLimits } from "../../agent/wire.ts";
import { AdminServiceClient } from "../../proto/gen/signet/v1/admin.ts";
import { commandPath, sourceFlags } from "../../src/cli/demo/crew.ts";
import { until } from "../../src/cli/demo/wait.ts";
import { systemClock } from "../../src/platform/clock.ts";
import { systemRandom } from "../../src/platform/random.ts";
import { callUnary } from "../../src/sdk/rpc.ts";
import { parseJoinString } from "../../src/spiffe/join-string.ts";
import { type Child, startChild } from "./child.ts";
import type { BenchAgent, Prepare } from "./load.ts";

const trustDomain = "bench.test";

const readyWithinMs = 20_000;
const deadlineMs = 10_000;

export interface PlaceOptions {
  readonly agents: number;
  readonly entriesPerAgent: number;
  readonly csrs: number;
  /** Where the server's CPU profile goes. */
  readonly profileDir: string | undefined;
  readonly signal: AbortSignal;
}

/** What runs. */
export interface Place {
  /** Has issued nothing but what it needed to come up. */
  readonly server: Child;
  /** Has its CSRs, and has not connected. */
  readonly load: Child;
  /** Ends both, and removes what they wrote. */
  close(): Promise<void>;
}

/** Brings it up, or leaves nothing behind. */
export async function openPlace(options: PlaceOptions): Promise<Place> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "signet-bench-")));
  const children: Child[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.end()));
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  const start = (name: string, script: string, args: readonly string[], nodeFlags: readonly string[] = []): Child => {
    const child = startChild({ name, script, args, nodeFlags, folder, log: join(folder, `${name}.log`) });
    children.push(child);
    return child;
  };
  try {
    const dataDir = join(folder, "server");
    const init = [...sourceFlags, commandPath, "init", "--trust-domain", trustDomain, "--data-dir", dataDir];
    await promisify(execFile)(process.execPath, init, { cwd: folder, signal: options.signal, timeout: 60_000 });
    const config = join(folder, "server.yaml");
    const lines = [
      `trust_domain: ${trustDomain}`,
      `data_dir: ${dataDir}`,
      'listen: {api: "127.0.0.1:0", ops: "127.0.0.1:0"}',
    ];
    await writeFile(config, `${lines.join("\n")}\n`, { mode: 0o600 });
    const server = start(
      "server",
      commandPath,
      ["server", "-c", config],
      [
        `--import=${new URL("./meter.ts", import.meta.url).href}`,
        ...(options.profileDir === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profileDir}`]),
      ],
    );
    const address = await apiOf(dataDir, server, options.signal);
    const { agents, rootsDer } = await joinAgents(folder, join(dataDir, "admin.sock"), options);
    const load = start("load", join(import.meta.dirname, "load.ts"), []);
    const { csrs } = options;
    await load.ask<Prepare, object>({ kind: "prepare", address, trustDomain, rootsDer, agents, csrs });
    return { server, load, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** host:port of the server, once it serves. */
function apiOf(dataDir: string, server: Child, signal: AbortSignal): Promise<string> {
  const read = async (): Promise<string | undefined> => {
    const text = await readFile(join(dataDir, "endpoints.json"), "utf8").catch(() => "{}");
    const endpoints = JSON.parse(text) as { readonly pid?: number; readonly api?: string };
    return endpoints.pid === server.pid ? endpoints.api : undefined;
  };
  return until(read, { clock: systemClock, signal, what: "the server is not ready", limitMs: readyWithinMs });
}

/** Joins agents as agents join, and gives each its entries. */
async function joinAgents(
  folder: string,
  socket: string,
  { agents: count, entriesPerAgent, signal }: PlaceOptions,
): Promise<{ readonly agents: readonly BenchAgent[]; readonly rootsDer: readonly Uint8Array[] }> {
  const admin = new AdminServiceClient(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.default_authority": "localhost",
    "grpc.enable_http_proxy": 0,
  });
  const agents: BenchAgent[] = [];
  let rootsDer: readonly Uint8Array[] = [];
  try {
    for (let number = 1; number <= count; number++) {
      const agent = `agent-${number}`;
      const token = await callUnary(
        admin.createToken.bind(admin),
        { agent, ttlSeconds: 600, addresses: [], replace: false, fingerprint: "", reason: "" },
        { deadlineMs, signal },
      );
      const directory = join(folder, agent);
      await mkdir(directory, { mode: 0o700 });
      const own = await OwnIdentity.open({ directory, write: writeOwnFile });
      const { trust } = await joinTrustDomain(
        {
          clock: systemClock,
          random: systemRandom,
          own,
          directory,
          write: writeOwnFile,
          limits: defaultLimits.contact,
          servers: [],
        },
        parseJoinString(token.joinString),
      );
      rootsDer = trust.bundle.roots.map((root) => root.raw);
      const spiffeIds: string[] = [];
      for (let entry = 1; entry <= entriesPerAgent; entry++) {
        const id = `/svc/${agent}/${entry}`;
        const dnsNames = [`s${entry}.${agent}.${trustDomain}`];
        const wanted = { id, agent, dnsNames, selectors: [], ipAddresses: [], ttlSeconds: 0, hint: "", reason: "" };
        await callUnary(admin.createEntry.bind(admin), wanted, { deadlineMs, signal });
        spiffeIds.push(`spiffe://${trustDomain}${id}`);
      }
      if (own.held === undefined) throw new Error(`${agent} has no certificate`);
      agents.push({ chainDer: own.held.chainDer, keyDer: own.held.keyDer, spiffeIds });
    }
  } finally {
    admin.close();
  }
  return { agents, rootsDer };
}
