// How every gRPC protocol of ours runs a handler and answers an error: with the code from its own table and the detail
// as a signet.v1.ErrorDetail in the standard trailer grpc-status-details-bin.
import {
  Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type StatusObject,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { Any } from "../../proto/gen/google/protobuf/any.ts";
import { Status } from "../../proto/gen/google/rpc/status.ts";
import { ErrorDetail, Retry } from "../../proto/gen/signet/v1/error.ts";
import type { Logger } from "../platform/logger.ts";
import { CaError, type CaErrorCode } from "../registry/ca-error.ts";
import { storeFailure } from "../registry/committed.ts";

/** A protocol answers for every code, or it does not compile. */
export type StatusTable = { readonly [code in CaErrorCode]: status };

export interface CallDeps {
  readonly log: Logger;
  /** Makes the id by which an internal error is found in the log. */
  readonly errorId: () => string;
}

/** The error as the nouns' own; anything that is not theirs becomes "internal" with an id that the log explains. */
export function caErrorOf(deps: CallDeps, thrown: unknown): CaError {
  const error = storeFailure(thrown);
  if (error instanceof CaError && error.code !== "internal") return error;
  const id = deps.errorId();
  deps.log.error({ errorId: id, err: error }, "internal error");
  return new CaError("internal", `internal error ${id}: the server's log says more`, { cause: error });
}

/** The detail of an error as it travels. */
export function errorDetail(error: CaError): ErrorDetail {
  const { rule = "", value = "", limit = "", cure = "", retry = "never", retryAfterSeconds = 0 } = error.facts;
  const retries = { never: Retry.RETRY_NEVER, same: Retry.RETRY_SAME, later: Retry.RETRY_LATER } as const;
  return {
    code: error.code,
    rule,
    detail: error.message,
    value,
    limit,
    cure,
    retry: retries[retry],
    retryAfterSeconds,
  };
}

/** The gRPC status of an error. */
export function grpcStatus(table: StatusTable, error: CaError): StatusObject {
  const code = table[error.code];
  const detail = ErrorDetail.encode(errorDetail(error)).finish();
  const any: Any = { typeUrl: "type.googleapis.com/signet.v1.ErrorDetail", value: Buffer.from(detail) };
  const metadata = new Metadata();
  const packed = Status.encode({ code, message: error.message, details: [any] }).finish();
  metadata.set("grpc-status-details-bin", Buffer.from(packed));
  return { code, details: error.message, metadata };
}

/** A unary handler: runs `answer`, and turns what it throws into a status. */
export function unary<Request, Response>(
  deps: CallDeps,
  table: StatusTable,
  answer: (request: Request, call: ServerUnaryCall<Request, Response>) => Promise<Response>,
): (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => void {
  return (call, callback) => {
    answer(call.request, call).then(
      (response) => callback(null, response),
      (error: unknown) => callback(grpcStatus(table, caErrorOf(deps, error)), null),
    );
  };
}

/** A server-streaming handler: sends what `answers` yields, waits for a slow reader, ends with the status of a failure. */
export function serverStream<Request, Response>(
  deps: CallDeps,
  table: StatusTable,
  answers: (
    request: Request,
    signal: AbortSignal,
    call: ServerWritableStream<Request, Response>,
  ) => AsyncIterable<Response>,
): (call: ServerWritableStream<Request, Response>) => void {
  return (call) => {
    const gone = new AbortController();
    call.on("cancelled", () => gone.abort());
    call.on("error", () => gone.abort());
    void (async () => {
      try {
        for await (const answer of answers(call.request, gone.signal, call)) {
          if (gone.signal.aborted) return;
          if (!call.write(answer)) await drained(call, gone.signal);
        }
        call.end();
      } catch (error) {
        if (!gone.signal.aborted) call.emit("error", grpcStatus(table, caErrorOf(deps, error)));
      }
    })();
  };
}

function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const go = (): void => {
      signal.removeEventListener("abort", go);
      call.removeListener("drain", go);
      resolve();
    };
    call.once("drain", go);
    signal.addEventListener("abort", go, { once: true });
  });
}
