// What the agent may say it has. Pure.
import type { IdentitySlot } from "./identities/cache.ts";

export interface TrustSequences {
  readonly bundle: bigint;
  readonly denied: bigint;
}

export interface Acknowledgement extends TrustSequences {
  readonly entryRevision: bigint;
  /** For people: what holds it back; empty when nothing does. */
  readonly heldBackBy: string;
}

/**
 * A sequence is acknowledged when it is durable under the data directory, every identity directory shows it, and each
 * reload since has succeeded; else it is the one before, with what holds it back. An identity that never was on disk has
 * no readers, but one that cannot be written counts.
 */
export function acknowledged(
  trust: TrustSequences,
  durable: TrustSequences & { readonly error: string },
  identities: { readonly slots: readonly IdentitySlot[]; readonly entryRevision: bigint; readonly now: Date },
): Acknowledgement {
  const blocks: string[] = [];
  let bundle = durable.bundle < trust.bundle ? durable.bundle : trust.bundle;
  let denied = durable.denied < trust.denied ? durable.denied : trust.denied;
  if (bundle < trust.bundle || denied < trust.denied) {
    blocks.push(durable.error === "" ? "the data directory is being written" : durable.error);
  }
  for (const slot of identities.slots) {
    const block = blockOf(slot, trust);
    if (block === undefined) continue;
    blocks.push(block.why);
    bundle = least(bundle, before(trust.bundle), block.bundle);
    denied = least(denied, before(trust.denied), block.denied);
  }
  return { bundle, denied, entryRevision: entryRevisionOnDisk(identities), heldBackBy: blocks[0] ?? "" };
}

/** The highest revision up to which every entry of this agent is on disk. */
function entryRevisionOnDisk(identities: {
  readonly slots: readonly IdentitySlot[];
  readonly entryRevision: bigint;
}): bigint {
  let revision = identities.entryRevision;
  for (const { entry, withdrawn, directory, disk, held } of identities.slots) {
    if (entry === undefined || withdrawn) continue;
    const has =
      directory === undefined ? held?.entryRevision : disk.state === "on_disk" ? disk.shown?.entryRevision : undefined;
    if (has === undefined || has < entry.revision) revision = least(revision, before(entry.revision));
  }
  return revision;
}

function blockOf(slot: IdentitySlot, trust: TrustSequences): (TrustSequences & { readonly why: string }) | undefined {
  if (slot.directory === undefined || slot.held === undefined) return undefined;
  const { disk } = slot;
  if (disk.shown === undefined) {
    if (disk.state === "none") return undefined;
    const why = disk.lastError === "" ? `${slot.directory} is not written yet` : disk.lastError;
    return { bundle: before(trust.bundle), denied: before(trust.denied), why };
  }
  const shows = disk.shown.bundle >= trust.bundle && disk.shown.denied >= trust.denied;
  if (shows && !disk.reloadPending) return undefined;
  const waiting = shows ? `the reload for ${slot.directory} has not ended` : `${slot.directory} is not written yet`;
  return {
    bundle: disk.shown.bundle,
    denied: disk.shown.denied,
    why: disk.lastError === "" ? waiting : disk.lastError,
  };
}

function before(sequence: bigint): bigint {
  return sequence > 0n ? sequence - 1n : 0n;
}

function least(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (b < a ? b : a));
}
