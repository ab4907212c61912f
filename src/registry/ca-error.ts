// The error of the nouns: registry, authority, revocation and issuing answer with it, and each protocol maps it to its
// wire in one table.

/** Closed list. Every protocol answers for every code, or it does not compile. */
export const caErrorCodes = [
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
] as const;
export type CaErrorCode = (typeof caErrorCodes)[number];

/** When the same request may be sent again. */
export type Retry = "never" | "same" | "later";

export interface CaErrorFacts {
  /** The rule that denied. */
  readonly rule?: string;
  readonly value?: string;
  readonly limit?: string;
  /** One command that would help. */
  readonly cure?: string;
  readonly retry?: Retry;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** What a noun answers when it does not do what was asked. The message is one sentence that the caller may read. */
export class CaError extends Error {
  override readonly name = "CaError";
  readonly code: CaErrorCode;
  readonly facts: CaErrorFacts;
  constructor(code: CaErrorCode, detail: string, facts: CaErrorFacts = {}) {
    super(detail, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.facts = facts;
  }
}
