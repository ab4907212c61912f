// The parts of the demo, brought up in order: CA, server, agents, entries, identities, services.
import { readFile, realpath, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type AdminPeer, readEndpoints, withAdmin } from "../connect.ts";
import type { Cli } from "../context.ts";
import { type Crew, commandPath, type Member, samplePath } from "./crew.ts";
import type { KnockIdentity } from "./knock.ts";
import { ServiceReports } from "./service.ts";
import type { Stage } from "./stage.ts";
import type { Outsiders } from "./strangers.ts";
import { until } from "./wait.ts";
import { askAgent } from "./watch.ts";

export const trustDomain = "demo.signet";
export const idOf = (path: string): string => `spiffe://${trustDomain}${path}`;

/** Where everything is: `work` goes at the end, `kept` stays when the user named it. */
export interface Folders {
  readonly work: string;
  readonly kept: string;
}

export interface Service {
  readonly member: Member;
  readonly reports: ServiceReports;
  readonly address: string;
}

export interface World {
  readonly server: Member;
  /** `host:port` of the api. */
  readonly api: string;
  readonly agents: readonly Member[];
  /** Data directories of the agents. */
  readonly agentDirs: readonly string[];
  /** Identity directories of everybody, strangers too. */
  readonly identityDirs: readonly string[];
  readonly a: Service;
  readonly b: Service;
  readonly outsiders: Outsiders;
  readonly admin: <Result>(what: string, work: (admin: AdminPeer) => Promise<Result>) => Promise<Result>;
}

export interface Builder {
  readonly cli: Cli;
  readonly crew: Crew;
  readonly stage: Stage;
  readonly folders: Folders;
  readonly signal: AbortSignal;
}

const readyWithinMs = 20_000;
const identityWithinMs = 20_000;
const lateTtlSeconds = 5;
const malloryTtlSeconds = 600;

/** Brings the world up. Throws with one sentence that names what did not come up; what was started is the crew's to end. */
export async function buildWorld(builder: Builder, options: { readonly ttlSeconds: number }): Promise<World> {
  const { cli, crew, stage, folders } = builder;
  const serverDir = join(folders.work, "server");
  await crew.run({
    name: "init",
    args: [commandPath, "init", "--trust-domain", trustDomain, "--data-dir", serverDir],
  });
  stage.tell("root-1", `made with int-1 for ${trustDomain}`);

  const { server, api } = await startServer(builder, serverDir);
  const admin: World["admin"] = (what, work) =>
    withAdmin(
      { ...cli, shared: { admin: join(serverDir, "admin.sock") }, print: { ...cli.print, quiet: true } },
      what,
      work,
    );

  const places = {
    a: join(folders.kept, "a"),
    b: join(folders.kept, "b"),
    mallory: join(folders.work, "mallory"),
    late: join(folders.work, "late"),
  };
  // Entries first: an agent that joins finds its own at once.
  const { ttlSeconds } = options;
  await createEntries(admin, [
    { path: "/svc/a", agent: "one", ttlSeconds },
    { path: "/svc/b", agent: "two", ttlSeconds },
    { path: "/svc/mallory", agent: "two", ttlSeconds: malloryTtlSeconds },
    { path: "/svc/late", agent: "two", ttlSeconds: lateTtlSeconds },
  ]);
  const agents = await Promise.all([
    startAgent(builder, { name: "one", admin, identities: [["/svc/a", places.a]] }),
    startAgent(builder, {
      name: "two",
      admin,
      identities: [
        ["/svc/b", places.b],
        ["/svc/mallory", places.mallory],
        ["/svc/late", places.late],
      ],
    }),
  ]);

  const onDisk = (place: keyof typeof places): Promise<KnockIdentity> =>
    identityOnDisk(builder, { path: `/svc/${place}`, dir: places[place], agent: place === "a" ? "one" : "two" });
  const late = await onDisk("late");
  // Its first leaf is kept; without the entry there will be no other.
  await admin("cannot delete the entry of /svc/late", (peer) =>
    peer.call("deleteEntry", {
      entry: "/svc/late",
      expectedRevision: 0n,
      reason: "demo: its first leaf is kept",
      revoke: false,
      dryRun: false,
    }),
  );
  const mallory = await onDisk("mallory");
  await onDisk("a");
  await onDisk("b");

  const { a, b } = await startServices(builder, places);
  return {
    server,
    api,
    agents,
    agentDirs: ["one", "two"].map((name) => agentDir(folders, name)),
    identityDirs: Object.values(places),
    a,
    b,
    outsiders: { mallory, late },
    admin,
  };
}

async function createEntries(
  admin: World["admin"],
  entries: readonly { readonly path: string; readonly agent: string; readonly ttlSeconds: number }[],
): Promise<void> {
  await admin("cannot create the entries", async (peer) => {
    for (const { path, agent, ttlSeconds } of entries) {
      const dnsNames = [`${path.slice("/svc/".length)}.${trustDomain}`];
      const more = { selectors: [], ipAddresses: [], hint: "", reason: "demo" };
      await peer.call("createEntry", { id: path, agent, dnsNames, ttlSeconds, ...more });
    }
  });
}

async function startServer(builder: Builder, dir: string): Promise<{ readonly server: Member; readonly api: string }> {
  const { crew, stage, folders } = builder;
  const config = join(folders.work, "server.yaml");
  await writeFile(
    config,
    [
      `trust_domain: ${trustDomain}`,
      `data_dir: ${JSON.stringify(dir)}`,
      'listen: {api: "127.0.0.1:0", ops: "127.0.0.1:0"}',
      "refresh_hint: 2s",
      "log: {level: info, format: json}",
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
  const server = crew.start({ name: "server", args: [commandPath, "server", "-c", config] });
  stage.change({ server: { pid: server.pid, address: "starts" } });
  const api = await until(
    () => endpointOf(dir, server.pid, "api"),
    wait(builder, "the server is not ready", readyWithinMs),
  );
  stage.change({ server: { pid: server.pid, address: api } });
  stage.tell("server", `serves at ${api}`, { pid: server.pid, api });
  return { server, api };
}

function agentDir(folders: Folders, name: string): string {
  return join(folders.work, `agent-${name}`);
}

async function startAgent(
  builder: Builder,
  options: {
    readonly name: "one" | "two";
    readonly admin: World["admin"];
    readonly identities: readonly (readonly [path: string, dir: string])[];
  },
): Promise<Member> {
  const { crew, stage, folders } = builder;
  const { name } = options;
  const dir = agentDir(folders, name);
  const config = join(folders.work, `agent-${name}.yaml`);
  await writeFile(
    config,
    [
      `data_dir: ${JSON.stringify(dir)}`,
      'listen: {ops: "127.0.0.1:0"}',
      "log: {level: info, format: json}",
      "identities:",
      ...options.identities.flatMap(([path, place]) => [
        `  - spiffe_id: ${idOf(path)}`,
        `    dir: ${JSON.stringify(place)}`,
      ]),
      "",
    ].join("\n"),
    { mode: 0o600 },
  );
  const { joinString } = await options.admin(`cannot create a join string for agent ${name}`, (peer) =>
    peer.call("createToken", {
      agent: name,
      ttlSeconds: 60,
      addresses: [],
      replace: false,
      fingerprint: "",
      reason: "",
    }),
  );
  const agent = crew.start({
    name: `agent ${name}`,
    args: [commandPath, "agent", "-c", config, "--join-file", "-"],
    listens: true,
  });
  // Through a pipe, so that the secret is in no file and in no process list.
  agent.say(joinString);
  stage.changeAgent(name, { pid: agent.pid });
  await until(() => endpointOf(dir, agent.pid, "socket"), wait(builder, `agent ${name} is not ready`, readyWithinMs));
  stage.tell(`agent ${name}`, `joined by its join string, which is spent now`, { pid: agent.pid });
  return agent;
}

/** Both serve and both call: B starts first and waits for a line that says where A is; A is told where B is. */
async function startServices(
  builder: Builder,
  places: { readonly a: string; readonly b: string },
): Promise<Pick<World, "a" | "b">> {
  const b = await startService(builder, { name: "b", identity: places.b, peer: "/svc/a", call: "-" });
  const a = await startService(builder, { name: "a", identity: places.a, peer: "/svc/b", call: b.address });
  b.member.say(a.address);
  return { a, b };
}

async function startService(
  builder: Builder,
  options: { readonly name: "a" | "b"; readonly identity: string; readonly peer: string; readonly call: string },
): Promise<Service> {
  const { cli, crew, stage } = builder;
  const { name } = options;
  const reports = new ServiceReports(cli.clock, (line) => {
    if (line.event !== "stats") stage.record(`service ${name}`, { ...line });
  });
  const peer = idOf(options.peer);
  const member = crew.start({
    name: `service ${name.toUpperCase()}`,
    args: [
      samplePath(`service-${name}`),
      ...["--identity", options.identity, "--listen", "127.0.0.1:0", "--call", options.call],
      ...["--expect", peer, "--accept", peer, "--report"],
    ],
    listens: options.call === "-",
    onLine: (line) => reports.take(line),
  });
  const what = `service ${name.toUpperCase()} does not listen`;
  const address = await until(() => reports.address, wait(builder, what, readyWithinMs));
  stage.tell(`/svc/${name}`, `service ${name.toUpperCase()} listens at ${address}`, { pid: member.pid, address });
  return { member, reports, address };
}

function wait(
  { cli, signal }: Builder,
  what: string,
  limitMs: number,
): { readonly clock: Cli["clock"]; readonly signal: AbortSignal; readonly what: string; readonly limitMs: number } {
  return { clock: cli.clock, signal, what, limitMs };
}

/** An endpoint that the process `pid` has announced, not one that ran before it. */
async function endpointOf(dir: string, pid: number, name: string): Promise<string | undefined> {
  const endpoints = await readEndpoints({ shown: dir, path: dir, from: "" });
  const address = endpoints?.[name];
  return endpoints?.["pid"] === pid && typeof address === "string" ? address : undefined;
}

/** Waits for an identity; when it does not come, the agent is asked why. */
async function identityOnDisk(
  builder: Builder,
  { path, dir, agent }: { readonly path: string; readonly dir: string; readonly agent: string },
): Promise<KnockIdentity> {
  try {
    return await until(() => readIdentity(dir), wait(builder, `${path} is not on disk`, identityWithinMs));
  } catch (error) {
    builder.signal.throwIfAborted();
    const status = await askAgent(builder.cli, agentDir(builder.folders, agent));
    const why = status.identities.find(({ report }) => report?.spiffeId === idOf(path))?.report?.lastError ?? "";
    throw new Error(`${path} is not on disk: ${why === "" ? status.lastError || "the agent gives no reason" : why}`, {
      cause: error,
    });
  }
}

/** Chain and key of one version of an identity directory. */
async function readIdentity(dir: string): Promise<KnockIdentity | undefined> {
  try {
    const version = await realpath(join(dir, "..data"));
    const [chainPem, keyPem] = await Promise.all(
      ["tls.crt", "tls.key"].map((name) => readFile(join(version, name), "utf8")),
    );
    return chainPem === undefined || keyPem === undefined ? undefined : { chainPem, keyPem };
  } catch {
    // Not there yet, or gone while it was read: the next round tells.
    return undefined;
  }
}
