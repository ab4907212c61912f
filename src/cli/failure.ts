// What went wrong, as one line for people and one exit code for scripts.
import type { RpcFailure } from "../sdk/rpc.ts";

/** 0 done, 1 failed, 2 wrong use, 3 refused, 4 server not reached, 5 a wait ran out, 130 interrupted. */
export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 130;

/** A failure whose message is `WHAT: WHY`; `cure` is a command to paste. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: ExitCode;
  readonly cure: string;
  constructor(exit: ExitCode, message: string, options: { readonly cure?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exit = exit;
    this.cure = options.cure ?? "";
  }
}

/** A flag or argument that cannot be used as it stands. */
export function wrongUse(message: string, cure?: string, cause?: unknown): CliError {
  return new CliError(2, message, { ...(cure === undefined ? {} : { cure }), cause });
}

/**
 * The CliError of anything that was thrown while doing `what` ("cannot list the nodes"). Errors of other rooms are
 * known by name, so that none of them has to be loaded here.
 */
export function asCliError(error: unknown, what: string): CliError {
  if (error instanceof CliError) return error;
  if (!(error instanceof Error)) return new CliError(1, `${what}: ${String(error)}`, { cause: error });
  if (isRpcFailure(error))
    return ofRefusal(refusalOf(error), what, { unreached: !hasServerDetail(error), cause: error });
  if (error.name === "CaError") return ofRefusal(refusalOfCaError(error), what, { unreached: false, cause: error });
  if (error.name === "ConfigError" || error.name === "SpiffeError") {
    const { message, cure } = withCure(error.message);
    return new CliError(2, `${what}: ${message}`, { cure: cure === "" ? cureOf(error) : cure, cause: error });
  }
  const { message, cure } = withCure(reasonOf(error));
  return new CliError(1, `${what}: ${message}`, { cure: cure === "" ? cureOf(error) : cure, cause: error });
}

/** Takes the cure off the end of a sentence: `X can be read by others; try: chmod 600 X`. */
export function withCure(sentence: string): { readonly message: string; readonly cure: string } {
  const [message = "", cure = ""] = sentence.split("; try: ");
  return { message, cure };
}

/** The reason of a failed file or socket operation, in the system's words without the system call. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = errnoOf(error);
  return (code === undefined ? undefined : errnoWords[code]) ?? error.message;
}

/** The `code` of a system error such as ENOENT. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  return /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

const errnoWords: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of the path is no directory",
  ENOSPC: "no space left on device",
  EROFS: "the file system is read-only",
  EEXIST: "it exists already",
  EMFILE: "too many open files",
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset",
  ETIMEDOUT: "no answer in time",
  EADDRINUSE: "the address is in use",
};

interface Refusal {
  readonly code: string;
  readonly rule: string;
  readonly detail: string;
  readonly value: string;
  readonly limit: string;
  readonly cure: string;
}

function ofRefusal(
  refusal: Refusal,
  what: string,
  options: { readonly unreached: boolean; readonly cause: unknown },
): CliError {
  const { code, cure } = refusal;
  const more = { cure, cause: options.cause };
  if (code === "denied" && refusal.rule !== "") {
    return new CliError(3, `refused by ${refusal.rule}: ${refusal.detail}${factsMissingIn(refusal)}`, more);
  }
  if (code === "cancelled") return new CliError(130, `${what}: interrupted`, more);
  if (code === "unavailable" && options.unreached) {
    return new CliError(4, `cannot reach the server: ${refusal.detail}`, more);
  }
  if (code === "in_doubt") return new CliError(1, `${what}: ${refusal.detail}; it may be done all the same`, more);
  return new CliError(exitOf(code), `${what}: ${refusal.detail}${factsMissingIn(refusal)}`, more);
}

function exitOf(code: string): ExitCode {
  switch (code) {
    case "denied":
    case "agent_alive":
    case "token_used":
    case "token_expired":
    case "token_unknown":
      return 3;
    case "bad_request":
      return 2;
    case "unavailable":
      return 4;
    default:
      return 1;
  }
}

// A denial shows value and limit; most sentences hold them already.
function factsMissingIn(refusal: Refusal): string {
  const facts = (["value", "limit"] as const)
    .filter((name) => refusal[name] !== "" && !refusal.detail.includes(refusal[name]))
    .map((name) => `${name} ${refusal[name]}`);
  return facts.length === 0 ? "" : ` (${facts.join(", ")})`;
}

function isRpcFailure(error: Error): error is RpcFailure {
  return error.name === "RpcFailure" && "rule" in error;
}

function refusalOf(error: RpcFailure): Refusal {
  const { code, rule, detail, value, limit, cure } = error;
  return { code, rule, detail, value, limit, cure };
}

// A server that answers sends a trailer; without one, what speaks is the transport.
function hasServerDetail(error: RpcFailure): boolean {
  const cause = error.cause;
  if (typeof cause !== "object" || cause === null || !("metadata" in cause)) return false;
  const metadata = cause.metadata;
  if (typeof metadata !== "object" || metadata === null || !("get" in metadata)) return false;
  return typeof metadata.get === "function" && (metadata.get("grpc-status-details-bin") as unknown[]).length > 0;
}

function refusalOfCaError(error: Error): Refusal {
  const facts: Readonly<Record<string, unknown>> =
    "facts" in error && typeof error.facts === "object" && error.facts !== null ? { ...error.facts } : {};
  const text = (name: string): string => (typeof facts[name] === "string" ? facts[name] : "");
  return {
    code: "code" in error && typeof error.code === "string" ? error.code : "internal",
    rule: text("rule"),
    detail: error.message,
    value: text("value"),
    limit: text("limit"),
    cure: text("cure"),
  };
}

function cureOf(error: Error): string {
  return "cure" in error && typeof error.cure === "string" ? error.cure : "";
}
