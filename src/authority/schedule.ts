// When an intermediate is followed by the next. Pure: all times are given.
import type { AuthorityKind, Serves } from "../store/collections/authorities.ts";
import type { Authority } from "./authority.ts";
import type { TrustView } from "./trust-state.ts";

export interface RotationSettings {
  /** Parts of an intermediate's life after which its successor is prepared, and activated. */
  readonly prepareAt: number;
  readonly activateAt: number;
  /** How long an activation waits for agents to have the new CRL, milliseconds. */
  readonly acknowledgeWaitMs: number;
  /** The longest life of a leaf under it, milliseconds: no successor comes later than twice that before the end. */
  readonly longestTtlMs: { readonly [serves in Serves]: number };
  /** How long a CRL stands, seconds: an intermediate's is signed anew daily, a root's at each ceremony. */
  readonly crlLifeSeconds: { readonly [kind in AuthorityKind]: number };
}

export interface Schedule {
  readonly prepareAt: Date;
  readonly activateAt: Date;
}

/** Life is counted from the moment the authority was made. */
export function scheduleOf(authority: Authority, settings: RotationSettings): Schedule {
  const start = authority.record.preparedAt;
  const end = authority.certificate.notAfter.getTime();
  const longestTtlMs = Math.max(0, ...authority.record.serves.map((serves) => settings.longestTtlMs[serves]));
  const latest = end - 2 * longestTtlMs;
  const activateAt = Math.min(start + (end - start) * settings.activateAt, latest);
  const prepareAt = Math.min(start + (end - start) * settings.prepareAt, activateAt);
  return { prepareAt: new Date(prepareAt), activateAt: new Date(activateAt) };
}

/** What is next for the intermediates that serve the same profiles. */
export type NextStep =
  | { readonly step: "prepare"; readonly after: Authority; readonly at: Date; readonly activateAt: Date }
  | { readonly step: "activate"; readonly authority: Authority; readonly at: Date; readonly waitUntil: Date }
  | { readonly step: "retire"; readonly authority: Authority; readonly at: Date };

/** All steps to come, each with the time at which it is due. `lastLeaf` says when the last leaf of an old one ends. */
export function nextSteps(
  view: TrustView,
  settings: RotationSettings,
  lastLeaf: ReadonlyMap<string, Date>,
): readonly NextStep[] {
  const steps: NextStep[] = [];
  const intermediates = view.authorities.filter(({ record }) => record.kind === "intermediate");
  for (const authority of intermediates) {
    const { record } = authority;
    if (record.state === "old") {
      steps.push({
        step: "retire",
        authority,
        at: lastLeaf.get(record.name) ?? new Date(record.oldAt ?? record.preparedAt),
      });
    }
    if (record.state === "prepared") {
      const at = new Date(record.activateFrom ?? authority.certificate.notAfter.getTime());
      // Counted from the moment it is due, however long ago it was prepared: whoever joined meanwhile is waited for too.
      const waitUntil = new Date(Math.max(at.getTime(), record.preparedAt) + settings.acknowledgeWaitMs);
      steps.push({ step: "activate", authority, at, waitUntil });
    }
    if (record.state === "active" && !intermediates.some((other) => follows(other, authority))) {
      const { prepareAt, activateAt } = scheduleOf(authority, settings);
      steps.push({ step: "prepare", after: authority, at: prepareAt, activateAt });
    }
  }
  return steps;
}

function follows(other: Authority, authority: Authority): boolean {
  return (
    other.record.state === "prepared" && other.record.serves.some((each) => authority.record.serves.includes(each))
  );
}
