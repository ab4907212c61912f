import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import {
  agentConfigSchema,
  agentConfigText,
  agentTextPaths,
  judgeAgentConfig,
  loadAgentConfig,
} from "../../../agent/config.ts";
import { readConfigFile, variableName } from "../../../src/platform/config-file.ts";
import { ConfigError } from "../../../src/platform/settings.ts";
import {
  judgeServerConfig,
  loadServerConfig,
  serverConfigSchema,
  serverConfigText,
  serverTextPaths,
} from "../../../src/server/config.ts";

const dir = mkdtempSync(join(tmpdir(), "signet-config-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Layers {
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, string>>;
}

const least = "trust_domain: prod.example\n";
const server = (
  text: string | undefined,
  { env = {}, flags = {} }: Layers = {},
): ReturnType<typeof judgeServerConfig> =>
  judgeServerConfig(
    { file: text === undefined ? undefined : { name: "server.yaml", text }, env, flags },
    "stamped.example",
  );
const agent = (text: string, { env = {}, flags = {} }: Layers = {}): ReturnType<typeof judgeAgentConfig> =>
  judgeAgentConfig({ file: { name: "agent.yaml", text }, env, flags });
const message = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "accepted",
    (error: unknown) => (error instanceof ConfigError ? error.message : `foreign: ${String(error)}`),
  );

describe("server.yaml", () => {
  it("the least that works has the defaults of the design", async () => {
    const { config } = await server(least);
    expect(config).toMatchObject({
      trustDomain: "prod.example",
      dataDir: "./.signet",
      listen: {
        api: "127.0.0.1:7443",
        admin: undefined,
        web: "127.0.0.1:7444",
        public: "127.0.0.1:7080",
        ops: "127.0.0.1:7090",
      },
      advertise: undefined,
      names: undefined,
      publicUrl: undefined,
      refreshHintSeconds: 300,
      lifetimes: { agentSeconds: 86_400, serverSeconds: 86_400, adminSeconds: 43_200, workloadSeconds: 3600 },
      agentGraceSeconds: 2_592_000,
      crl: { intermediateSeconds: 604_800, rootSeconds: 31_536_000 },
      rotation: { prepareAt: 0.5, activateAt: 0.667, acknowledgeWaitSeconds: 300 },
      reportIntervalSeconds: 30,
      fullReadSeconds: 300,
      drainSeconds: 10,
      limits: { anonymousConnections: 256, handshakeSeconds: 10, anonymousLifeSeconds: 30 },
      log: { level: "info", format: "auto" },
    });
  });

  it("a flag wins over a variable, that over the file, that over the default, and each says where it came from", async () => {
    const loaded = await server(`${least}listen:\n  api: 127.0.0.1:1\n  ops: 127.0.0.1:2\nagent_grace: 0\n`, {
      env: {
        SIGNET_LISTEN_API: "127.0.0.1:3",
        SIGNET_LISTEN_OPS: "127.0.0.1:4",
        SIGNET_NAMES: "a.test, b.test",
        SIGNET_LOG_LEVEL: "",
        HOME: "/",
      },
      flags: { "listen.api": "127.0.0.1:5" },
    });
    expect(loaded.config.listen).toMatchObject({ api: "127.0.0.1:5", ops: "127.0.0.1:4" });
    expect(loaded.config.names).toEqual(["a.test", "b.test"]);
    expect(loaded.config.agentGraceSeconds).toBe(0);
    const nameOf = (path: string): string | undefined => loaded.sources.get(path)?.name;
    expect(["trust_domain", "listen.api", "listen.ops", "agent_grace", "log.level"].map(nameOf)).toEqual([
      "server.yaml line 1",
      "--listen-api",
      "SIGNET_LISTEN_OPS",
      "server.yaml line 5",
      "default",
    ]);
  });

  it("a flag does not hide what the file has in the place of a group", async () => {
    for (const written of ["yes", "[a]", "127.0.0.1:1"]) {
      const loading = server(`${least}listen: ${written}\n`, { flags: { "listen.api": "127.0.0.1:5" } });
      await expect(loading).rejects.toThrow("server.yaml line 2: listen: must be a mapping, got");
    }
  });

  it("without a file the trust domain of the data directory stands in", async () => {
    const { config, sources } = await server(undefined);
    expect([config.trustDomain, sources.get("trust_domain")?.name]).toEqual(["stamped.example", "the data directory"]);
    expect((await server(undefined, { env: { SIGNET_TRUST_DOMAIN: "env.example" } })).config.trustDomain).toBe(
      "env.example",
    );
  });

  it.each([
    ["", "server.yaml: trust_domain is missing"],
    ["# nothing\n", "server.yaml: trust_domain is missing"],
    ["trust_domain:\n", "server.yaml: trust_domain is missing"],
    [`${least}dataDir: /x\n`, "server.yaml line 2: dataDir: this file is snake_case: data_dir"],
    ["trust_domian: x\n", "server.yaml line 1: trust_domian: unknown key, the nearest is trust_domain"],
    [`${least}listen: {apii: x}\n`, "server.yaml line 2: listen.apii: unknown key, the nearest is api"],
    [`${least}listen: 127.0.0.1:7443\n`, "server.yaml line 2: listen: must be a mapping, got 127.0.0.1:7443"],
    [
      `${least}agent_grace: 3600\n`,
      'server.yaml line 2: agent_grace: "3600" has no unit: write it as 90s, 10m, 1h30m or 30d; 3600s is seconds',
    ],
    [`${least}lifetimes:\n  workload: 4s\n`, "server.yaml line 3: lifetimes.workload: must be 5s at least, got 4s"],
    [
      `${least}limits: {connections: many}\n`,
      "server.yaml line 2: limits.connections: must be a whole number, got many",
    ],
    [`${least}limits: {connections: 1}\n`, "server.yaml line 2: limits.connections: must be from 16 to 100000, got 1"],
    [
      `${least}log: {level: warning}\n`,
      "server.yaml line 2: log.level: must be one of debug, info, warn, error, got warning: the nearest is warn",
    ],
    [
      `${least}rotation:\n  prepare_at: 0.7\n`,
      "server.yaml line 3: rotation.prepare_at: must be less than activate_at (0.667), got 0.7",
    ],
    [
      `${least}advertise: 0.0.0.0:7443\n`,
      "server.yaml line 2: advertise: 0.0.0.0:7443 means every address of this host, and no node can dial it",
    ],
    [
      `${least}public_url: https://x\n`,
      "server.yaml line 2: public_url: https://x must be http://HOST or http://HOST:PORT/PATH: CRLs are signed and fetched without TLS",
    ],
    [`${least}names: []\n`, "server.yaml line 2: names: must have 1 to 90 items, got 0"],
    [`${least}names: a.test\n`, "server.yaml line 2: names: must be a list, got a.test"],
    [`${least}data_dir: ""\n`, "server.yaml line 2: data_dir: is empty"],
    [`${least}data_dir: yes\n`, "accepted"],
    [
      `${least}data_dir: true\n`,
      "server.yaml line 2: data_dir: must be text, got the boolean true: put it in quotes if it is meant",
    ],
    [`${least}? [a, b]\n: 1\n`, "server.yaml line 2: a key must be a word"],
    [`${least}a: &x 1\nb: *x\n`, "server.yaml line 3: an alias (*x) is not taken: write the value out"],
    [`${least}x: "\u0007${"y".repeat(99)}\n`, expect.stringMatching(/^server.yaml line \d: not YAML: /)],
    [`${least}"bad\\u202ekey": 1\n`, expect.stringMatching(/^server.yaml line 2: bad\\u\{202e\}key: unknown key/)],
    [`a: ${"[".repeat(5000)}\n`, expect.stringMatching(/^server.yaml/)],
  ])("%j is: %s", async (text, expected) => {
    expect(await message(server(text))).toEqual(expected);
  });

  it.each([
    [{ SIGNET_LOG_LEVLE: "x" }, "unknown variable SIGNET_LOG_LEVLE: the nearest is SIGNET_LOG_LEVEL"],
    [
      { SIGNET_KEY_PASSPHRASE: "x" },
      "unknown variable SIGNET_KEY_PASSPHRASE: the nearest is SIGNET_KEY_PASSPHRASE_FILE",
    ],
    [{ SIGNET_JOIN: "x" }, "unknown variable SIGNET_JOIN: the nearest is SIGNET_JOIN_FILE"],
    [{ SIGNET_COLOUR: "" }, "unknown variable SIGNET_COLOUR: signet help environment lists them"],
    [
      { SIGNET_LISTEN_API: "0.0.0.0" },
      'SIGNET_LISTEN_API: listen.api: "0.0.0.0" has no port: write it as host:port, such as 127.0.0.1:7443',
    ],
    [
      { SIGNET_LIMITS_CONNECTIONS: "x" },
      "SIGNET_LIMITS_CONNECTIONS: limits.connections: must be a whole number, got x",
    ],
    [{ SIGNET_LISTEN: "x" }, expect.stringMatching(/^unknown variable SIGNET_LISTEN: /)],
  ])("the environment %j is: %s", async (env, expected) => {
    expect(await message(server(least, { env }))).toEqual(expected);
  });

  it("each program takes the variables of the other, which its children inherit", async () => {
    const all = (paths: readonly string[]): Record<string, string> =>
      Object.fromEntries(paths.map((path) => [variableName(path), ""]));
    const common = { SIGNET_CONFIG: "x", SIGNET_JOIN_FILE: "x", SIGNET_ADMIN: "x", SIGNET_KEY_PASSPHRASE_FILE: "x" };
    expect(await message(server(least, { env: { ...common, ...all(agentTextPaths()) } }))).toBe("accepted");
    expect(await message(agent("", { env: { ...common, ...all(serverTextPaths()) } }))).toBe("accepted");
  });

  it("an unknown flag is refused", async () => {
    expect(await message(server(least, { flags: { "listen.apii": "x" } }))).toBe("unknown setting listen.apii");
    expect(await message(server(least, { flags: { agent_grace: "x" } }))).toMatch(
      /^--agent-grace: agent_grace: "x" is not a duration/,
    );
  });

  it("serverConfigText() writes a file that brings the same about", async () => {
    const first = await server(
      `${least}listen: {api: "[::1]:0"}\nnames: [a.test, "*.b"]\n`.replace(', "*.b"', ", 192.0.2.1"),
      { env: { SIGNET_LIFETIMES_WORKLOAD: "90m" } },
    );
    const text = serverConfigText(first);
    expect(text).toContain('listen:\n  api: "[::1]:0"  # server.yaml line 2\n');
    expect(text).toContain("  workload: 90m  # SIGNET_LIFETIMES_WORKLOAD\n");
    expect((await server(text)).config).toEqual(first.config);
  });
});

describe("agent.yaml", () => {
  const one = "spiffe_id: spiffe://prod.example/svc/a\n    dir: /run/signet/a\n";
  const identities = (more: string): string => `identities:\n  - ${one}${more.replace(/^/gm, "    ")}\n`;

  it("an empty file has the defaults of the design", async () => {
    expect((await agent("")).config).toEqual({
      dataDir: "./.signet-agent",
      listen: { ops: "127.0.0.1:7091", workload: undefined },
      server: undefined,
      agentGraceSeconds: 2_592_000,
      identities: [],
      log: { level: "info", format: "auto" },
    });
  });

  it.each([
    ["mode: 0640", { mode: 0o640 }],
    ["mode: 0o640", { mode: 0o640 }],
    ['mode: "0600"', { mode: 0o600 }],
    ["mode: 400", { mode: 0o400 }],
    ["owner: 1000\ngroup: www-data", { owner: "1000", group: "www-data" }],
    ["key: keep", { key: "keep" }],
    [
      "reload: {command: [nginx, -s, reload]}",
      { reload: { kind: "command", command: ["nginx", "-s", "reload"], deadlineMs: 10_000 } },
    ],
    [
      "reload: {signal: HUP, pid_file: /run/x, user: app}",
      { reload: { kind: "signal", signal: "SIGHUP", pidFile: "/run/x", user: "app" } },
    ],
    [
      "reload: {signal: SIGUSR1, pid_file: /run/x}",
      { reload: { kind: "signal", signal: "SIGUSR1", pidFile: "/run/x", user: undefined } },
    ],
  ])("%j is taken", async (text, expected) => {
    const { config } = await agent(identities(text));
    expect(config.identities[0]).toMatchObject({
      spiffeId: "spiffe://prod.example/svc/a",
      dir: "/run/signet/a",
      ...expected,
    });
  });

  it.each([
    ["mode: 0644", "identities[0].mode: must be 0600, 0640, 0400 or 0440: nobody else reads a key, got 0644"],
    ["mode: rw", "identities[0].mode: must be the permission bits of the key, such as 0600 or 0640, got rw"],
    ["owner: a b", "identities[0].owner: must be a user or group, by name or number, got a b"],
    ["key: kept", "identities[0].key: must be one of new, keep, got kept"],
    ["reload: {}", "identities[0].reload: has neither command nor signal"],
    [
      "reload: {command: [x], signal: HUP, pid_file: /x}",
      "identities[0].reload: has both command and signal, one is taken",
    ],
    ["reload: {signal: HUP}", "identities[0].reload: has a signal but no pid_file"],
    [
      "reload: {signal: HUPP, pid_file: /x}",
      "identities[0].reload.signal: HUPP is no signal of this system: the nearest is HUP",
    ],
    ["reload: {signal: KILL, pid_file: /x}", "identities[0].reload.signal: KILL stops a process, it asks for nothing"],
    ["reload: {command: nginx -s reload}", "identities[0].reload.command: must be a list, got nginx -s reload"],
    ["reload: [x]", "identities[0].reload: must be a mapping, got a list"],
    ["spiffeId: x", "identities[0].spiffeId: this file is snake_case: spiffe_id"],
  ])("%j is: %s", async (text, expected) => {
    expect(await message(agent(identities(text)))).toMatch(/^agent\.yaml line \d: /);
    expect((await message(agent(identities(text)))).replace(/^agent\.yaml line \d: /, "")).toBe(expected);
  });

  it("two identities with one directory or one ID are refused, however the directory is written", async () => {
    const two = (id: string, where: string): string =>
      `identities:\n  - ${one}  - spiffe_id: ${id}\n    dir: ${where}\n`;
    expect(await message(agent(two("spiffe://prod.example/svc/b", "/run/signet/../signet/a/")))).toBe(
      "agent.yaml line 5: identities[1].dir: /run/signet/../signet/a/ is the directory of identities[0] too, each needs its own",
    );
    expect(await message(agent(two("spiffe://prod.example/svc/a", "/run/signet/b")))).toBe(
      "agent.yaml line 4: identities[1].spiffe_id: spiffe://prod.example/svc/a is that of identities[0] too",
    );
    expect(await message(agent("identities:\n  -\n"))).toMatch(/identities\[0\]: is empty/);
    expect(await message(agent("identities:\n  - {dir: /x}\n"))).toBe("agent.yaml: identities[0].spiffe_id is missing");
    expect(await message(agent("server: a:1, b\n"))).toMatch(/^agent\.yaml line 1: server: "b" has no port/);
  });

  it("agentConfigText() writes a file that brings the same about", async () => {
    const first = await agent(
      `${identities("owner: 1000\nmode: 0640\nreload: {command: [nginx, -s, reload]}")}  - {spiffe_id: "spiffe://prod.example/svc/b", dir: "/run/a b"}\n`,
    );
    expect((await agent(agentConfigText(first.settings))).config).toEqual(first.config);
  });
});

describe("configuration files", () => {
  it.each([0o666, 0o646])("readConfigFile() refuses mode %o", async (mode) => {
    const path = join(dir, `w${mode}`);
    writeFileSync(path, least);
    chmodSync(path, mode);
    expect(await message(readConfigFile(path))).toMatch(/can be written by others .*chmod go-w/);
  });

  it("loadServerConfig() and loadAgentConfig() read -c before SIGNET_CONFIG, and say when there is none", async () => {
    const path = join(dir, "server.yaml");
    writeFileSync(path, least, { mode: 0o644 });
    expect((await loadServerConfig({ flags: {}, env: { SIGNET_CONFIG: path } })).config.trustDomain).toBe(
      "prod.example",
    );
    expect(
      await message(loadServerConfig({ configFile: join(dir, "none"), flags: {}, env: { SIGNET_CONFIG: path } })),
    ).toBe(`${join(dir, "none")} does not exist`);
    writeFileSync(join(dir, "latin"), new Uint8Array([0x61, 0xff]), { mode: 0o600 });
    expect(await message(loadAgentConfig({ configFile: join(dir, "latin"), flags: {}, env: {} }))).toMatch(
      /is not text in UTF-8/,
    );
    expect(await message(loadAgentConfig({ configFile: dir, flags: {}, env: {} }))).toMatch(/is not a file/);
  });

  it("any text is a configuration or a ConfigError of one line without control characters", async () => {
    const pieces = [
      "trust_domain",
      "listen",
      "api",
      "identities",
      "- ",
      "-",
      ": ",
      ":",
      "\n",
      "  ",
      "\t",
      "{",
      "}",
      "[",
      "]",
      "&a ",
      "*a",
      "!!x ",
      "'",
      '"',
      "|",
      ">",
      "#",
      "---",
      "...",
      "%YAML 1.1",
      "? ",
      "<<",
      "~",
      "0x1",
      "1e9",
      "\u202e",
      "\0",
      "é",
    ];
    const grown = fc.array(fc.constantFrom(...pieces), { maxLength: 40 }).map((each) => each.join(""));
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: "binary" }), grown), async (text) => {
        for (const judged of [server(text), agent(text)]) {
          const said = await message(judged);
          expect(said.startsWith("foreign")).toBe(false);
          expect(said).not.toMatch(/[\p{Cc}\p{Cf}]/u);
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);

  it("a key such as __proto__ changes no prototype", async () => {
    expect(await message(server(`${least}__proto__: {admin: true}\n`))).toMatch(/line 2: __proto__: unknown key/);
    expect(await message(server(`${least}constructor: 1\n`))).toMatch(/line 2: constructor: unknown key/);
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it("the JSON Schemas name every setting with its meaning and forbid others", () => {
    const read = serverConfigSchema() as {
      required: string[];
      additionalProperties: boolean;
      properties: Record<string, { description: string; default?: unknown }>;
    };
    expect([read.required, read.additionalProperties]).toEqual([["trust_domain"], false]);
    expect(read.properties["agent_grace"]).toMatchObject({ type: "string", default: "30d" });
    for (const { description } of Object.values(read.properties)) expect(description).not.toBe("");
    expect(JSON.stringify(agentConfigSchema())).toContain('"spiffe_id"');
  });
});
