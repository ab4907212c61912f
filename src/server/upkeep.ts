// What the server does by itself, again and again: rotation, CRLs, its own certificate, old records, numbers.
import { destroyRetiredKeys, type RotationDeps, rotateByHand, rotateWhatIsDue } from "../authority/rotation.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Announcements } from "../registry/announcements.ts";
import { allDeviceClasses, longestGraceSeconds } from "../registry/device-classes.ts";
import { countDevices } from "../registry/devices.ts";
import { nodeState, nodeViews } from "../registry/nodes.ts";
import { finishOpenRevocations } from "../revocation/open-revocations.ts";
import { publishDueCrls } from "../revocation/publish-crls.ts";
import { type RevokeDeps, readAnew } from "../revocation/revoke.ts";
import { certificateKey, certificates } from "../store/collections/certificates.ts";
import { remove, type Store } from "../store/store.ts";
import type { ServerMetrics } from "./metrics.ts";

/** Woken at once by `ring`, and by itself after `everyMs`. */
export async function repeat(
  deps: { readonly clock: Clock; readonly log: Logger },
  work: {
    readonly name: string;
    readonly everyMs: number;
    readonly run: () => Promise<void>;
    readonly onRing?: (ring: () => void) => void;
  },
  signal: AbortSignal,
): Promise<void> {
  let wake: AbortController | undefined;
  let rung = false;
  work.onRing?.(() => {
    rung = true;
    wake?.abort();
  });
  while (!signal.aborted) {
    rung = false;
    try {
      await work.run();
    } catch (error) {
      deps.log.warn({ task: work.name, err: error }, "upkeep failed, it is tried again");
    }
    if (rung) continue;
    wake = new AbortController();
    await deps.clock.sleep(work.everyMs, { signal: AbortSignal.any([signal, wake.signal]), unref: true });
    wake = undefined;
  }
}

/** Rotates what is due and says what it did; asks for the root's key once, not every second. */
export function rotationUpkeep(deps: RotationDeps & { readonly log: Logger }): () => Promise<void> {
  let asked = "";
  let mayBeLeft = true; // A kill between the commit and the key, in a former process.
  return async () => {
    if (mayBeLeft) await destroyRetiredKeys(deps);
    mayBeLeft = true;
    const looked = await rotateWhatIsDue(deps);
    for (const step of looked.done) deps.log.info({ step, unacknowledged: looked.waitingFor }, "authority rotated");
    const wanted = looked.rootKeyWanted.join(" ");
    for (const serves of wanted === asked ? [] : looked.rootKeyWanted) {
      deps.log.warn(
        { try: rotateByHand(serves), serves },
        "the intermediate needs a successor and the root key is not on this server",
      );
    }
    asked = wanted;
    mayBeLeft = false;
  };
}

export function crlUpkeep(deps: RotationDeps & { readonly log: Logger }): () => Promise<void> {
  return async () => {
    const names = await publishDueCrls(deps);
    if (names.length > 0) deps.log.info({ authorities: names }, "CRLs signed anew");
  };
}

/** Certificates pruned in one look. */
const pruneBatch = 100;
const maxPruned = 10_000;

/** Drops certificates that ended longer ago than `retentionMs`, from where it stopped, in small steps. */
export function pruneUpkeep(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Logger;
  readonly retentionMs: number;
}): () => Promise<void> {
  let from = 0;
  return async () => {
    // Who comes back within the grace is judged by the record of its last certificate.
    const retentionMs = Math.max(deps.retentionMs, (await longestGraceSeconds(deps.store)) * 1000);
    const before = deps.clock.now().getTime() - retentionMs;
    let pruned = 0;
    while (pruned < maxPruned) {
      const range = { from: [from], to: [before] };
      const ended = await Array.fromAsync(deps.store.scan(certificates, "ends", range, { limit: pruneBatch }));
      if (ended.length === 0) break;
      await deps.store.commit(
        ended.map(({ value, revision }) =>
          remove(certificates, certificateKey(value.serialHex, value.authority), revision),
        ),
      );
      pruned += ended.length;
      // What was deleted is passed over: a scan from the start would walk over it again.
      from = ended.at(-1)?.value.notAfter ?? from;
    }
    if (pruned > 0) deps.log.info({ pruned }, "ended certificates pruned");
  };
}

/**
 * Revokes what a former process, or a moment without a store, left to be revoked; and reads the deny list anew when a
 * commit of which nobody knew the end was stored after all.
 */
export function revocationUpkeep(deps: RevokeDeps & { readonly log: Logger }): () => Promise<void> {
  return async () => {
    await readAnew(deps);
    const finished = await finishOpenRevocations(deps);
    if (finished > 0) deps.log.info({ finished }, "revocations finished that had been begun");
  };
}

/** Counts the nodes by state for the metrics. */
export function fleetUpkeep(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly metrics: ServerMetrics;
  readonly bundleSequence: () => bigint;
  readonly lateAfterMs: number;
}): () => Promise<void> {
  return async () => {
    const now = deps.clock.now();
    const counts = { live: 0, late: 0, gone: 0, banned: 0 };
    let behind = 0;
    for await (const view of nodeViews(deps.store)) {
      const state = nodeState(view, now, deps.lateAfterMs);
      counts[state]++;
      const living = state === "live" || state === "late";
      if (living && (view.report?.bundleSequence ?? 0n) < deps.bundleSequence()) behind++;
    }
    deps.metrics.agents(counts, behind);
  };
}

/** Counts the devices by state for the metrics. */
export function devicesUpkeep(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly metrics: ServerMetrics;
}): () => Promise<void> {
  return async () => {
    const classes = await allDeviceClasses(deps.store);
    deps.metrics.devices(await countDevices(deps.store, classes, deps.clock.now()));
  };
}

/** Rings whenever bundle, deny list, CRLs or authorities change. */
export function onTrustChange(announcements: Announcements): (ring: () => void) => void {
  return (ring) => {
    announcements.subscribe((change) => {
      if (change.kind === "trust") ring();
    });
  };
}
