// Calls of the Signet API, for the CLI and the agent: one unary call with a deadline, and one way to read a failure.
import { type CallOptions, type ClientUnaryCall, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Status } from "../../proto/gen/google/rpc/status.ts";
import { ErrorDetail, Retry } from "../../proto/gen/signet/v1/error.ts";

/** Every code that a failed call can have: those of the server, and `cancelled`, which only the caller makes. */
const rpcCodes = [
  "denied",
  "bad_request",
  "not_found",
  "exists",
  "conflict",
  "unauthenticated",
  "unavailable",
  "in_doubt",
  "too_large",
  "not_supported",
  "token_used",
  "token_expired",
  "token_unknown",
  "agent_alive",
  "clock_unsure",
  "internal",
  "cancelled",
] as const;

export type RpcCode = (typeof rpcCodes)[number];

/** When the same call may be tried again: never, at once and once, or after a back-off. */
export type RpcRetry = "never" | "same" | "later";

export interface RpcFailureFields {
  readonly code: RpcCode;
  readonly rule: string;
  readonly detail: string;
  readonly value: string;
  readonly limit: string;
  readonly cure: string;
  readonly retry: RpcRetry;
  readonly retryAfterSeconds: number;
  readonly grpcCode: number;
}

/**
 * A call that was not done. `message` is `detail`: one sentence that may be shown (control and bidi characters are
 * escaped, 400 characters at most). `rule`, `value`, `limit` and `cure` are empty when there is none. `grpcCode` is the
 * gRPC status number, -1 for the item of a batch.
 */
export class RpcFailure extends Error {
  readonly code: RpcCode;
  readonly rule: string;
  readonly detail: string;
  readonly value: string;
  readonly limit: string;
  readonly cure: string;
  readonly retry: RpcRetry;
  readonly retryAfterSeconds: number;
  readonly grpcCode: number;

  constructor(fields: RpcFailureFields, options?: ErrorOptions) {
    super(fields.detail, options);
    this.name = "RpcFailure";
    this.code = fields.code;
    this.rule = fields.rule;
    this.detail = fields.detail;
    this.value = fields.value;
    this.limit = fields.limit;
    this.cure = fields.cure;
    this.retry = fields.retry;
    this.retryAfterSeconds = fields.retryAfterSeconds;
    this.grpcCode = fields.grpcCode;
  }
}

/** What ts-proto makes of a unary method, bound to its client: `client.getBundle.bind(client)`. */
export type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/**
 * One unary call, with a deadline that covers connecting too. Throws RpcFailure and nothing else: `unavailable` when
 * nobody answers within `deadlineMs`, `cancelled` when `signal` aborts (the server may have done the call all the same).
 *
 * @example
 * const { bundle } = await callUnary(client.getBundle.bind(client), {}, { deadlineMs: 5_000 });
 */
export function callUnary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  options: {
    readonly deadlineMs: number;
    readonly signal?: AbortSignal | undefined;
    readonly metadata?: Metadata | undefined;
  },
): Promise<Response> {
  const { deadlineMs, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled(signal.reason));
      return;
    }
    let call: ClientUnaryCall | undefined;
    const onAbort = (): void => call?.cancel();
    try {
      call = method(
        request,
        options.metadata ?? new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, response) => {
          signal?.removeEventListener("abort", onAbort);
          if (error === null) {
            resolve(response);
          } else {
            reject(signal?.aborted ? cancelled(signal.reason) : decodeFailure(error, deadlineMs));
          }
        },
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    } catch (error) {
      reject(decodeFailure(error));
    }
  });
}

/**
 * What a failed call means, from the trailer `grpc-status-details-bin` when it has one, else from the gRPC status.
 * Takes whatever a client or a stream of grpc-js gives as an error; a RpcFailure comes back as it is. Never throws.
 * `deadlineMs` only serves the sentence of a call that nobody answered.
 */
export function decodeFailure(error: unknown, deadlineMs?: number): RpcFailure {
  if (error instanceof RpcFailure) {
    return error;
  }
  if (!isServiceError(error)) {
    return new RpcFailure(
      { ...noDetail, code: "internal", detail: shown(messageOf(error)), grpcCode: status.UNKNOWN },
      { cause: error },
    );
  }
  const detail = detailOf(error);
  if (detail !== undefined) {
    return failureOfDetail(detail, { grpcCode: error.code, cause: error });
  }
  const code = codeOfStatus(error.code);
  return new RpcFailure(
    { ...noDetail, code, detail: sentenceOf(error, deadlineMs), retry: retryOfCode(code), grpcCode: error.code },
    { cause: error },
  );
}

/** The failure of one item of a batch, or of a trailer. A code or retry that we do not know becomes `internal`, `never`. */
export function failureOfDetail(
  detail: ErrorDetail,
  options: { readonly grpcCode?: number; readonly cause?: unknown } = {},
): RpcFailure {
  const grpcCode = options.grpcCode ?? -1;
  const code = rpcCodes.find((known) => known === detail.code) ?? codeOfStatus(grpcCode);
  return new RpcFailure(
    {
      code,
      rule: shown(detail.rule),
      detail: detail.detail === "" ? code.replaceAll("_", " ") : shown(detail.detail),
      value: shown(detail.value),
      limit: shown(detail.limit),
      cure: shown(detail.cure),
      retry: retryFromWire(detail.retry, code),
      retryAfterSeconds: detail.retryAfterSeconds,
      grpcCode,
    },
    options.cause === undefined ? undefined : { cause: options.cause },
  );
}

const detailType = "type.googleapis.com/signet.v1.ErrorDetail";
const noDetail = { rule: "", value: "", limit: "", cure: "", retry: "never", retryAfterSeconds: 0 } as const;

function detailOf(error: ServiceError): ErrorDetail | undefined {
  const trailer = error.metadata?.get("grpc-status-details-bin")[0];
  if (!(trailer instanceof Uint8Array)) {
    return undefined;
  }
  try {
    const any = Status.decode(trailer).details[0];
    return any?.typeUrl === detailType ? ErrorDetail.decode(any.value) : undefined;
  } catch {
    // A trailer that cannot be read says no more than none.
    return undefined;
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function cancelled(reason: unknown): RpcFailure {
  return new RpcFailure(
    { ...noDetail, code: "cancelled", detail: "the call was cancelled", grpcCode: status.CANCELLED },
    { cause: reason },
  );
}

function codeOfStatus(grpcCode: number): RpcCode {
  switch (grpcCode) {
    case status.PERMISSION_DENIED:
      return "denied";
    case status.INVALID_ARGUMENT:
      return "bad_request";
    case status.NOT_FOUND:
      return "not_found";
    case status.ALREADY_EXISTS:
      return "exists";
    case status.ABORTED:
      return "conflict";
    case status.UNAUTHENTICATED:
      return "unauthenticated";
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return "unavailable";
    case status.RESOURCE_EXHAUSTED:
      return "too_large";
    case status.UNIMPLEMENTED:
      return "not_supported";
    case status.CANCELLED:
      return "cancelled";
    default:
      return "internal";
  }
}

function retryOfCode(code: RpcCode): RpcRetry {
  return code === "unavailable" || code === "in_doubt" || code === "clock_unsure" ? "later" : "never";
}

function retryFromWire(retry: Retry, code: RpcCode): RpcRetry {
  switch (retry) {
    case Retry.RETRY_SAME:
      return "same";
    case Retry.RETRY_LATER:
      return "later";
    case Retry.RETRY_NEVER:
      return "never";
    case Retry.RETRY_UNSPECIFIED:
    default:
      return retryOfCode(code);
  }
}

function sentenceOf(error: ServiceError, deadlineMs: number | undefined): string {
  if (error.code === status.DEADLINE_EXCEEDED) {
    return deadlineMs === undefined ? "no answer in time" : `no answer within ${deadlineMs / 1000} s`;
  }
  return shown(error.details === "" ? messageOf(error) : error.details);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// What comes over the wire is foreign, from an unverified server even: no line break, control or bidi character may
// reach a terminal.
function shown(text: string): string {
  const cut = text.length > 400 ? `${text.slice(0, 399)}…` : text;
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (char) => {
    const point = char.codePointAt(0) ?? 0;
    return `\\u{${point.toString(16)}}`;
  });
}
