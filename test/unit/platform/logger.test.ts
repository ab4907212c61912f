import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { buildVersion } from "../../../src/platform/build-info.ts";
import { createLogger, type LogFormat, type ProcessLog } from "../../../src/platform/logger.ts";
import { onSignals } from "../../../src/platform/shutdown.ts";
import { FakeClock } from "../../fakes/fake-clock.ts";

const clock = new FakeClock("2026-01-02T03:04:05.678Z");

function logTo(lines: string[], format: LogFormat, isTTY = false): ProcessLog {
  return createLogger({ level: "info", format, clock, stream: { write: (line) => lines.push(line), isTTY } });
}

describe("createLogger()", () => {
  it("createLogger() writes a JSON object a line with RFC 3339 time, level, event and fields", () => {
    const lines: string[] = [];
    logTo(lines, "json").info({ serialHex: "41ff", count: 2 }, "certificate issued");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { time: "2026-01-02T03:04:05.678Z", level: "info", event: "certificate issued", serialHex: "41ff", count: 2 },
    ]);
    expect(lines[0]?.endsWith("\n")).toBe(true);
  });

  it("createLogger() writes text on a terminal and JSON else when the format is auto", () => {
    const lines: string[] = [];
    logTo(lines, "auto", true).warn(
      { profile: "workload", why: "no space left", notAfter: new Date(0) },
      "identity not written",
    );
    expect(lines).toEqual([
      '2026-01-02T03:04:05.678Z WARN  identity not written  profile=workload why="no space left" notAfter=1970-01-01T00:00:00.000Z\n',
    ]);
    logTo(lines, "auto", false).info({}, "up");
    expect(lines[1]?.startsWith("{")).toBe(true);
  });

  it.each(["json", "text"] as const)(
    "createLogger() lets no field forge a line or steer a terminal in %s",
    (format) => {
      const lines: string[] = [];
      const log = logTo(lines, format);
      log.info(
        { who: 'x\n2026-01-01T00:00:00.000Z INFO forged "a=b', "bad\u001bkey": "\u001b[2J", bidi: "\u202egnp\u2066" },
        "ev\u009bent\u2028",
      );
      expect(lines).toHaveLength(1);
      expect(lines[0]?.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      if (format === "json") expect(JSON.parse(lines[0] ?? "")).toMatchObject({ bidi: "\u202egnp\u2066" });
    },
  );

  it("createLogger() shows an error with its stack", () => {
    const lines: string[] = [];
    logTo(lines, "text").error({ err: new TypeError("no \u0007 bell") }, "internal error");
    expect(lines[0]).toMatch(/ ERROR internal error\n {4}TypeError: no \\u\{7\} bell\n {4}at /);
    logTo(lines, "json").error({ err: new TypeError("oops") }, "internal error");
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ err: { type: "TypeError", message: "oops" } });
  });

  it("level can be changed while it runs, and debugFor() comes back to what was set meanwhile", async () => {
    const lines: string[] = [];
    const log = logTo(lines, "json");
    log.debug({}, "not seen");
    log.debugFor(600_000);
    log.debug({}, "seen");
    log.level = "warn";
    expect(log.level).toBe("debug");
    await clock.advance(300_000);
    log.debugFor(600_000);
    await clock.advance(400_000);
    expect(log.level).toBe("debug");
    await clock.advance(200_000);
    expect(log.level).toBe("warn");
    log.info({}, "not seen");
    expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(["seen"]);
  });
});

describe("onSignals()", () => {
  it("onSignals() drains once, stops at a second INT, reloads at HUP and debugs at USR2", () => {
    const source = new EventEmitter();
    const seen: string[] = [];
    const end = onSignals(
      {
        drain: (signal) => void seen.push(`drain ${signal}`),
        stopNow: () => void seen.push("stop"),
        reload: () => void seen.push("reload"),
        debug: () => void seen.push("debug"),
      },
      source,
    );
    for (const signal of ["SIGHUP", "SIGUSR2", "SIGTERM", "SIGTERM", "SIGINT", "SIGINT"]) source.emit(signal, signal);
    expect(seen).toEqual(["reload", "debug", "drain SIGTERM", "stop", "stop"]);
    end();
    expect(source.eventNames()).toEqual([]);
  });
});

it("buildVersion() is the version of package.json", async () => {
  const { default: found } = (await import("../../../package.json", { with: { type: "json" } })) as {
    default: { version: string };
  };
  expect(buildVersion()).toBe(found.version);
});
