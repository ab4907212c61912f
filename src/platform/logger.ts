// Logs: events with fields, text on a terminal, JSON else. RFC 3339 times. Foreign text cannot forge a line.
import { pino, stdTimeFunctions } from "pino";
import { escapeControls } from "./foreign-text.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";
export type LogFormat = "auto" | "text" | "json";

type LogFields = { readonly [field: string]: unknown };

/** One event: what happened in a few words, and its fields. */
export interface Logger {
  error(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  debug(fields: LogFields, event: string): void;
  level: LogLevel;
}

export interface LogTarget {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

export function createLogger(options: {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly stream: LogTarget;
}): Logger {
  const { level, format, stream } = options;
  const text = format === "text" || (format === "auto" && stream.isTTY === true);
  const target = text ? { write: (line: string) => void stream.write(lineOf(line)) } : { write: (line: string) => void stream.write(line) };
  const log = pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      messageKey: "event",
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    target,
  );
  return {
    error: (fields, event) => log.error(fields, event),
    warn: (fields, event) => log.warn(fields, event),
    info: (fields, event) => log.info(fields, event),
    debug: (fields, event) => log.debug(fields, event),
    get level() {
      return log.level as LogLevel;
    },
    set level(next: LogLevel) {
      log.level = next;
    },
  };
}

/** A logger that says nothing, for programs that embed parts of ours. */
export const silentLogger: Logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, level: "error" };

/** A JSON event as a line for people: time, level, event, then its fields. */
function lineOf(json: string): string {
  const { time, level, event, ...fields } = JSON.parse(json) as { [field: string]: unknown };
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${valueOf(value)}`);
  return `${[time, String(level).padEnd(5), event, ...rest].join(" ")}\n`;
}

function valueOf(value: unknown): string {
  if (typeof value === "string") return /^[!-~]+$/.test(value) && !value.includes('"') ? value : escapeControls(JSON.stringify(value));
  if (typeof value === "object" && value !== null && "message" in value) return escapeControls(JSON.stringify(value.message));
  return escapeControls(JSON.stringify(value) ?? "undefined");
}
