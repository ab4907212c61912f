// A report that is too large ends the stream, and with it everything the server sends. So it is cut before it is sent.
import { AgentReport, IdentityReport, IdentityState } from "../proto/gen/signet/v1/issuance.ts";
import type { Logger } from "../src/platform/logger.ts";

/** Octets of a report at most: well below the 1 MiB that a server reads. */
export const maxReportOctets: number = 768 * 1024;
/** What the texts of errors may have of it when identities must be cut too. */
const textOctets = 64 * 1024;

export interface FittedReport {
  readonly report: AgentReport;
  /** Identities that were left out. */
  readonly identitiesCut: number;
  /** Error texts that were left out of identities that are named. */
  readonly errorsCut: number;
}

/**
 * The report within `maxOctets`: first error texts are left out, then identities. Identities in trouble stay longest,
 * and among each kind those that end first.
 */
export function fitReport(report: AgentReport, maxOctets: number = maxReportOctets): FittedReport {
  const whole = AgentReport.encode(report).finish().length;
  if (whole <= maxOctets) return { report, identitiesCut: 0, errorsCut: 0 };
  const ordered = report.identities
    .map((identity, index) => {
      const bareOctets = octetsOf({ ...identity, lastError: "" });
      return { identity, index, bareOctets, textOctets: octetsOf(identity) - bareOctets };
    })
    .sort(
      (a, b) => Number(inTrouble(b.identity)) - Number(inTrouble(a.identity)) || endOf(a.identity) - endOf(b.identity),
    );
  const room = maxOctets - AgentReport.encode({ ...report, identities: [] }).finish().length;
  const allTexts = ordered.reduce((sum, each) => sum + each.textOctets, 0);
  const named = takeWhileFits(ordered, room - Math.min(allTexts, textOctets), (each) => each.bareOctets);
  const left = room - named.reduce((sum, each) => sum + each.bareOctets, 0);
  const explained = new Set(takeWhileFits(named, left, (each) => each.textOctets));
  const identities = named
    .toSorted((a, b) => a.index - b.index)
    .map((each) => (explained.has(each) ? each.identity : { ...each.identity, lastError: "" }));
  return {
    report: { ...report, identities },
    identitiesCut: ordered.length - named.length,
    errorsCut: named.filter((each) => !explained.has(each) && each.textOctets > 0).length,
  };
}

/** fitReport() that says in the log when it begins to cut, and not at every report. */
export function reportFitter(logger: Pick<Logger, "warn">): (report: AgentReport) => AgentReport {
  let said = false;
  return (report) => {
    const { report: fitted, identitiesCut, errorsCut } = fitReport(report);
    const isCut = identitiesCut + errorsCut > 0;
    if (isCut && !said) {
      logger.warn(
        { identities: report.identities.length, identitiesCut, errorsCut },
        "the report to the server is too large and is cut",
      );
    }
    said = isCut;
    return fitted;
  };
}

function takeWhileFits<T>(items: readonly T[], room: number, octets: (item: T) => number): readonly T[] {
  let used = 0;
  const end = items.findIndex((item) => {
    used += octets(item);
    return used > room;
  });
  return end < 0 ? items : items.slice(0, end);
}

/** With the tag and the length before it; a length has three octets at most here. */
function octetsOf(identity: IdentityReport): number {
  return IdentityReport.encode(identity).finish().length + 4;
}

function inTrouble({ state, lastError }: IdentityReport): boolean {
  return (
    lastError !== "" ||
    !(state === IdentityState.IDENTITY_STATE_ON_DISK || state === IdentityState.IDENTITY_STATE_MEMORY)
  );
}

/** What was never obtained counts as ended long ago. */
function endOf({ notAfter }: IdentityReport): number {
  return notAfter?.getTime() ?? 0;
}
