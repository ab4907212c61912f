import { parseArgs } from "node:util";
import { parseSpiffeId, type SpiffeId } from "signet/sdk";

export interface HelloConfig {
  /** Identity directory. */
  readonly identity: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Whom to call, `host:port`; `-`: the first line of stdin says it; undefined: nobody. */
  readonly call: string | undefined;
  /** Who must answer. */
  readonly expect: SpiffeId | undefined;
  /** Who may say hello. */
  readonly accept: readonly SpiffeId[];
  /** Who may call /admin. */
  readonly admin: readonly SpiffeId[];
  readonly everyMs: number;
  readonly lingerMs: number;
  /** JSON lines for a program, instead of text for people. */
  readonly report: boolean;
}

const options = {
  identity: { type: "string" },
  listen: { type: "string" },
  call: { type: "string" },
  expect: { type: "string" },
  accept: { type: "string", multiple: true },
  admin: { type: "string", multiple: true },
  "every-ms": { type: "string" },
  "linger-ms": { type: "string" },
  report: { type: "boolean" },
} as const;

export function usage(name: string): string {
  return `usage: ${name} --identity DIR --accept spiffe://... [--listen 127.0.0.1:0] [--admin spiffe://...]
       [--call HOST:PORT|- --expect spiffe://...] [--every-ms 80] [--linger-ms 500] [--report]
Each flag may come as HELLO_IDENTITY, HELLO_EVERY_MS and so on.
`;
}

/** Reads flags, then HELLO_* of the environment. Answers what is wrong as a sentence. */
export function parseConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): HelloConfig | string {
  try {
    const { values } = parseArgs({ args: [...args], options, strict: true });
    const text = (name: "identity" | "listen" | "call" | "expect" | "every-ms" | "linger-ms"): string | undefined =>
      values[name] ?? env[`HELLO_${name.toUpperCase().replace("-", "_")}`];
    const ids = (name: "accept" | "admin"): readonly SpiffeId[] =>
      (values[name] ?? env[`HELLO_${name.toUpperCase()}`]?.split(" ") ?? []).map(parseSpiffeId);
    const identity = text("identity");
    const call = text("call");
    const expect = text("expect");
    if (identity === undefined) return "--identity is missing: the directory that the agent keeps";
    if (call !== undefined && expect === undefined) return "--expect is missing: who must answer at --call";
    return {
      identity,
      listen: address(text("listen") ?? "127.0.0.1:0"),
      call,
      expect: expect === undefined ? undefined : parseSpiffeId(expect),
      accept: ids("accept"),
      admin: ids("admin"),
      everyMs: milliseconds(text("every-ms") ?? "80"),
      lingerMs: milliseconds(text("linger-ms") ?? "500"),
      report: values.report ?? env["HELLO_REPORT"] !== undefined,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function address(text: string): HelloConfig["listen"] {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) throw new Error(`--listen is host:port, not ${text}`);
  return { host, port: Number(port) };
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`milliseconds are a whole number, not ${text}`);
  return value;
}
