// A trust domain for programs of others, brought up by the commands that a person would type.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Crew, commandPath, type Member, samplePath, sourceFlags } from "../../src/cli/demo/crew.ts";
import { until } from "../../src/cli/demo/wait.ts";
import { systemClock } from "../../src/platform/clock.ts";

export const trustDomain = "interop.test";
const readyWithinMs = 20_000;

export interface Endpoints {
  readonly pid: number;
  readonly api: string;
  readonly ops: string;
}

/** A server, an agent, and what they hold, in a folder of its own. */
export class World {
  readonly folder: string;
  readonly crew: Crew;
  readonly lost: string[] = [];

  private constructor(folder: string) {
    this.folder = folder;
    this.crew = new Crew({
      folder,
      clock: systemClock,
      onLoss: (name, how) => this.lost.push(`${name} ended unasked, ${how}`),
    });
  }

  static async open(): Promise<World> {
    return new World(await realpath(await mkdtemp(join(tmpdir(), "signet-interop-"))));
  }

  /** Ends everything and removes the folder. */
  async close(): Promise<void> {
    await this.crew.end();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  get serverDir(): string {
    return join(this.folder, "server");
  }

  get agentDir(): string {
    return join(this.folder, "agent");
  }

  identityDir(name: string): string {
    return join(this.folder, "identities", name);
  }

  /** Runs `signet ARGS` against this server and gives its stdout. Throws with its stderr. */
  async signet(...args: readonly string[]): Promise<string> {
    const all = [...sourceFlags, commandPath, ...args, "--data-dir", this.serverDir];
    const { stdout } = await promisify(execFile)(process.execPath, all, { cwd: this.folder, timeout: 60_000 });
    return stdout;
  }

  async startServer(options: { readonly keyType: string }): Promise<Endpoints> {
    await this.signet("init", "--trust-domain", trustDomain, "--key-type", options.keyType);
    const config = join(this.folder, "server.yaml");
    const lines = [
      `trust_domain: ${trustDomain}`,
      `data_dir: ${this.serverDir}`,
      'listen: {api: "127.0.0.1:0", ops: "127.0.0.1:0"}',
    ];
    await writeFile(config, `${lines.join("\n")}\n`, { mode: 0o600 });
    const server = this.crew.start({ name: "server", args: [commandPath, "server", "-c", config] });
    return this.#endpoints(this.serverDir, server);
  }

  /** Starts agent `one`, which keeps the given identities; each gets an entry with this life. `reload` is run at each change. */
  async startAgent(
    identities: readonly { readonly name: string; readonly ttl: string; readonly reload?: readonly string[] }[],
  ): Promise<Endpoints> {
    const config = join(this.folder, "agent.yaml");
    await mkdir(join(this.folder, "identities"), { mode: 0o755 });
    const lines = [
      `data_dir: ${this.agentDir}`,
      'listen: {ops: "127.0.0.1:0"}',
      "identities:",
      ...identities.flatMap(({ name, reload }) => [
        `  - spiffe_id: ${idOf(name)}`,
        `    dir: ${this.identityDir(name)}`,
        ...(reload === undefined ? [] : [`    reload: {command: ${JSON.stringify(reload)}}`]),
      ]),
    ];
    await writeFile(config, `${lines.join("\n")}\n`, { mode: 0o600 });
    const joinString = (await this.signet("token", "create", "--agent", "one", "-q")).trim();
    const args = [commandPath, "agent", "-c", config, "--join-file", "-"];
    const agent = this.crew.start({ name: "agent", args, listens: true });
    agent.say(joinString);
    const endpoints = await this.#endpoints(this.agentDir, agent);
    for (const { name, ttl } of identities) {
      const names = ["--dns", `${name}.${trustDomain}`, "--ttl", ttl];
      await this.signet("entry", "create", "--id", `/svc/${name}`, "--agent", "one", ...names, "--wait", "20s");
    }
    return endpoints;
  }

  /** Starts service B, which lets in `svc/a` only and calls nobody; gives where it listens. */
  async startServiceB(identity: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.crew.start({
      name: "service B",
      args: [
        samplePath("service-b"),
        ...["--identity", this.identityDir(identity), "--listen", "127.0.0.1:0", "--accept", idOf("a"), "--report"],
      ],
      onLine: (line) => {
        const said: unknown = JSON.parse(line);
        if (typeof said === "object" && said !== null && "address" in said) resolve(String(said.address));
      },
    });
    return promise;
  }

  /** `identity.json` of an identity directory. */
  async identity(name: string): Promise<Readonly<Record<string, unknown>>> {
    return JSON.parse(await readFile(join(this.identityDir(name), "identity.json"), "utf8")) as Record<string, unknown>;
  }

  /** Resolves when the identity on disk is another one than now. */
  async nextIdentity(name: string, limitMs: number): Promise<void> {
    const { serialHex } = await this.identity(name);
    await until(async () => ((await this.identity(name))["serialHex"] === serialHex ? undefined : true), {
      clock: systemClock,
      signal: new AbortController().signal,
      what: `a new identity of ${name}`,
      limitMs,
    });
  }

  async #endpoints(dir: string, member: Member): Promise<Endpoints> {
    const read = async (): Promise<Endpoints | undefined> => {
      const text = await readFile(join(dir, "endpoints.json"), "utf8").catch(() => "{}");
      const endpoints = JSON.parse(text) as Endpoints;
      return endpoints.pid === member.pid ? endpoints : undefined;
    };
    return until(read, {
      clock: systemClock,
      signal: new AbortController().signal,
      what: `${member.name} is not ready, see ${this.crew.logOf(member.name)}`,
      limitMs: readyWithinMs,
    });
  }
}

export function idOf(name: string): string {
  return `spiffe://${trustDomain}/svc/${name}`;
}
