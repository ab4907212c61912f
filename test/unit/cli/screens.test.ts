import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type AdminAnswers,
  at,
  type FakeAdmin,
  fakeAuthority,
  fakeCertificate,
  fakeEntry,
  fakeNode,
  fakeNow,
  fakeStatus,
  refusal,
  startFakeAdmin,
} from "../../fakes/fake-admin.ts";
import { expectGolden, fakeInit, overlong, type RunOptions, run, shortDir } from "./run-cli.ts";

process.env["TZ"] = "UTC";

let dir: Awaited<ReturnType<typeof shortDir>>;
let admin: FakeAdmin;
let address: string;

beforeAll(async () => {
  dir = await shortDir();
  address = join(dir.path, "admin.sock");
  admin = await startFakeAdmin(address);
});
afterAll(async () => {
  admin.close();
  await dir.remove();
});

interface Screen {
  readonly name: string;
  readonly args: readonly string[];
  readonly code?: number;
  readonly options?: RunOptions;
  readonly answers?: Partial<AdminAnswers>;
}

const noAgent = { agentJoined: false, agentConnected: false, reported: undefined };

const screens: readonly Screen[] = [
  { name: "status", args: ["status"] },
  {
    name: "status-well",
    args: ["status"],
    answers: {
      getStatus: () =>
        fakeStatus({
          problems: [],
          rootKeyOnServer: false,
          agentsLate: 0,
          identitiesLate: 0,
          deniedLastHour: 0n,
          deniedRules: [],
        }),
    },
  },
  {
    name: "status-empty",
    args: ["status"],
    answers: {
      getStatus: () =>
        fakeStatus({
          startedAt: at(-40),
          certificatesStored: 1n,
          storeBytes: 4096n,
          authorities: [fakeAuthority({ name: "int-1", liveLeaves: 1n })],
          problems: [],
          agentsLive: 0,
          agentsLate: 0,
          agentsWithBundle: 0,
          identitiesLive: 0,
          identitiesLate: 0,
          runwayFirst: undefined,
          runwayHalf: undefined,
          issuedLastHour: 0n,
          deniedLastHour: 0n,
          deniedRules: [],
        }),
    },
  },
  {
    name: "status-clock",
    args: ["status"],
    answers: {
      getStatus: () => ({
        ...fakeStatus(),
        problems: [
          {
            what: "not issuing: the server's clock went 6 h forward at 2026-11-25T08:02:09Z; 41 of 43 agents still say 08:02",
            cure: "mend the clock, or if it is right: signet server accept-clock",
          },
        ],
      }),
    },
  },
  { name: "server-accept-clock", args: ["server", "accept-clock"], options: { input: "yes\n" } },
  { name: "server-accept-clock-dry-run", args: ["server", "accept-clock", "--dry-run"] },
  { name: "server-accept-clock-pipe", args: ["server", "accept-clock"], options: { terminal: false }, code: 2 },
  {
    name: "server-accept-clock-sure",
    args: ["server", "accept-clock", "--yes"],
    answers: { acceptClock: () => ({ serverTime: fakeNow, already: true, wasUnsureBecause: "" }) },
  },
  { name: "server-accept-clock-json", args: ["server", "accept-clock", "--yes", "-o", "json", "--reason", "it is"] },
  { name: "status-narrow", args: ["status"], options: { columns: 40 } },
  { name: "status-quiet", args: ["status", "-q"] },
  { name: "status-json", args: ["status", "-o", "json"] },
  { name: "status-yaml", args: ["status", "-o", "yaml"] },

  { name: "token-create", args: ["token", "create", "--agent", "one"] },
  {
    name: "token-create-address",
    args: ["token", "create", "--agent", "db-3", "--ttl", "1h", "--address", "ca.prod.example:7443"],
  },
  { name: "token-create-quiet", args: ["token", "create", "--agent", "one", "-q"] },
  { name: "token-create-json", args: ["token", "create", "--agent", "one", "-o", "json"] },
  { name: "token-list", args: ["token", "list"] },
  { name: "token-list-json", args: ["token", "list", "-o", "json"] },
  {
    name: "token-list-empty",
    args: ["token", "list"],
    answers: { listTokens: () => ({ tokens: [], nextPageToken: "" }) },
  },
  { name: "token-revoke", args: ["token", "revoke", "5d1c07aa9a1e"], options: { input: "y\n" } },
  { name: "token-revoke-no", args: ["token", "revoke", "5d1c07aa9a1e"], options: { input: "\n" }, code: 1 },
  { name: "token-revoke-dry-run", args: ["token", "revoke", "5d1c", "--dry-run"] },
  { name: "token-revoke-pipe", args: ["token", "revoke", "5d1c07aa9a1e"], options: { terminal: false }, code: 2 },
  { name: "token-revoke-unknown", args: ["token", "revoke", "5d1c07aa9a1f", "--yes"], code: 1 },

  { name: "entry-create", args: ["entry", "create", "--id", "/svc/a", "--agent", "one", "--dns", "a.prod.example"] },
  {
    name: "entry-create-selector",
    args: ["entry", "create", "--id", "/svc/a", "--agent", "one", "--selector", "unix:uid:1000", "--ttl", "30m"],
  },
  {
    name: "entry-create-wait",
    args: ["entry", "create", "--id", "/svc/a", "--agent", "one", "--dns", "a.prod.example", "--wait", "10s"],
  },
  {
    name: "entry-create-wait-over",
    args: ["entry", "create", "--id", "/svc/a", "--agent", "one", "--wait", "1s"],
    code: 5,
    answers: {
      async *watchEntry() {
        yield { entry: fakeEntry(noAgent), onDisk: false };
        await new Promise((resolve) => setTimeout(resolve, 5000).unref());
      },
    },
  },
  {
    name: "entry-create-name-space",
    args: ["entry", "create", "--id", "/agent/two", "--agent", "one"],
    code: 3,
    answers: {
      createEntry: () => {
        throw refusal("denied", "spiffe://prod.example/agent/two is in the name space of agents", {
          rule: "name_space",
          value: "spiffe://prod.example/agent/two",
          limit: "anything but /signet/*, /agent/*, /device/*",
        });
      },
    },
  },
  { name: "entry-list", args: ["entry", "list"] },
  { name: "entry-list-json", args: ["entry", "list", "-o", "json"] },
  { name: "entry-list-yaml", args: ["entry", "list", "--agent", "two", "-o", "yaml"] },
  { name: "entry-list-quiet", args: ["entry", "list", "-q"] },
  { name: "entry-show", args: ["entry", "show", "e-1"] },
  { name: "entry-show-unknown", args: ["entry", "show", "/svc/aa"], code: 1 },
  { name: "entry-update", args: ["entry", "update", "e-1", "--add-dns", "admin.prod.example"] },
  { name: "entry-update-remove-none", args: ["entry", "update", "e-1", "--remove-dns", "b.prod.example"], code: 2 },
  { name: "entry-update-nothing", args: ["entry", "update", "e-1"], code: 2 },
  { name: "entry-delete", args: ["entry", "delete", "e-1"], options: { input: "yes\n" } },
  { name: "entry-delete-dry-run", args: ["entry", "delete", "/svc/a", "--dry-run"] },
  { name: "entry-delete-pipe", args: ["entry", "delete", "e-1"], options: { terminal: false }, code: 2 },
  {
    name: "entry-delete-conflict",
    args: ["entry", "delete", "e-1", "--yes"],
    code: 1,
    answers: {
      deleteEntry: () => {
        throw refusal("conflict", "e-1 was changed by somebody else meanwhile", { cure: "signet entry show e-1" });
      },
    },
  },

  { name: "node-list", args: ["node", "list"] },
  { name: "node-list-wide", args: ["node", "list"], options: { columns: 140 } },
  { name: "node-list-below", args: ["node", "list", "--bundle-below", "7"] },
  { name: "node-list-json", args: ["node", "list", "-o", "json"] },
  { name: "node-show", args: ["node", "show", "one"] },
  { name: "node-show-held", args: ["node", "show", "db-3"] },
  { name: "node-show-unknown", args: ["node", "show", "db-4"], code: 1 },
  {
    name: "node-show-foreign",
    args: ["node", "show", "one"],
    answers: {
      getNode: () => ({
        node: fakeNode({ version: "\u001b[2J\u202e9.9.9", heldBackBy: `${"x".repeat(70)}\n\u009b31m` }),
      }),
    },
  },

  { name: "cert-list", args: ["cert", "list"] },
  { name: "cert-list-json", args: ["cert", "list", "--id", "/svc/a", "-o", "json"] },
  { name: "cert-show", args: ["cert", "show", "4F:0C:1E:2D:3B:4A:59:68:77:86:A5:B4:C3:D2:E1:F0"] },
  {
    name: "cert-show-limited",
    args: ["cert", "show", "4f0c1e2d3b4a59687786a5b4c3d2e1f0"],
    answers: {
      getCertificate: () => ({ certificate: fakeCertificate({ limitedBy: "authority", notAfter: at(31 * 60) }) }),
    },
  },
  { name: "cert-show-unknown", args: ["cert", "show", "4f0c0000"], code: 1 },
  { name: "cert-show-pem", args: ["cert", "show", "4f0c1e2d3b4a59687786a5b4c3d2e1f0", "-o", "pem"] },

  { name: "explain", args: ["explain", "--id", "/svc/a", "--agent", "one"] },
  { name: "authority-list", args: ["authority", "list"] },
  { name: "authority-list-json", args: ["authority", "list", "-o", "json"] },
  { name: "authority-show", args: ["authority", "show", "int-2"] },
  { name: "authority-show-root", args: ["authority", "show", "root-1"] },
  { name: "authority-show-unknown", args: ["authority", "show", "int-3"], code: 1 },
  { name: "authority-rotate", args: ["authority", "rotate"] },
  { name: "authority-rotate-wait-pipe", args: ["authority", "rotate", "--wait"], options: { terminal: false } },
  { name: "authority-rotate-quiet", args: ["authority", "rotate", "-q"] },
  {
    name: "authority-rotate-no-key",
    args: ["authority", "rotate"],
    code: 1,
    answers: {
      async *rotateAuthority() {
        yield* [];
        throw refusal("conflict", "the key of root-1 is not on this server", {
          cure: "signet authority rotate --root-key FILE",
        });
      },
    },
  },
  { name: "bundle-show", args: ["bundle", "show"] },
  { name: "bundle-show-pem", args: ["bundle", "show", "-o", "pem"] },
  { name: "bundle-show-spiffe", args: ["bundle", "show", "-o", "spiffe"] },
  { name: "bundle-show-json", args: ["bundle", "show", "-o", "json"] },
  { name: "bundle-show-wrong", args: ["bundle", "show", "-o", "xml"], code: 2 },

  {
    name: "in-doubt",
    args: ["entry", "update", "e-1", "--ttl", "1h"],
    code: 1,
    answers: {
      updateEntry: () => {
        throw refusal("in_doubt", "the store did not say whether it kept this");
      },
    },
  },
];

describe("screens at 80 columns", () => {
  for (const screen of screens) {
    test(`${screen.name}: signet ${screen.args.join(" ")} looks as its golden file`, async () => {
      const own = screen.answers === undefined ? undefined : await shortDir();
      const fake = own === undefined ? undefined : await startFakeAdmin(join(own.path, "a.sock"), screen.answers);
      try {
        const result = await run([...screen.args, "--admin", fake?.socketPath ?? address], screen.options);
        expectGolden(screen.name, screen.args, result);
        expect(result.code).toBe(screen.code ?? 0);
        const wanted = screen.options?.columns ?? 80;
        if (wanted === 80 && !screen.args.includes("-o")) expect(overlong(result.screen)).toEqual([]);
      } finally {
        fake?.close();
        await own?.remove();
      }
    });
  }
});

describe("signet init", () => {
  const starters = { init: fakeInit };

  test("init: the screen names keys, ends and fingerprint, and what to do next", async () => {
    const args = ["init", "--trust-domain", "prod.example"];
    const result = await run(args, { starters });
    expectGolden("init", args, result);
    expect(result.code).toBe(0);
  });

  test("init: with the root key elsewhere and a passphrase nothing is warned of", async () => {
    const args = [
      "init",
      "--trust-domain",
      "prod.example",
      "--root-key-out",
      "root-1.key",
      "--key-passphrase-file",
      "pass",
      "--key-type",
      "ed25519",
    ];
    expectGolden("init-outside-root", args, await run(args, { starters }));
  });

  test("init: -o json holds names of the identity directory's style", async () => {
    const args = ["init", "--trust-domain", "prod.example", "-o", "json"];
    expectGolden("init-json", args, await run(args, { starters }));
  });

  test("init: an intermediate too short for the lifetimes is refused, the cure names lifetimes", async () => {
    const args = ["init", "--trust-domain", "prod.example", "--intermediate-ttl", "1h"];
    const result = await run(args, { starters });
    expectGolden("init-too-short", args, result);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("lifetimes");
  });

  test("init: shorter lifetimes of the configuration let a short intermediate pass", async () => {
    const own = await shortDir();
    const file = join(own.path, "server.yaml");
    await writeFile(file, "data_dir: d\nlifetimes: {agent: 1m, server: 1m, admin: 1m, workload: 10s}\n");
    const args = ["init", "--trust-domain", "prod.example", "--intermediate-ttl", "4m"];
    expect((await run([...args, "-c", file], { starters })).code).toBe(0);
    expect((await run([...args, "-c", file], { starters, env: { SIGNET_LIFETIMES_AGENT: "2m" } })).stderr).toContain(
      "lifetimes.agent is 2 min",
    );
    await own.remove();
  });

  test("init: a directory that holds a trust domain is left alone, exit 1", async () => {
    const own = await shortDir();
    await mkdir(join(own.path, ".signet"));
    await writeFile(join(own.path, ".signet/signet.json"), "{}");
    const args = ["init", "--trust-domain", "prod.example"];
    const result = await run(args, { starters, cwd: own.path });
    expectGolden("init-exists", args, result);
    expect(result.code).toBe(1);
    await own.remove();
  });

  test("init: a trust domain that is none is wrong use, as is none at all", async () => {
    const none = await run(["init"], { starters });
    expectGolden("init-no-trust-domain", ["init"], none);
    expect(none.code).toBe(2);
    expect((await run(["init", "--trust-domain", "Prod.Example"], { starters })).code).toBe(2);
  });
});

describe("the server is not there", () => {
  test("no data directory by default: exit 4, and how to make one", async () => {
    const own = await shortDir();
    const result = await run(["status"], { cwd: own.path });
    expect(result.code).toBe(4);
    expectGolden("unreachable-default", ["status"], { ...result, screen: result.screen.replaceAll(own.path, "DIR") });
    await own.remove();
  });

  test("a data directory named by the machine's file: the file is named, and systemctl", async () => {
    const own = await shortDir();
    const etcDir = join(own.path, "etc/signet");
    await mkdir(etcDir, { recursive: true });
    await writeFile(join(etcDir, "server.yaml"), "trust_domain: prod.example\ndata_dir: /var/lib/signet-of-nobody\n");
    const result = await run(["status"], { cwd: own.path, etcDir });
    expect(result.code).toBe(4);
    expectGolden("unreachable-machine", ["status"], { ...result, screen: result.screen.replaceAll(own.path, "") });
    await own.remove();
  });

  test("a socket that nobody listens on: exit 4", async () => {
    const own = await shortDir();
    const socketPath = join(own.path, "a.sock");
    const { createServer } = await import("node:net");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    await new Promise<void>((resolve) => server.close(() => resolve()));
    const result = await run(["status", "--admin", socketPath]);
    expect(result.code).toBe(4);
    expect(result.stderr).toMatch(
      /^signet: cannot reach the server: (no socket|nobody listens at) .*a\.sock \(--admin\)\n/,
    );
    await own.remove();
  });
});

describe("explain of what has no entry", () => {
  test("explain: agents and the server ask for themselves, and no entry is proposed", async () => {
    for (const id of ["/agent/one", "spiffe://prod.example/agent/one", "/signet/server"]) {
      const result = await run(["explain", "--id", id, "--admin", address]);
      expect(result.code).toBe(0);
      expect(result.stdout).not.toContain(" for /agent/");
    }
    const device = await run(["explain", "--id", "/device/x", "--admin", address]);
    expect(device).toMatchObject({
      code: 2,
      stderr: "signet: no entry may give /device/x to an agent\ntry: signet explain --id /device/x --agent NAME\n",
    });
  });
});

describe("explain --csr", () => {
  test("explain --csr shows what the CSR asks for, and exits 1 when a rule refuses", async () => {
    const own = await shortDir();
    const { execFileSync } = await import("node:child_process");
    const file = join(own.path, "a.csr");
    execFileSync(
      "openssl",
      [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        join(own.path, "k"),
        "-out",
        file,
        "-subj",
        "/CN=admin",
        "-addext",
        "subjectAltName=DNS:admin.prod.example,URI:spiffe://prod.example/svc/a",
        "-addext",
        "keyUsage=digitalSignature",
      ],
      { stdio: "ignore" },
    );
    const args = ["explain", "--id", "/svc/a", "--csr", "a.csr"];
    const result = await run(["explain", "--id", "/svc/a", "--csr", file, "--admin", address]);
    expect(result.code).toBe(1);
    expectGolden("explain-csr", args, result);
    const json = await run(["explain", "--id", "/svc/a", "--csr", file, "-o", "json", "--admin", address]);
    expect(JSON.parse(json.stdout)).toMatchObject({ allowed: false, csr: { key: "EC P-256", signatureValid: true } });
    await own.remove();
  });

  test("explain --csr: what is no CSR is wrong use, and the server is not asked", async () => {
    const own = await shortDir();
    const file = join(own.path, "a.csr");
    const asked = admin.requests.length;
    await writeFile(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect((await run(["explain", "--id", "/svc/a", "--csr", file, "--admin", address])).stderr).toContain(
      "holds CERTIFICATE, not CERTIFICATE REQUEST",
    );
    await writeFile(file, Buffer.alloc(60_000));
    expect((await run(["explain", "--id", "/svc/a", "--csr", file, "--admin", address])).code).toBe(2);
    await writeFile(file, "x");
    expect((await run(["explain", "--id", "/svc/a", "--csr", file, "--admin", address])).code).toBe(2);
    expect((await run(["explain", "--id", "/svc/a", "--csr", join(own.path, "none"), "--admin", address])).code).toBe(
      2,
    );
    expect(admin.requests.length).toBe(asked);
    await own.remove();
  });
});

describe("authority rotate --root-key", () => {
  test("rotate --root-key decrypts the key here and sends PKCS#8 PEM", async () => {
    const own = await shortDir();
    const { generateKeyPairSync } = await import("node:crypto");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const file = join(own.path, "root.key");
    const passphraseFile = join(own.path, "root.pass");
    await writeFile(
      file,
      privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "secret word" }),
      { mode: 0o600 },
    );
    await writeFile(passphraseFile, "secret word\n", { mode: 0o600 });
    const rotate = ["authority", "rotate", "--root-key", file, "--admin", address];
    expect((await run([...rotate, "--root-passphrase-file", passphraseFile])).code).toBe(0);
    const sent = admin.requests.findLast(({ method }) => method === "rotateAuthority")?.request as {
      rootKeyPem: Uint8Array;
    };
    expect(Buffer.from(sent.rootKeyPem).toString()).toBe(
      privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    );

    const missing = await run(rotate);
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain("--root-passphrase-file FILE");
    await writeFile(passphraseFile, "another word\n");
    const wrong = await run([...rotate, "--root-passphrase-file", passphraseFile]);
    expect(wrong).toMatchObject({
      code: 2,
      stderr: `signet: cannot open ${file}: wrong passphrase, or a damaged key\n`,
    });
    await chmod(passphraseFile, 0o644);
    const open = await run([...rotate, "--root-passphrase-file", passphraseFile]);
    expect(open.code).toBe(2);
    expect(open.stderr).toContain("others");
    await own.remove();
  });
});
