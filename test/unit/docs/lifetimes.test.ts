import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { parseDuration } from "../../../src/platform/durations.ts";
import { renewAt } from "../../../src/sdk/renew-at.ts";

const page = readFileSync(join(import.meta.dirname, "../../../docs/lifetimes.md"), "utf8");
const seconds = (text: string): number => {
  const [, value = "", unit = ""] = /^([\d.]+) (min|h)$/.exec(text) ?? [];
  return Number(value) * parseDuration(unit === "min" ? "1m" : "1h");
};

it("docs/lifetimes.md says what renewAt() does: the worst case, the middle, and certificates a day", () => {
  const rows = [...page.matchAll(/^\| (\d[^|]*) \| ([^|]*) \| ([^|]*) \| (\d+) \|/gm)];
  expect(rows).toHaveLength(5);
  for (const [, ttl = "", worst = "", middle = "", aDay = ""] of rows) {
    const life = seconds(ttl);
    const left = (jitter: number): number => life - renewAt(new Date(0), life, jitter).getTime() / 1000;
    expect([ttl, seconds(worst), seconds(middle)]).toEqual([ttl, left(1), left(0)]);
    expect([ttl, Number(aDay)]).toEqual([ttl, parseDuration("24h") / (life - left(0))]);
  }
});
