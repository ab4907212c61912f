import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { describe, expect, it } from "vitest";
import { breaches, type SourceFile } from "./breaches.ts";

const root = join(import.meta.dirname, "../..");
const skipped = new Set(["node_modules", "dist", "data", "golden"]);

function sourceFiles(folder: string): readonly SourceFile[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((item): readonly SourceFile[] => {
    const path = join(folder, item.name);
    if (item.isDirectory()) return skipped.has(item.name) ? [] : sourceFiles(path);
    if (!/\.(?:ts|mjs|js)$/.test(item.name)) return [];
    return [{ path: path.split(sep).join("/"), text: readFileSync(join(root, path), "utf8") }];
  });
}

const rules = (path: string, text: string): readonly string[] => breaches([{ path, text }]).map(({ rule }) => rule);

describe("the rooms of this repository", () => {
  it("breaches() finds none in src, agent, deploy, test, tool and bin", () => {
    const files = ["src", "agent", "deploy", "test", "tool", "bin"].flatMap(sourceFiles);
    expect(files.length).toBeGreaterThan(20);
    const found = breaches(files).map(({ path, line, rule, detail }) => `${path}:${line}: ${rule}: ${detail}`);
    expect(found).toEqual([]);
  });

  it("docs/dependencies.md has a line for each dependency of package.json", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly dependencies: Readonly<Record<string, string>>;
      readonly devDependencies: Readonly<Record<string, string>>;
    };
    const lines = readFileSync(join(root, "docs/dependencies.md"), "utf8").split("\n");
    const names = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
    expect(names.filter((name) => !lines.some((line) => line.includes(`\`${name}\``)))).toEqual([]);
  });
});

describe("breaches() sees a planted breach", () => {
  const rooms =
    "x509 spiffe platform store keys audit registry authority revocation issuing protocols/admin server cli sdk";
  const imports = (from: string, to: string): readonly string[] => rules(from, `import { x } from "${to}";\n`);
  const allowed: Readonly<Record<string, string>> = {
    x509: "",
    spiffe: "x509",
    platform: "",
    store: "x509 spiffe platform",
    keys: "x509 spiffe platform",
    audit: "x509 spiffe platform store keys",
    registry: "x509 spiffe platform store keys audit",
    authority: "x509 spiffe platform store keys audit registry",
    revocation: "x509 spiffe platform store keys audit registry authority",
    issuing: "x509 spiffe platform store keys audit registry authority revocation",
    "protocols/admin": "x509 spiffe platform store keys audit registry authority revocation issuing",
    server: "x509 spiffe platform store keys audit registry authority revocation issuing protocols/admin",
    cli: "x509 spiffe platform sdk",
    sdk: "x509 spiffe platform",
  };
  for (const from of rooms.split(" ")) {
    it(`${from} imports ${allowed[from] || "nothing of ours"} and no other room`, () => {
      const up = "../".repeat(from.split("/").length);
      const seen = rooms
        .split(" ")
        .filter((to) => to !== from && imports(`src/${from}/a.ts`, `${up}${to}/b.ts`).length === 0);
      expect(seen.join(" ")).toBe(allowed[from]);
      expect(imports(`src/${from}/a.ts`, "./b.ts")).toEqual([]);
    });
  }

  it("proto is for protocols, server, sdk, cli and agent", () => {
    const takes = (path: string): boolean =>
      imports(path, `${"../".repeat(path.split("/").length - 1)}proto/gen/a.ts`).length === 0;
    const all = rooms.split(" ").filter((room) => takes(`src/${room}/a.ts`));
    expect(all).toEqual(["protocols/admin", "server", "cli", "sdk"]);
    expect(takes("agent/a.ts")).toBe(true);
  });

  it("the agent imports x509, spiffe, platform, sdk and proto only", () => {
    const seen = rooms.split(" ").filter((to) => imports("agent/sync.ts", `../src/${to}/b.ts`).length === 0);
    expect(seen.join(" ")).toBe("x509 spiffe platform sdk");
    expect(imports("agent/identities/files.ts", "../enrol/first-contact.ts")).toEqual([]);
  });

  it("nobody imports server, cli, agent or test", () => {
    for (const to of ["../server/main.ts", "../cli/print.ts", "../../agent/main.ts", "../../test/fakes/clock.ts"]) {
      expect(imports("src/issuing/a.ts", to), to).toEqual(["imports"]);
    }
    expect(imports("agent/a.ts", "../src/cli/print.ts")).toEqual(["imports"]);
    expect(imports("src/server/a.ts", "../../agent/main.ts")).toEqual(["imports"]);
  });

  it("cli/main.ts alone imports server and agent, by import() and only what it starts", () => {
    const dynamic = (path: string, to: string): readonly string[] => rules(path, `const x = await import("${to}");\n`);
    for (const to of ["../server/main.ts", "../server/init.ts", "../server/restore.ts", "../../agent/main.ts"]) {
      expect(dynamic("src/cli/main.ts", to), to).toEqual([]);
      expect(dynamic("src/cli/init.ts", to), to).toEqual(["imports"]);
      expect(imports("src/cli/main.ts", to), to).toEqual(["imports"]);
    }
    expect(dynamic("src/cli/main.ts", "../server/wire.ts")).toEqual(["imports"]);
  });

  it("a protocol imports no other protocol, and collections are for protocols/admin", () => {
    expect(imports("src/protocols/issuance/handler.ts", "../admin/handler.ts")).toEqual(["imports"]);
    expect(imports("src/protocols/issuance/handler.ts", "./errors.ts")).toEqual([]);
    expect(imports("src/protocols/issuance/handler.ts", "../../store/collections/nodes.ts")).toEqual(["imports"]);
    expect(imports("src/protocols/admin/handler.ts", "../../store/collections/nodes.ts")).toEqual([]);
    expect(rules("src/protocols/issuance/a.ts", 'import type { A } from "../../store/collections/nodes.ts";')).toEqual(
      [],
    );
    expect(rules("src/protocols/issuance/a.ts", 'import { type A, b } from "../../store/collections/a.ts";')).toEqual([
      "imports",
    ]);
    expect(rules("src/protocols/admin/handler.ts", "await store.commit([]);\n")).toEqual(["writes"]);
    // What stands beside the folders is for all of them, and knows none of them.
    expect(imports("src/protocols/issuance/handler.ts", "../grpc-call.ts")).toEqual([]);
    expect(imports("src/protocols/grpc-call.ts", "./issuance/handler.ts")).toEqual(["imports"]);
  });

  it("an engine is imported by the server only, and LevelDB by store/level.ts only", () => {
    expect(imports("src/issuing/a.ts", "../store/level.ts")).toEqual(["engine"]);
    expect(imports("src/protocols/admin/a.ts", "../../keys/disk.ts")).toEqual(["engine"]);
    expect(imports("src/server/wire.ts", "../store/level.ts")).toEqual([]);
    expect(imports("src/store/memory.ts", "level")).toEqual(["engine"]);
    expect(imports("src/store/level.ts", "level")).toEqual([]);
    expect(imports("src/server/wire.ts", "classic-level")).toEqual(["engine"]);
  });

  it("a sample imports signet/sdk, Node and itself, nothing else", () => {
    const sample = "deploy/samples/service-a/main.ts";
    for (const to of ["signet/sdk", "node:http2", "./report.ts"]) expect(imports(sample, to), to).toEqual([]);
    for (const to of ["../../../src/sdk/sdk.ts", "../../../proto/gen/a.ts", "pino", "signet/package.json"]) {
      expect(imports(sample, to), to).toEqual(["imports"]);
    }
    expect(imports("src/cli/a.ts", "signet/sdk")).toEqual(["imports"]);
  });

  const ways: Readonly<Record<string, string>> = {
    "import type": 'import type { Store } from "../store/store.ts";',
    "an inline type": 'import { type Store } from "../store/store.ts";',
    "export from": 'export { a } from "../store/store.ts";',
    "export type from": 'export type { Store } from "../store/store.ts";',
    "a namespace": 'import * as store from "../store/store.ts";',
    "a bare import": 'import "../store/store.ts";',
    "import()": 'const a = await import("../store/store.ts");',
    "import() with single quotes": "const a = await import('../store/store.ts');",
    "import() of a template": "const a = await import(`../store/store.ts`);",
    "a type import()": 'type A = import("../store/store.ts").Store;',
    "require()": 'const a = require("../store/store.ts");',
    "several lines": 'import {\n  a,\n  type B, // with a comment from "x"\n} from "../store/store.ts";',
    "code after a regular expression": 'const a = /[/"]/.test(b);\nimport { c } from "../store/store.ts";',
    "code within a template": 'const a = `x ${await import("../store/store.ts")} y`;',
  };
  for (const [way, text] of Object.entries(ways)) {
    it(`written as ${way}`, () => expect(rules("src/x509/a.ts", text)).toEqual(["imports"]));
  }

  it("a method that is called import is none", () => {
    expect(rules("src/x509/a.ts", "class A { import(): void {} }")).toEqual([]);
  });

  it("a computed import() is a breach, and text in comments and strings is none", () => {
    expect(rules("src/cli/a.ts", "await import(name);")).toEqual(["computed"]);
    const said =
      '// import { a } from "../store/store.ts"; Date.now()\nconst a = "import(b) Date.now()";\n/* new Date() */';
    expect(rules("src/x509/a.ts", said)).toEqual([]);
  });

  it("imports end in .ts and stay in the repository", () => {
    expect(imports("src/x509/a.ts", "./b")).toEqual(["extension"]);
    expect(imports("src/x509/a.ts", "./b.js")).toEqual(["extension"]);
    expect(imports("src/x509/a.ts", "../../../other/b.ts")).toEqual(["outside"]);
  });

  const impure = [
    "const a = Date.now();",
    "const a = Date . now;",
    "const a = new Date();",
    "const a = new Date;",
    "const a = Math.random();",
    "setTimeout(f, 1);",
    "globalThis; setInterval(f, 1);",
    "const a = process.env;",
    "const a = performance.now();",
    'import { setTimeout as sleep } from "node:timers/promises";',
    'import { env } from "node:process";',
  ];
  for (const room of ["x509", "spiffe", "issuing", "authority", "registry", "revocation"]) {
    it(`${room} has no clock, no chance, no timers, no environment`, () => {
      for (const text of impure) expect(rules(`src/${room}/a.ts`, text), text).toContain("pure");
      expect(rules(`src/${room}/a.ts`, "const a = new Date(ms); const b = at.now(); const c: Date = d;")).toEqual([]);
    });
  }

  it("x509 and spiffe do no I/O", () => {
    expect(imports("src/x509/a.ts", "node:fs")).toEqual(["pure"]);
    expect(imports("src/spiffe/a.ts", "node:net")).toEqual(["pure"]);
    expect(imports("src/x509/a.ts", "node:crypto")).toEqual([]);
  });

  it("stdout is written in cli/print.ts and cli/demo/screen.ts only", () => {
    for (const text of ["process.stdout.write(a);", "console.log(a);", 'import { stdout } from "node:process";']) {
      expect(rules("src/cli/token.ts", text), text).toEqual(["stdout"]);
      expect(rules("agent/main.ts", text), text).toEqual(["stdout"]);
      expect(rules("src/cli/print.ts", text), text).toEqual([]);
      expect(rules("src/cli/demo/screen.ts", text), text).toEqual([]);
    }
  });

  it("files are named after their job, stand in a room, and re-export nothing", () => {
    for (const path of [
      "src/x509/utils.ts",
      "src/cli/index.ts",
      "agent/helpers/a.ts",
      "test/unit/common.ts",
      "src/keys/misc.ts",
    ]) {
      expect(rules(path, ""), path).toEqual(["name"]);
    }
    expect(rules("src/engine/a.ts", "")).toEqual(["room"]);
    expect(rules("src/main.ts", "")).toEqual(["room"]);
    expect(rules("src/x509/a.ts", 'export * from "./b.ts";')).toEqual(["barrel"]);
    expect(rules("src/sdk/sdk.ts", 'export * from "./b.ts";')).toEqual([]);
  });

  it("tests use fakes, not mocks", () => {
    expect(rules("test/unit/a.test.ts", 'vi.mock("./b.ts");')).toEqual(["mock"]);
    expect(rules("test/unit/a.test.ts", 'vi.spyOn(a, "b");')).toEqual(["mock"]);
  });
});
