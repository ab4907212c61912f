import { spawn, spawnSync } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDeclare } from "../../../src/cli/command.ts";
import type { CliContext } from "../../../src/cli/context.ts";
import { wantsColour } from "../../../src/cli/print.ts";
import { buildProgram } from "../../../src/cli/program.ts";
import { type FakeAdmin, fakeRootDer, fakeStatus, startFakeAdmin } from "../../fakes/fake-admin.ts";
import { expectGolden, overlong, run, shortDir } from "./run-cli.ts";

process.env["TZ"] = "UTC";

const mainFile = join(import.meta.dirname, "../../../src/cli/main.ts");
const nodeArgs = ["--conditions=signet-source", mainFile];

let dir: Awaited<ReturnType<typeof shortDir>>;
let admin: FakeAdmin;

beforeAll(async () => {
  dir = await shortDir();
  admin = await startFakeAdmin(join(dir.path, "admin.sock"));
});
afterAll(async () => {
  admin.close();
  await dir.remove();
});

/** Every command of the tree, as `entry create`. */
function everyPath(): readonly string[] {
  const context = { out: { columns: () => 80 }, err: { columns: () => 80 } } as unknown as CliContext;
  const paths: string[] = [];
  const visit = (command: Command, path: readonly string[]): void => {
    if (path.length > 0) paths.push(path.join(" "));
    for (const each of command.commands) visit(each, [...path, each.name()]);
  };
  visit(
    buildProgram(
      createDeclare(() => () => Promise.resolve()),
      context,
    ),
    [],
  );
  return paths;
}

describe("help", () => {
  test("signet --help is as its golden file, and so is the bare signet, on stderr with exit 2", async () => {
    const help = await run(["--help"]);
    expectGolden("help", ["--help"], help);
    expect(help.code).toBe(0);
    expect(await run([])).toMatchObject({ code: 2, stdout: "", stderr: help.stdout });
  });

  for (const path of everyPath()) {
    test(`signet ${path} --help is as its golden file, fits 80 columns and holds an example`, async () => {
      const args = [...path.split(" "), "--help"];
      const result = await run(args);
      expectGolden(`help-${path.replaceAll(" ", "-")}`, args, result);
      expect(result.code).toBe(0);
      expect(overlong(result.stdout)).toEqual([]);
      if (!result.stdout.includes("\ncommands:\n")) expect(result.stdout).toMatch(/\nexamples?:\n {2}\S/);
    });
  }

  for (const topic of ["environment", "exit-codes", "files"]) {
    test(`signet help ${topic} is as its golden file`, async () => {
      const result = await run(["help", topic]);
      expectGolden(`help-topic-${topic}`, ["help", topic], result);
      expect(overlong(result.stdout)).toEqual([]);
    });
  }

  test("signet help NOUN VERB is the same as --help; a name that is none gets the nearest", async () => {
    expect((await run(["help", "entry", "create"])).stdout).toBe((await run(["entry", "create", "--help"])).stdout);
    expect(await run(["help", "exit-code"])).toMatchObject({
      code: 2,
      stderr: "signet: no help on exit-code: the nearest is exit-codes\ntry: signet help exit-codes\n",
    });
  });

  test("a noun without a verb shows its help where errors go, exit 2", async () => {
    const result = await run(["entry"]);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toBe((await run(["entry", "--help"])).stdout);
  });
});

describe("wrong use: exit 2, one line, the nearest name, a command to paste", () => {
  const cases: readonly (readonly [args: string, line: string, cure: string])[] = [
    [
      "entry create --id /svc/a --agnet one",
      "unknown flag --agnet: the nearest is --agent",
      "signet entry create --help",
    ],
    ["entry create --id /svc/a --agent one --xyzzy", "unknown flag --xyzzy", "signet entry create --help"],
    ["entry list -x", "unknown flag -x", "signet entry list --help"],
    ["stauts", "unknown command stauts: the nearest is status", "signet status --help"],
    ["frobnicate", "unknown command frobnicate", "signet --help"],
    ["entry crate", "unknown command crate: the nearest is create", "signet entry create --help"],
    ["agent statsu", "unknown command statsu: the nearest is status", "signet agent status --help"],
    ["token list extra", 'signet token list takes no argument, got "extra" too', "signet token list --help"],
    ["entry create --id /svc/a", "signet entry create needs --agent NAME", "signet entry create --help"],
    ["entry show", "signet entry show needs ENTRY", "signet entry show --help"],
    ["token create --agent", "--agent needs a value: --agent NAME", "signet token create --help"],
    ["status -o jsn", "-o jsn: signet status writes table, json, yaml", "signet status -o json"],
    ["completion tcsh", "no completion for tcsh: there is one for bash, zsh, fish", "signet completion bash"],
    [
      "authority rotate --key-type rsa-1024",
      "--key-type rsa-1024: it is one of ec-p256, ec-p384, rsa-2048, rsa-3072, ed25519",
      "",
    ],
    ["cert list --limit 0", "--limit 0: not a whole number from 1 on", ""],
    ["node list --bundle-below -1", "--bundle-below -1: not a whole number from 1 on", ""],
    [
      "cert show 4f0c1e2",
      "4f0c1e2 is not a serial: give its hexadecimal digits, the first 8 at least",
      "signet cert list",
    ],
    ["token create --agent one --ttl 0s", "--ttl 0s: a life is 1 s at least", ""],
    ["entry create --id /svc/a --agent one --ttl 0", "--ttl 0: a life is 1 s at least", ""],
    ["entry update e-1 --ttl 0m", "--ttl 0m: a life is 1 s at least", ""],
    ["entry create --id svc/a --agent one", "--id svc/a: the path of a SPIFFE ID begins with /", "--id /svc/a"],
    [
      "init --trust-domain a.example --root-ttl 3650d --intermediate-ttl 4000d",
      "--root-ttl 3650d is shorter than --intermediate-ttl 4000d: nothing outlives its issuer",
      "",
    ],
    ["cert show xyz", "xyz is not a serial: give its hexadecimal digits, the first 8 at least", "signet cert list"],
    [
      "status --admin ca.prod.example:7443",
      "cannot use --admin ca.prod.example:7443: it takes the path of an admin socket, as ./.signet/admin.sock",
      "signet status --admin ./.signet/admin.sock",
    ],
    [
      "bundle show -o pkcs12",
      "-o pkcs12 needs --out and --password-file",
      "signet bundle show -o pkcs12 --password-file FILE --out trust.p12",
    ],
  ];
  for (const [args, line, cure] of cases) {
    test(`signet ${args}`, async () => {
      const result = await run(args.split(" "));
      expect(result).toMatchObject({
        code: 2,
        stdout: "",
        stderr: `signet: ${line}\n${cure === "" ? "" : `try: ${cure}\n`}`,
      });
    });
  }

  test("a duration that is none says how one is written", async () => {
    const result = await run(["token", "create", "--agent", "one", "--ttl", "10"]);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/^signet: --ttl: .*1h30m/);
  });

  test("a flag that came from a hostile place cannot move the cursor", async () => {
    expect((await run(["status", "--\u001b[2J"])).stderr).not.toContain("\u001b");
  });
});

describe("shared flags", () => {
  test("they may stand before the noun, before the verb, and after it", async () => {
    const address = admin.socketPath;
    for (const args of [
      ["--admin", address, "entry", "list", "-q"],
      ["entry", "--admin", address, "-q", "list"],
      ["-q", "entry", "list", "--admin", address],
    ]) {
      expect(await run(args)).toMatchObject({ code: 0, stdout: "e-1\ne-2\n" });
    }
  });

  test("the one nearest to the verb wins", async () => {
    expect((await run(["--admin", "/nowhere/x.sock", "entry", "list", "-q", "--admin", admin.socketPath])).code).toBe(
      0,
    );
  });

  test("SIGNET_ADMIN and unix: are understood; -v says more about a failure", async () => {
    expect((await run(["status", "-q"], { env: { SIGNET_ADMIN: `unix:${admin.socketPath}` } })).code).toBe(0);
    const failed = await run(["status", "-v", "--admin", "/nowhere/x.sock"]);
    expect(failed.code).toBe(4);
    expect(failed.stderr).toContain("ENOENT");
  });
});

describe("where the data directory is", () => {
  test("flag, variable, -c, the machine's file, ./.signet: the first that is there", async () => {
    const own = await shortDir();
    const etcDir = join(own.path, "etc");
    await mkdir(etcDir);
    const named = join(own.path, "server.yaml");
    await writeFile(named, "data_dir: /of/c\n");
    const place = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
      const result = await run(["env", "-o", "json", ...args], { cwd: own.path, etcDir, env });
      const rows = JSON.parse(result.stdout) as { setting: string; value: string; from: string }[];
      const row = rows.find(({ setting }) => setting === "server data_dir");
      return `${row?.value} (${row?.from.replace(own.path, "")})`;
    };
    expect(await place([])).toBe("./.signet (default)");
    await writeFile(join(etcDir, "server.yaml"), "data_dir: /of/machine\n");
    expect(await place([])).toBe("/of/machine (/etc/server.yaml)");
    expect(await place([], { SIGNET_CONFIG: "server.yaml" })).toBe("/of/c (/server.yaml)");
    expect(await place(["-c", named])).toBe("/of/c (/server.yaml)");
    expect(await place(["-c", named], { SIGNET_DATA_DIR: "/of/env" })).toBe("/of/env (SIGNET_DATA_DIR)");
    expect(await place(["-c", named, "--data-dir", "/of/flag"], { SIGNET_DATA_DIR: "/of/env" })).toBe(
      "/of/flag (--data-dir)",
    );
    await own.remove();
  });

  test("the machine's file does not count for another data directory, readable or not", async () => {
    const own = await shortDir();
    await writeFile(join(own.path, "server.yaml"), "trust_domain: [", { mode: 0o600 });
    let configFile: string | undefined = "unset";
    const server = (options: { readonly configFile?: string }): Promise<number> => {
      configFile = options.configFile;
      return Promise.resolve(0);
    };
    expect(
      (await run(["server", "--data-dir", "d"], { etcDir: own.path, cwd: own.path, starters: { server } })).code,
    ).toBe(0);
    expect(configFile).toBeUndefined();
    await run(["server"], { etcDir: own.path, cwd: own.path, starters: { server } });
    expect(configFile).toBe(join(own.path, "server.yaml"));
    await own.remove();
  });
});

describe("very small terminals", () => {
  for (const args of [
    ["status"],
    ["node", "list"],
    ["entry", "list"],
    ["cert", "list"],
    ["token", "list"],
    ["--help"],
    ["entry", "show", "e-1"],
  ]) {
    test(`signet ${args.join(" ")} still shows all of its facts at 5 columns`, async () => {
      const given = args[0] === "--help" ? args : [...args, "--admin", admin.socketPath];
      const small = await run(given, { columns: 5 });
      expect(small.code).toBe(0);
      expect(small.stdout.length).toBeGreaterThan(50);
    });
  }

  test("a picture that is drawn anew goes up by the lines it took, colours not counted", async () => {
    const interrupt = new AbortController();
    const own = await shortDir();
    let calls = 0;
    const fake = await startFakeAdmin(join(own.path, "a.sock"), {
      getStatus: () => {
        if (++calls === 2) setTimeout(() => interrupt.abort(), 50);
        return fakeStatus();
      },
    });
    const env = { NO_COLOR: "", FORCE_COLOR: "1" };
    const result = await run(["status", "--watch", "--admin", fake.socketPath], { interrupt, env });
    const lines = (await run(["status", "--admin", fake.socketPath])).screen.split("\n").length - 1;
    expect(result.stdout).toContain(`\u001b[${lines}A\u001b[J`);
    fake.close();
    await own.remove();
  });
});

describe("signet env and version", () => {
  test("env: each setting with where it came from; an unknown variable gets the nearest", async () => {
    const env = {
      SIGNET_DATA_DIR: "/var/lib/signet",
      SIGNET_LISTEN_API: "127.0.0.1:0",
      SIGNET_TRUST_DOMIAN: "x",
      TERM: "xterm",
    };
    expectGolden("env", ["env"], await run(["env"], { env }));
    expect((await run(["env", "-q"], { env })).stdout).toContain("\nserver_data_dir=/var/lib/signet\n");
    const own = await shortDir();
    await mkdir(join(own.path, "etc"));
    await writeFile(join(own.path, "etc/server.yaml"), "data_dir: /srv/ca\n");
    const json = await run(["env", "-o", "json"], { etcDir: join(own.path, "etc"), cwd: own.path });
    expect(JSON.parse(json.stdout)).toContainEqual({
      setting: "server data_dir",
      value: "/srv/ca",
      from: join(own.path, "etc/server.yaml"),
    });
    await own.remove();
  });

  test("a configuration file that others may write is not believed", async () => {
    const own = await shortDir();
    const file = join(own.path, "server.yaml");
    await writeFile(file, "data_dir: /srv/ca\n");
    await chmod(file, 0o666);
    const result = await run(["status", "-c", file]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("chmod go-w");
    await own.remove();
  });

  test("version: one line; -q the bare number; --version the same", async () => {
    const { version } = JSON.parse(await readFile(join(import.meta.dirname, "../../../package.json"), "utf8")) as {
      version: string;
    };
    expect((await run(["version", "-q"])).stdout).toBe(`${version}\n`);
    expect((await run(["version"])).stdout).toBe(
      `signet ${version}  Node ${process.versions.node}  ${process.platform} ${process.arch}\n`,
    );
    expect((await run(["--version"])).stdout).toBe((await run(["version"])).stdout);
    expect(JSON.parse((await run(["version", "-o", "json"])).stdout)).toMatchObject({
      version,
      node: process.versions.node,
    });
  });
});

describe("colours", () => {
  const terminal = { isTerminal: true };
  const pipe = { isTerminal: false };
  test("wantsColour() follows the terminal, NO_COLOR, FORCE_COLOR and TERM", () => {
    expect(wantsColour(terminal, {})).toBe(true);
    expect(wantsColour(pipe, {})).toBe(false);
    expect(wantsColour(terminal, { TERM: "dumb" })).toBe(false);
    expect(wantsColour(terminal, { NO_COLOR: "1" })).toBe(false);
    expect(wantsColour(terminal, { NO_COLOR: "" })).toBe(true);
    expect(wantsColour(pipe, { FORCE_COLOR: "1" })).toBe(true);
    expect(wantsColour(pipe, { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(false);
    expect(wantsColour(terminal, { FORCE_COLOR: "0" })).toBe(false);
  });

  test("a coloured table has the same letters at the same places", async () => {
    const args = ["node", "list", "--admin", admin.socketPath];
    const coloured = await run(args, { env: { NO_COLOR: "", FORCE_COLOR: "1" } });
    expect(coloured.stdout).toContain("\u001b[32mlive\u001b[0m ");
    expect(coloured.stdout.replace(/\u001b\[\d+m/g, "")).toBe((await run(args)).stdout);
  });
});

describe("interrupted", () => {
  test("Ctrl-C during rotate --wait: exit 130, and the rotation goes on", async () => {
    const own = await shortDir();
    const interrupt = new AbortController();
    const fake = await startFakeAdmin(join(own.path, "a.sock"), {
      async *rotateAuthority() {
        yield {
          step: 1,
          authority: undefined,
          previous: undefined,
          waitingFor: [],
          leavesMoved: 0n,
          leavesTotal: 0n,
          lastLeafEnds: undefined,
        };
        interrupt.abort();
        await new Promise((resolve) => setTimeout(resolve, 5000).unref());
      },
    });
    const result = await run(["authority", "rotate", "--wait", "--admin", fake.socketPath], { interrupt });
    expect(result).toMatchObject({
      code: 130,
      stderr: "signet: interrupted: the rotation to the new intermediate goes on\ntry: signet status\n",
    });
    fake.close();
    await own.remove();
  });

  test("Ctrl-C during status --watch: exit 130 after what was drawn", async () => {
    const interrupt = new AbortController();
    const running = run(["status", "--watch", "--admin", admin.socketPath], { interrupt });
    while (admin.requests.findLast(({ method }) => method === "getStatus") === undefined)
      await new Promise((resolve) => setImmediate(resolve));
    setTimeout(() => interrupt.abort(), 100);
    const result = await running;
    expect(result.code).toBe(130);
    expect(result.stdout).toContain("if the server stopped now");
  });
});

describe("signet bundle show -o pkcs12", () => {
  test("openssl and keytool read the trust store, keytool takes its roots for trusted ones", async () => {
    const own = await shortDir();
    const passwordFile = join(own.path, "pass");
    const out = join(own.path, "trust.p12");
    await writeFile(passwordFile, "change it\n", { mode: 0o600 });
    const result = await run([
      "bundle",
      "show",
      "-o",
      "pkcs12",
      "--password-file",
      passwordFile,
      "--out",
      out,
      "--admin",
      admin.socketPath,
    ]);
    expect(result).toMatchObject({ code: 0, stdout: "" });
    const openssl = spawnSync("openssl", ["pkcs12", "-in", out, "-nokeys", "-passin", `file:${passwordFile}`], {
      encoding: "utf8",
    });
    expect(openssl.status).toBe(0);
    const body = /-----BEGIN CERTIFICATE-----([\s\S]*)-----END/.exec(openssl.stdout)?.[1] ?? "";
    expect(Uint8Array.from(Buffer.from(body, "base64"))).toEqual(fakeRootDer);
    expect(spawnSync("openssl", ["pkcs12", "-in", out, "-nokeys", "-passin", "pass:wrong"]).status).not.toBe(0);
    const keytool = spawnSync(
      "keytool",
      ["-list", "-keystore", out, "-storetype", "PKCS12", "-storepass:file", passwordFile],
      { encoding: "utf8" },
    );
    if (keytool.error === undefined) {
      expect(keytool).toMatchObject({ status: 0, stdout: expect.stringContaining("prod.example-1") });
      expect(keytool.stdout).toContain("trustedCertEntry");
    }
    await own.remove();
  }, 30_000);

  test("a password file that others can read, or a short password, is refused", async () => {
    const own = await shortDir();
    const passwordFile = join(own.path, "pass");
    const args = [
      "bundle",
      "show",
      "-o",
      "pkcs12",
      "--password-file",
      passwordFile,
      "--out",
      join(own.path, "t.p12"),
      "--admin",
      admin.socketPath,
    ];
    await writeFile(passwordFile, "change it", { mode: 0o644 });
    expect(await run(args)).toMatchObject({ code: 2, stderr: expect.stringContaining("others") });
    await chmod(passwordFile, 0o600);
    await writeFile(passwordFile, "short");
    expect((await run(args)).code).toBe(2);
    await own.remove();
  });
});

describe("completion", () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    test(`completion ${shell} is a script that ${shell} can read, and names every command`, async () => {
      const result = await run(["completion", shell]);
      expect(result.code).toBe(0);
      for (const word of everyPath().flatMap((path) => path.split(" "))) expect(result.stdout).toContain(word);
      const checked = spawnSync(shell, ["-n"], { input: result.stdout, encoding: "utf8" });
      if (checked.error === undefined) expect(checked).toMatchObject({ status: 0, stderr: "" });
    });
  }

  test("completion bash offers verbs after a noun, flags after a verb, nothing for a flag's value", async () => {
    const script = (await run(["completion", "bash"])).stdout;
    const offered = (words: readonly string[]): readonly string[] => {
      const typed = words.map((word) => `'${word}'`).join(" ");
      const probe = `${script}\nCOMP_WORDS=(${typed}); COMP_CWORD=${words.length - 1}; _signet; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return spawnSync("bash", ["--norc"], { input: probe, encoding: "utf8" }).stdout.trim().split("\n");
    };
    expect(offered(["signet", "en"])).toEqual(["entry", "env"]);
    expect(offered(["signet", "entry", "cr"])).toEqual(["create"]);
    expect(offered(["signet", "--data-dir", "entry", "token", "re"])).toEqual(["revoke"]);
    expect(offered(["signet", "entry", "create", "--ag"])).toEqual(["--agent"]);
    expect(offered(["signet", "entry", "create", "--agent", ""])).toEqual([""]);
    expect(offered(["signet", "completion", ""])).toContain("fish");
  });
});

describe("as a process of its own", () => {
  function signet(
    args: readonly string[],
    options: { readonly env?: Record<string, string>; readonly input?: string } = {},
  ) {
    return spawnSync(process.execPath, [...nodeArgs, ...args], {
      encoding: "utf8",
      cwd: dir.path,
      input: options.input ?? "",
      env: { PATH: process.env["PATH"] ?? "", ...options.env },
    });
  }

  test("exit codes reach the shell: 0, 2, 4", () => {
    expect(signet(["version", "-q"])).toMatchObject({ status: 0, stderr: "" });
    expect(signet(["stauts"])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: "signet: unknown command stauts: the nearest is status\ntry: signet status --help\n",
    });
    expect(signet(["status", "--data-dir", "none"])).toMatchObject({ status: 4, stdout: "" });
  });

  test("what asks does nothing without a terminal: exit 2", async () => {
    const before = admin.requests.filter(({ method }) => method === "deleteEntry").length;
    const code = await new Promise<number | null>((resolve) => {
      const child = spawn(process.execPath, [...nodeArgs, "entry", "delete", "e-1", "--admin", admin.socketPath], {
        stdio: ["pipe", "ignore", "ignore"],
      });
      child.stdin.end("y\n");
      child.once("exit", resolve);
    });
    expect(code).toBe(2);
    expect(admin.requests.filter(({ method }) => method === "deleteEntry").length).toBe(before);
  });

  test("a reader that goes away is no failure (EPIPE)", async () => {
    const child = spawn(process.execPath, [...nodeArgs, "completion", "zsh"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (part: string) => (stderr += part));
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  });

  test("status --watch ends when its reader goes away", async () => {
    const child = spawn(
      process.execPath,
      [...nodeArgs, "status", "--watch", "-o", "json", "--admin", admin.socketPath],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    child.stdout.once("data", () => child.stdout.destroy());
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    expect(code).toBe(130);
  }, 20_000);

  test("SIGINT ends status --watch with 130", async () => {
    const child = spawn(process.execPath, [...nodeArgs, "status", "--watch", "--admin", admin.socketPath], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.stdout.once("data", () => child.kill("SIGINT"));
    expect(await new Promise<number | null>((resolve) => child.once("close", resolve))).toBe(130);
  }, 20_000);
});
