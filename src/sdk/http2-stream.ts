// One HTTP/2 stream of a client, read to its end, and the waiting around it.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { SdkError } from "./sdk-error.ts";

/**
 * In TLS 1.3 the client is done before the server has judged it. The server's SETTINGS are the first byte of one that
 * accepted us, so no request is sent before: one that we are refused for was never sent.
 */
export function serverAccepted(http2: ClientHttp2Session, withinMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      done();
      http2.destroy();
      reject(new SdkError("deadline", `the server did not begin HTTP/2 within ${withinMs / 1000} s`));
    }, withinMs);
    const onClose = (): void => {
      done();
      reject(new SdkError("lost", "the server closed the new connection: it may have refused our identity"));
    };
    const onSettings = (): void => {
      done();
      resolve();
    };
    const done = (): void => {
      clearTimeout(timer);
      http2.off("close", onClose).off("remoteSettings", onSettings);
    };
    http2.on("close", onClose).on("remoteSettings", onSettings);
  });
}

export function readAnswer(
  stream: ClientHttp2Stream,
  { signal, maxBodyBytes }: { readonly signal: AbortSignal; readonly maxBodyBytes: number },
): Promise<{ readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: Uint8Array }> {
  return new Promise((resolve, reject) => {
    let headers: (IncomingHttpHeaders & IncomingHttpStatusHeader) | undefined;
    let failure: Error | undefined;
    let complete = false;
    let size = 0;
    const chunks: Uint8Array[] = [];
    const cancel = (error: Error): void => {
      failure ??= error;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const onAbort = (): void => cancel(abortedBy(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    stream.on("response", (received) => {
      headers = received;
    });
    stream.on("data", (chunk: Uint8Array) => {
      size += chunk.length;
      if (size > maxBodyBytes) cancel(new SdkError("too_large", `the answer is over ${maxBodyBytes} bytes`));
      else chunks.push(chunk);
    });
    stream.on("end", () => {
      complete = true;
    });
    stream.on("error", (error) => {
      failure ??= new SdkError("lost", `the connection ended before the answer: ${error.message}`, { cause: error });
    });
    stream.on("close", () => {
      signal.removeEventListener("abort", onAbort);
      const status = headers?.[":status"];
      // A stream that was cut may end without an error and without an answer.
      if (failure === undefined && complete && status !== undefined && stream.rstCode === constants.NGHTTP2_NO_ERROR) {
        resolve({ status, headers: headers ?? {}, body: new Uint8Array(Buffer.concat(chunks)) });
      } else {
        reject(failure ?? new SdkError("lost", "the connection ended before the answer"));
      }
    });
  });
}

export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  if (signal.aborted) throw abortedBy(signal);
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedBy(signal));
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function abortedBy(signal: AbortSignal): SdkError {
  const { reason } = signal as { readonly reason: unknown };
  return reason instanceof SdkError ? reason : new SdkError("aborted", "the request was aborted", { cause: reason });
}
