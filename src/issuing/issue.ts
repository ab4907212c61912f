// The issuing line: the one function that issues every leaf, whatever asked for it.
//
// | killed                          | what is true then                                                            |
// | before or in step 5's commit    | nothing was handed out; the commit is there whole or not at all              |
// | after the commit, before step 6 | the certificate is recorded and nobody has it; it ends by itself             |
//
// Nothing is handed out that revocation does not know: only a Recorded leaves, and only record.ts makes one.

import type { Clock } from "../platform/clock.ts";
import type { Turns } from "../platform/turns.ts";
import { CaError } from "../registry/ca-error.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import type { Op } from "../store/store.ts";
import type { ParsedCsr } from "../x509/csr.ts";
import { type Caller, callerName } from "./caller.ts";
import type { Decision } from "./policy/decide.ts";
import { denied } from "./policy/denied.ts";
import type { Facts } from "./policy/facts.ts";
import type { ProfileName } from "./profile/profile.ts";
import type { Recorded } from "./record.ts";
import type { Allowed, Signed, Unsigned } from "./stages.ts";

/** What a protocol asks for, in the line's own words. */
export interface IssueRequest {
  readonly profile: ProfileName;
  readonly protocol: string;
  readonly id: SpiffeId;
  readonly csrDer: Uint8Array;
  /** A shorter life than the entry's or profile's, seconds. */
  readonly ttlSeconds?: number;
  /**
   * Ops that are committed with the certificate: the spent join string, the node's record. Called anew for each
   * attempt, so that it reads what is true now; it throws when that no longer allows it.
   */
  readonly together?: (issued: CertificateRecord) => Promise<readonly Op[]>;
}

/** The steps, each replaceable by a wrapped one that counts and times. */
export interface IssueSteps {
  readonly parse: (csrDer: Uint8Array) => ParsedCsr;
  readonly look: (caller: Caller, request: IssueRequest, csr: ParsedCsr, now: Date) => Promise<Facts>;
  readonly decide: (csr: ParsedCsr, facts: Facts) => Decision;
  readonly build: (allowed: Allowed) => Unsigned;
  readonly sign: (unsigned: Unsigned) => Promise<Signed>;
  /** undefined when a condition of the commit failed: what it was decided by has changed. */
  readonly record: (signed: Signed, caller: Caller, request: IssueRequest, now: Date) => Promise<Recorded | undefined>;
}

export interface IssueDeps {
  /** The time to sign by. It throws CaError "clock_unsure" while nobody knows what the time is. */
  readonly clock: Pick<Clock, "now">;
  readonly turns: Turns;
  readonly steps: IssueSteps;
}

/**
 * Issues a leaf, or throws CaError: "denied" with rule, value, limit and cure; "bad_request" for a CSR that is none;
 * "conflict" when what it was decided by changed twice; "clock_unsure"; "unavailable" and "in_doubt" from the store. Not
 * idempotent: each recorded call is a new serial.
 */
export async function issue(deps: IssueDeps, caller: Caller, request: IssueRequest): Promise<Recorded> {
  const { steps } = deps;
  await deps.turns.next(callerName(caller));
  const csr = steps.parse(request.csrDer); //                                 1 parse, proof of possession
  for (let attempt = 1; attempt <= 2; attempt++) {
    const now = deps.clock.now();
    const facts = await steps.look(caller, request, csr, now);
    const decision = steps.decide(csr, facts); //                             2 decide
    if (!decision.allow) throw denied(decision);
    const unsigned = steps.build(decision.allowed); //                        3 build
    const signed = await steps.sign(unsigned); //                             4 sign
    const recorded = await steps.record(signed, caller, request, now); //     5 record, durably
    if (recorded !== undefined) return recorded; //                           6 reply
  }
  throw new CaError("conflict", `what ${request.id} may have changed twice meanwhile`, { retry: "same" });
}
