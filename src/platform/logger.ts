// The log: events with fields, to stderr. Text on a terminal, else a JSON object a line; times are RFC 3339.
import { isatty } from "node:tty";
import { destination, pino } from "pino";
import { type Clock, systemClock } from "./clock.ts";
import { printable } from "./foreign-text.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export const logFormats = ["auto", "text", "json"] as const;
export type LogFormat = (typeof logFormats)[number];

/** Fields of an event. `err` is an Error, written with its stack and causes. Never a key, a secret or a whole CSR. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Takes events: what happened in a few words, and its fields. */
export interface Logger {
  debug(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  error(fields: LogFields, event: string): void;
  /** The level in force. One that is set while debugFor() runs is kept for its end. */
  level: LogLevel;
}

/** The log of a process. */
export interface ProcessLog extends Logger {
  /** Debug for `ms`, then the level that was set. A second call starts the time anew. */
  debugFor(ms: number): void;
  /** Writes out what waits. Call it before the process ends. */
  flush(): void;
}

export interface LogTarget {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** "auto": text when the stream is a terminal, else JSON. */
  readonly format: LogFormat;
  /** Takes whole lines with their line break; stderr by default. */
  readonly stream?: LogTarget;
  readonly clock?: Clock;
}

/** Octets that may wait for a slow reader of stderr; what comes beyond is dropped rather than the process held up. */
const maxWaitingBytes = 4 * 1024 * 1024;

export function createLogger(options: LoggerOptions): ProcessLog {
  const { clock = systemClock } = options;
  const stderr =
    options.stream === undefined ? destination({ fd: 2, sync: false, maxLength: maxWaitingBytes }) : undefined;
  // A reader that went away must not end the process.
  stderr?.on("error", () => undefined);
  const sink = options.stream ?? stderr;
  const isTerminal = options.stream === undefined ? isatty(2) : options.stream.isTTY === true;
  const isText = options.format === "text" || (options.format === "auto" && isTerminal);
  const write = (line: string): void => {
    sink?.write(isText ? textLine(line) : escapedJson(line));
  };
  const log = pino(
    {
      level: options.level,
      base: null,
      messageKey: "event",
      timestamp: () => `,"time":"${clock.now().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  );
  let level = options.level;
  let debugging: AbortController | undefined;
  return {
    debug: (fields, event) => log.debug(fields, event),
    info: (fields, event) => log.info(fields, event),
    warn: (fields, event) => log.warn(fields, event),
    error: (fields, event) => log.error(fields, event),
    get level() {
      return debugging === undefined ? level : "debug";
    },
    set level(next: LogLevel) {
      level = next;
      if (debugging === undefined) log.level = next;
    },
    debugFor: (ms) => {
      debugging?.abort();
      const current = new AbortController();
      debugging = current;
      log.level = "debug";
      void clock.sleep(ms, { signal: current.signal, unref: true }).then(() => {
        if (debugging !== current) return;
        debugging = undefined;
        log.level = level;
      });
    },
    flush: () => {
      try {
        stderr?.flushSync();
      } catch {
        // Nobody reads it any more.
      }
    },
  };
}

/** A logger that says nothing, for programs that embed parts of ours. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  level: "error",
};

/** JSON escapes C0 itself; the other characters that steer a terminal become escapes of the same meaning. */
function escapedJson(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    if (character === "\n") return character;
    return Array.from({ length: character.length }, (_, at) => {
      return `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
    }).join("");
  });
}

/** `2026-11-25T14:02:11.123Z INFO  certificate issued  profile=workload serialHex=41a2`. */
function textLine(json: string): string {
  const { time, level, event, err, ...fields } = JSON.parse(json) as Readonly<Record<string, unknown>>;
  const shown = Object.entries(fields).map(([name, value]) => ` ${printable(name)}=${fieldText(value)}`);
  const head = `${asText(time)} ${asText(level).toUpperCase().padEnd(5)} ${printable(asText(event))}`;
  return `${head}${shown.length > 0 ? " " : ""}${shown.join("")}${err === undefined ? "" : errorText(err)}\n`;
}

function fieldText(value: unknown): string {
  const text = asText(value);
  return typeof value === "string" && /^[^\s"=]+$/.test(text) ? printable(text) : printable(JSON.stringify(value));
}

function errorText(err: unknown): string {
  if (typeof err !== "object" || err === null || !("stack" in err)) return ` err=${fieldText(err)}`;
  return asText(err.stack)
    .split("\n")
    .map((line) => `\n    ${printable(line.trim())}`)
    .join("");
}

function asText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
