import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { agentConfigSchema } from "../../../agent/config.ts";
import { agentMetrics } from "../../../agent/metrics.ts";
import { rules } from "../../../src/issuing/policy/rules.ts";
import { createMetrics, type Metrics } from "../../../src/platform/metrics.ts";
import { serverConfigSchema } from "../../../src/server/config.ts";
import { sampleClock, sampleTrust, serverMetrics } from "../../../src/server/metrics.ts";

const root = join(import.meta.dirname, "../../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const pages: readonly string[] = [
  ...["README.md", "CHANGELOG.md", "SECURITY.md"],
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
];

/** What stands between two headings of a page. */
function between(text: string, from: string, to: string): string {
  const start = text.indexOf(from);
  expect(start, from).toBeGreaterThanOrEqual(0);
  const end = text.indexOf(to, start + from.length);
  return text.slice(start, end < 0 ? undefined : end);
}

/** The names in backticks that open the lines of a page's tables. */
function firstCells(text: string): readonly string[] {
  return [...text.matchAll(/^\| `([^`]+)` \|/gm)].flatMap((match) => match[1] ?? []);
}

describe("README", () => {
  const readme = read("README.md");
  const block = /```\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const commands = block
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");

  it("names exactly two commands first, which package.json and .ci/run have", () => {
    expect(commands).toEqual(["npm ci && npm run demo", "npm cit"]);
    const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> };
    expect(scripts["demo"]).toContain("src/cli/main.ts demo");
    expect(scripts["test"]).toContain("vitest");
    const ci = read(".ci/run");
    expect(ci).toMatch(/^run \d+ test npm cit\b/m);
    expect(ci).toMatch(/^run \d+ demo npm run demo\b/m);
  });

  it("is at most 200 lines and gives no step that a shell cannot run", () => {
    expect(readme.split("\n").length).toBeLessThanOrEqual(201);
    const steps = between(readme, "## Five minutes by hand", "\n## ");
    expect(steps.match(/^```bash$/gm)?.length).toBeGreaterThanOrEqual(8);
    expect(steps).not.toMatch(/^\$ /m);
  });
});

describe("links of the pages", () => {
  for (const page of pages) {
    it(`${page} points only at files and headings that exist`, () => {
      const broken = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)]
        .flatMap((match) => match[1] ?? [])
        .filter((target) => !/^[a-z]+:/.test(target))
        .filter((target) => !leadsSomewhere(page, target));
      expect(broken).toEqual([]);
    });
  }
});

function leadsSomewhere(page: string, target: string): boolean {
  const [path = "", heading] = target.split("#");
  const file = path === "" ? join(root, page) : join(root, dirname(page), path);
  if (relative(root, file).startsWith("..") || !existsSync(file)) return false;
  if (heading === undefined) return true;
  const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? "")
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, "")
      .replaceAll(" ", "-"),
  );
  return headings.includes(heading);
}

/** A node of a JSON Schema, as far as the page shows it. */
interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly default?: string | number;
}

/** Every setting below a node by its path, with its default as text. Those of a list's items have `[]` in it. */
function settingsBelow(node: SchemaNode, path = ""): readonly (readonly [string, string | undefined])[] {
  const own: readonly (readonly [string, string | undefined])[] =
    node.properties === undefined ? [[path, node.default === undefined ? undefined : String(node.default)]] : [];
  const within = Object.entries(node.properties ?? {}).flatMap(([name, field]) =>
    settingsBelow(field, path === "" ? name : `${path}.${name}`),
  );
  const items = node.items?.properties === undefined ? [] : settingsBelow(node.items, `${path}[]`);
  return [...own, ...within, ...items];
}

describe("docs/configuration.md", () => {
  const page = read("docs/configuration.md");
  const files = [
    ["server.yaml", serverConfigSchema()],
    ["agent.yaml", agentConfigSchema()],
  ] as const;
  for (const [file, schema] of files) {
    const section = between(page, `\n## ${file}`, "\n## ");
    const settings = settingsBelow(schema);

    it(`has a line for every setting of ${file}, and for none that is not there`, () => {
      expect(firstCells(section).toSorted()).toEqual(settings.map(([path]) => path).toSorted());
    });

    it(`gives the default of every setting of ${file} that has one`, () => {
      const wrong = settings.filter(
        ([path, byDefault]) => byDefault !== undefined && !section.includes(`\n| \`${path}\` | \`${byDefault}\` |`),
      );
      expect(wrong).toEqual([]);
    });
  }
});

describe("docs/metrics.md", () => {
  const page = read("docs/metrics.md");

  it("names every metric that the server registers, and none that it does not", async () => {
    const metrics = createMetrics();
    serverMetrics(metrics, "0");
    sampleClock(withoutSamples(metrics), fail);
    sampleTrust(withoutSamples(metrics), { view: fail, own: fail });
    expect(firstCells(between(page, "## Server", "\n## ")).toSorted()).toEqual(await namesOf(metrics));
  });

  it("names every metric that the agent registers, and none that it does not", async () => {
    const metrics = createMetrics();
    agentMetrics(withoutSamples(metrics), fail, "0");
    expect(firstCells(between(page, "## Agent", "\n## ")).toSorted()).toEqual(await namesOf(metrics));
  });
});

function fail(): never {
  throw new Error("a sample was asked for");
}

/** The same registry; what is read at a scrape is registered and has no series. */
function withoutSamples(metrics: Metrics): Metrics {
  return {
    ...metrics,
    sampled: (name, help, { labels }) => metrics.sampled(name, help, { labels, sample: () => [] }),
  };
}

async function namesOf(metrics: Metrics): Promise<readonly string[]> {
  return [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].flatMap((match) => match[1] ?? []).toSorted();
}

describe("docs/issuance.md", () => {
  it("names every rule of the issuing line, in its order", () => {
    const listed = firstCells(between(read("docs/issuance.md"), "## The rules, in order", "\n## "));
    expect(listed).toEqual(rules.map(({ name }) => name));
  });
});

describe("docs/adr", () => {
  it("its README lists every decision", () => {
    const files = readdirSync(join(root, "docs/adr")).filter((name) => /^\d{4}-/.test(name));
    expect(files.filter((name) => !read("docs/adr/README.md").includes(`(${name})`))).toEqual([]);
  });
});
