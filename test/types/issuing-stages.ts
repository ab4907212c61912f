// Compiled, never run: what must not compile on the issuing line. When one of these begins to compile, tsc says so.
import type { Caller } from "../../src/issuing/caller.ts";
import type { IssueRequest, IssueSteps } from "../../src/issuing/issue.ts";
import type { Facts } from "../../src/issuing/policy/facts.ts";
import { type Recorded, record } from "../../src/issuing/record.ts";
import type {
  Allowed,
  AllowedFields,
  Signed,
  SignedFields,
  Unsigned,
  UnsignedFields,
} from "../../src/issuing/stages.ts";
import { certificateToWire } from "../../src/protocols/issuance/certificate-to-wire.ts";
import type { SpiffeId, TrustDomain } from "../../src/spiffe/id.ts";
import type { ParsedCsr } from "../../src/x509/csr.ts";

interface World {
  readonly steps: IssueSteps;
  readonly caller: Caller;
  readonly request: IssueRequest;
  readonly facts: Facts;
  readonly csr: ParsedCsr;
  readonly now: Date;
  readonly allowed: Allowed;
  readonly unsigned: Unsigned;
  readonly signed: Signed;
  readonly recorded: Recorded;
  readonly other: Recorded;
}

/** DESIGN section 4, first pin: a step that is left out does not compile. */
export async function skippedSteps({
  steps,
  caller,
  request,
  facts,
  csr,
  now,
  allowed,
  unsigned,
  signed,
}: World): Promise<void> {
  // @ts-expect-error bytes are not parsed
  steps.decide(request.csrDer, facts);
  // @ts-expect-error a CSR is not decided upon
  steps.build(csr);
  // @ts-expect-error facts are no decision
  steps.build(facts);
  // @ts-expect-error what is allowed is not built
  await steps.sign(allowed);
  // @ts-expect-error what is allowed is not signed
  await steps.record(allowed, caller, request, now);
  // @ts-expect-error what is built is not signed
  await steps.record(unsigned, caller, request, now);
  // @ts-expect-error a later stage is not an earlier one
  steps.build(signed);
  // @ts-expect-error a signed certificate is not signed again
  await steps.sign(signed);
}

/** No object literal is a stage: the brands cannot be written down. */
export function forgedStages(
  allowed: AllowedFields,
  unsigned: UnsignedFields,
  signed: SignedFields,
): readonly [Allowed, Unsigned, Signed] {
  // @ts-expect-error the brand is missing
  const one: Allowed = { ...allowed };
  // @ts-expect-error the brand is missing
  const two: Unsigned = { ...unsigned };
  // @ts-expect-error the brand is missing
  const three: Signed = { ...signed };
  return [one, two, three];
}

/** DESIGN section 4, second pin: another certificate spread into a Recorded does not compile. */
export function forgedRecorded({ recorded, other, signed }: World): readonly Recorded[] {
  // @ts-expect-error a spread loses the private field
  // oxlint-disable-next-line typescript/no-misused-spread -- this is what must not compile
  const spread: Recorded = { ...recorded, record: other.record };
  // @ts-expect-error an object of the same shape is none
  const shaped: Recorded = { record: other.record, issuer: other.issuer, revision: 1, chainDer: other.chainDer };
  // @ts-expect-error signed is not recorded
  const early: Recorded = signed;
  // @ts-expect-error only the type leaves its file, so nobody can make one
  const made: Recorded = new Recorded(1, other.record, other.issuer);
  return [spread, shaped, early, made];
}

/** Only what is recorded goes to the wire. */
export function unrecordedToWire({ signed, unsigned, now }: World): void {
  // @ts-expect-error a Signed has not been recorded
  certificateToWire(signed, [signed.der], now);
  // @ts-expect-error an Unsigned has not been recorded
  certificateToWire(unsigned, [], now);
}

/** What record() takes is signed, and what it gives is Recorded or nothing. */
export async function recordTakesSigned(
  deps: Parameters<typeof record>[0],
  world: World,
): Promise<Recorded | undefined> {
  const context = { caller: world.caller, request: world.request, now: world.now };
  // @ts-expect-error not signed yet
  await record(deps, world.unsigned, context);
  // @ts-expect-error it may be undefined: a condition failed
  const surely: Recorded = await record(deps, world.signed, context);
  return surely;
}

/** Texts are no IDs. */
export function rawIds(): readonly [SpiffeId, TrustDomain] {
  // @ts-expect-error not parsed
  const id: SpiffeId = "spiffe://prod.example/svc/a";
  // @ts-expect-error not parsed
  const domain: TrustDomain = "prod.example";
  return [id, domain];
}
