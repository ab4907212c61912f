// Which identities are renewed now, and when the next one is. Pure.

import { type DualTime, untilMs } from "../../src/sdk/renew-at.ts";
import type { IdentitySlot } from "./cache.ts";
import { hasEnded } from "./held-identity.ts";

export interface DuePlan {
  /** Renewed now, most urgent first. */
  readonly due: readonly IdentitySlot[];
  /** Milliseconds until the next one is due; Infinity when none will be. */
  readonly nextMs: number;
}

/**
 * What is due: never obtained, ended, asked for, of an older entry revision, or past its renewAt. When one is due, all
 * that are within a fiftieth of their ttl are taken along. `busy` are on their way already.
 */
export function planRenewals(slots: readonly IdentitySlot[], now: DualTime, busy: ReadonlySet<string>): DuePlan {
  const waits: { readonly slot: IdentitySlot; readonly ms: number }[] = [];
  for (const slot of slots) {
    if (busy.has(slot.spiffeId)) continue;
    const ms = waitMs(slot, now);
    if (ms !== undefined) waits.push({ slot, ms });
  }
  const anyDue = waits.some(({ ms }) => ms <= 0);
  const taken = waits.filter(({ slot, ms }) => ms <= 0 || (anyDue && ms <= aheadMs(slot, now)));
  const left = waits.filter((wait) => !taken.includes(wait));
  const nextMs = left.reduce((least, { ms }) => Math.min(least, ms), Number.POSITIVE_INFINITY);
  taken.sort((a, b) => endOf(a.slot) - endOf(b.slot));
  return { due: taken.map(({ slot }) => slot), nextMs };
}

/** Milliseconds until an identity may and must be renewed; undefined when it never is. */
function waitMs(slot: IdentitySlot, now: DualTime): number | undefined {
  const { entry, held, due, renewal, withdrawn } = slot;
  if (withdrawn || (entry === undefined && held === undefined)) return undefined;
  const blockedMs = renewal.retry === undefined ? 0 : untilMs(renewal.retry, now);
  const urgent =
    held === undefined ||
    due === undefined ||
    renewal.forced ||
    hasEnded(held, now.at) ||
    (entry !== undefined && held.entryRevision < entry.revision);
  return Math.max(blockedMs, urgent ? 0 : untilMs(due, now));
}

/** A failed try keeps its back-off: nothing is taken along before that. */
function aheadMs({ held, renewal }: IdentitySlot, now: DualTime): number {
  if (held === undefined || (renewal.retry !== undefined && untilMs(renewal.retry, now) > 0)) return 0;
  return (held.ttlSeconds * 1000) / 50;
}

function endOf({ held }: IdentitySlot): number {
  return held === undefined ? 0 : held.notAfter.getTime();
}
