/**
 * What the SDK throws: `not_ready` no usable identity of our own, yet or any more · `broken` an identity directory that
 * cannot be used · `peer_refused` we refused the peer (`reason` says why) · `unreachable` no connection · `lost` the
 * connection ended before an answer (the peer may have refused us) · `deadline` no answer in time · `aborted` by the
 * caller's signal · `too_large` an answer over the limit · `closed` this client was closed.
 */
export const sdkErrorCodes = [
  "not_ready",
  "broken",
  "peer_refused",
  "unreachable",
  "lost",
  "deadline",
  "aborted",
  "too_large",
  "closed",
] as const;

export type SdkErrorCode = (typeof sdkErrorCodes)[number];

/** Every error of the SDK, but TypeError for wrong use. `reason` is set on `peer_refused` only. */
export class SdkError extends Error {
  readonly code: SdkErrorCode;
  readonly reason: string | undefined;

  constructor(code: SdkErrorCode, message: string, options?: ErrorOptions & { readonly reason?: string }) {
    super(message, options);
    this.name = "SdkError";
    this.code = code;
    this.reason = options?.reason;
  }
}
