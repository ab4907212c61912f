import { posix } from "node:path";
import { lineAt, type Reference, readSource, references, type SourceText } from "./source-text.ts";

/** A file of the repository: path from its root, with `/`. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** One broken rule, for a person: `src/x509/der.ts:3: ...`. */
export interface Breach {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly detail: string;
}

const leaves = ["src/x509", "src/spiffe", "src/platform"] as const;
const stored = [...leaves, "src/store", "src/keys"] as const;
const nouns = [...stored, "src/audit", "src/registry", "src/authority", "src/revocation", "src/issuing"] as const;
const client = [...leaves, "proto", "src/sdk"] as const;

/** Who may import whom: DESIGN section 12. A room may always import itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "src/x509": [],
  "src/spiffe": ["src/x509"],
  "src/platform": [],
  "src/store": leaves,
  "src/keys": leaves,
  "src/audit": stored,
  "src/registry": [...stored, "src/audit"],
  "src/authority": [...stored, "src/audit", "src/registry"],
  "src/revocation": [...stored, "src/audit", "src/registry", "src/authority"],
  "src/issuing": nouns,
  "src/protocols": [...nouns, "proto"],
  "src/server": [...nouns, "src/protocols", "proto"],
  "src/sdk": [...leaves, "proto"],
  "src/cli": client,
  agent: client,
  proto: [],
  "deploy/samples": [],
};

/** What `src/cli/main.ts` alone starts, by `import()`. */
const startedByMain = [
  ...["main", "init", "restore", "doctor", "sign"].map((name) => `src/server/${name}.ts`),
  "agent/main.ts",
];

const withoutClock = ["src/x509", "src/spiffe", "src/issuing", "src/authority", "src/registry", "src/revocation"];
const withoutIo = ["src/x509", "src/spiffe"];
const mayWriteStdout = ["src/cli/print.ts", "src/cli/demo/screen.ts"];
const engine = /^src\/(?:store\/(?:level|memory|postgres)|keys\/(?:disk|memory|pkcs11))(?:-[a-z-]+)?\.ts$/;
const levelPackages = ["level", "classic-level", "abstract-level", "level-transcoder", "levelup", "leveldown"];
const namelessFile =
  /(?:^|\/)(?:utils?|helpers?|common|misc|index)(?:\.[a-z]+)*\.[cm]?[jt]s$|(?:^|\/)(?:utils?|helpers?|common|misc)\//;

const clockAndChance: readonly (readonly [RegExp, string])[] = [
  [/\bDate\s*\.\s*now\b/g, "Date.now"],
  [/\bnew\s+Date\s*(?:\(\s*\)|(?![\w$(<]))/g, "a bare new Date()"],
  [/(?<!new\s)(?<![\w$.])Date\s*\(/g, "Date()"],
  [/\bMath\s*\.\s*random\b/g, "Math.random"],
  [/\bperformance\s*\.\s*now\b|\bprocess\s*\.\s*hrtime\b/g, "a clock of the process"],
  [/(?<![\w$.])(?:setTimeout|setInterval|setImmediate)\b/g, "a timer"],
  [/\bprocess\s*\.\s*env\b/g, "process.env"],
  [/\b(?:randomBytes|randomUUID|randomInt|randomFillSync|getRandomValues)\b/g, "chance"],
];
const clockModules = /^(?:node:)?(?:timers(?:\/promises)?|process|perf_hooks|os)$/;
const ioModules =
  /^(?:node:)?(?:fs(?:\/promises)?|net|tls|http|https|http2|dgram|dns(?:\/promises)?|child_process|worker_threads|cluster)$/;

/** The room of a path, or undefined where no room is. */
function roomOf(path: string): string | undefined {
  const [first = "", second = ""] = path.split("/");
  if (first === "src") return `src/${second}` in mayImport ? `src/${second}` : undefined;
  if (first === "deploy") return second === "samples" ? "deploy/samples" : "deploy";
  if (first === "test" || first === "tool" || first === "bin") return first;
  return first in mayImport ? first : undefined;
}

/** Everything in which the given files break the rules of DESIGN section 12 and CONVENTIONS. Empty when all is well. */
export function breaches(files: readonly SourceFile[]): readonly Breach[] {
  return files.flatMap((file) => {
    const source = readSource(file.text);
    const found: Breach[] = [];
    const say = (line: number, rule: string, detail: string): void => {
      found.push({ path: file.path, line, rule, detail });
    };
    if (namelessFile.test(file.path))
      say(1, "name", "a file is named after its job: no utils, helpers, common, misc, index");
    const room = roomOf(file.path);
    if (room === undefined) {
      say(1, "room", "this folder is no room of DESIGN section 12");
      return found;
    }
    for (const reference of references(source)) judgeReference(file.path, room, reference, say);
    judgeText(file.path, room, source, say);
    return found;
  });
}

type Say = (line: number, rule: string, detail: string) => void;

function judgeReference(path: string, room: string, reference: Reference, say: Say): void {
  const { specifier, line } = reference;
  if (room === "test" || room === "tool" || room === "bin") return;
  if (specifier === undefined) {
    say(line, "computed", "import() of something that is not a literal cannot be checked");
    return;
  }
  if (!specifier.startsWith(".")) {
    judgePackage(path, room, reference, specifier, say);
    return;
  }
  const target = posix.join(posix.dirname(path), specifier);
  if (target.startsWith("..")) say(line, "outside", `${specifier} leaves the repository`);
  else if (!/\.(?:ts|json)$/.test(target)) say(line, "extension", `${specifier}: imports end in .ts`);
  else judgeTarget(path, room, reference, target, say);
}

function judgePackage(path: string, room: string, reference: Reference, specifier: string, say: Say): void {
  const { line } = reference;
  const name = specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : (specifier.split("/")[0] ?? "");
  if (levelPackages.includes(name) && !/^src\/store\/level(?:-[a-z-]+)?\.ts$/.test(path)) {
    say(line, "engine", `${name} is known to src/store/level.ts only`);
  }
  if (name === "signet" && (room !== "deploy/samples" || specifier !== "signet/sdk")) {
    say(line, "imports", `${room} may not import ${specifier}`);
  } else if (room === "deploy/samples" && name !== "signet" && !specifier.startsWith("node:")) {
    say(line, "imports", `samples import signet/sdk only, not ${specifier}`);
  }
  if (withoutClock.includes(room) && clockModules.test(specifier))
    say(line, "pure", `${room} may not import ${specifier}`);
  if (withoutIo.includes(room) && ioModules.test(specifier)) say(line, "pure", `${room} may not import ${specifier}`);
}

function judgeTarget(path: string, room: string, reference: Reference, target: string, say: Say): void {
  const { line } = reference;
  const other = roomOf(target);
  if (other === undefined) {
    say(line, "imports", `${target} is in no room`);
    return;
  }
  if (path === "src/cli/main.ts" && reference.kind === "dynamic" && startedByMain.includes(target)) return;
  if (other !== room && !(mayImport[room] ?? []).includes(other)) {
    say(line, "imports", `${room} may not import ${target}`);
    return;
  }
  if (room === "src/protocols" && other === room && ![protocolOf(path), undefined].includes(protocolOf(target))) {
    say(line, "imports", `${path} may not import ${target}`);
  }
  const reads = target.startsWith("src/store/collections/") && !reference.typeOnly;
  if (room === "src/protocols" && protocolOf(path) !== "admin" && reads) {
    say(line, "imports", `only protocols/admin reads collections, not ${path}`);
  }
  if (other !== room && room !== "src/server" && engine.test(target)) {
    say(line, "engine", `${room} may not import the engine ${target}`);
  }
}

/** The protocol of a file; undefined for what stands beside the folders and so is for all of them. */
function protocolOf(path: string): string | undefined {
  const [, , name, file] = path.split("/");
  return file === undefined ? undefined : name;
}

function judgeText(path: string, room: string, { code, strings }: SourceText, say: Say): void {
  const each = (pattern: RegExp, rule: string, detail: string): void => {
    for (const match of code.matchAll(pattern)) say(lineAt(code, match.index), rule, detail);
  };
  if (withoutClock.includes(room)) {
    for (const [pattern, what] of clockAndChance) each(pattern, "pure", `${room} uses ${what}: take it as an argument`);
  }
  if ((room.startsWith("src/") || room === "agent") && !mayWriteStdout.includes(path)) {
    each(
      /\bprocess\s*\.\s*stdout\b|\bconsole\s*\.\s*(?:log|info|table|dir)\b/g,
      "stdout",
      "stdout is for cli/print.ts and cli/demo/screen.ts",
    );
    for (const match of code.matchAll(/\bstdout\b[^;]*\bfrom\s*"(\d+)"/g)) {
      if (/^(?:node:)?process$/.test(strings[Number(match[1])] ?? "")) {
        say(lineAt(code, match.index), "stdout", "stdout is for cli/print.ts and cli/demo/screen.ts");
      }
    }
  }
  if (room === "src/protocols") each(/\.\s*commit\s*\(/g, "writes", "protocols write through the noun's room");
  if (room !== "proto" && path !== "src/sdk/sdk.ts") each(/\bexport\s*\*/g, "barrel", "no barrel but src/sdk/sdk.ts");
  if (room === "test") each(/\bvi\s*\.\s*(?:mock|doMock|spyOn)\s*\(/g, "mock", "fakes, not mocks");
}
