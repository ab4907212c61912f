// Kinds of settings that more than one configuration has.
import { z } from "zod";
import { AddressError, parseAddress } from "./address.ts";
import type { LogFormat, LogLevel } from "./logger.ts";
import { DurationError, writeDuration, parseDuration } from "./durations.ts";

/** A duration as `1h30m`, in whole seconds. */
export function duration(byDefault: string, atLeastSeconds = 1): z.ZodType<number, string | undefined> {
  const field = z.string().transform((text, context) => {
    try {
      const seconds = parseDuration(text);
      if (seconds >= atLeastSeconds) return seconds;
      context.addIssue({ code: "custom", message: `must be ${writeDuration(atLeastSeconds)} or more, got ${text}` });
    } catch (error) {
      if (!(error instanceof DurationError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
    return z.NEVER;
  });
  return field.prefault(byDefault);
}

/** host:port, kept as text. */
export function address(): z.ZodType<string, string> {
  return z.string().superRefine((text, context) => {
    try {
      parseAddress(text);
    } catch (error) {
      if (!(error instanceof AddressError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  });
}

/** A whole number, from a file as a number and from a variable or flag as text. */
export function wholeNumber(byDefault: number, range: { readonly min: number; readonly max: number }): z.ZodType<number, number | string | undefined> {
  return z.preprocess(
    (value) => (typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : value),
    z.number().int().min(range.min).max(range.max).default(byDefault),
  );
}

/** A part of a whole, between 0 and 1. */
export function part(byDefault: number): z.ZodType<number, number | string | undefined> {
  return z.preprocess(
    (value) => (typeof value === "string" && /^0?\.\d{1,9}$/.test(value) ? Number(value) : value),
    z.number().gt(0).lt(1).default(byDefault),
  );
}

/** Logs of a process. */
export const logFields: z.ZodType<{ level: LogLevel; format: LogFormat }, object | undefined> = z
  .object({
    level: z.enum(["error", "warn", "info", "debug"]).default("info"),
    format: z.enum(["auto", "text", "json"]).default("auto"),
  })
  .prefault({});
