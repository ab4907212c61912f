// Brings what the cache holds onto the disk: kept under the data directory, shown in its identity directory, reloaded.
// The old set stays in force until the new one is; what cannot be written is tried again.
import type { Clock } from "../../src/platform/clock.ts";
import type { Logger } from "../../src/platform/logger.ts";
import type { Random } from "../../src/platform/random.ts";
import { type RetryLimits, retryDelayMs } from "../../src/sdk/renew-at.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { Wake } from "../wake.ts";
import type { DiskState, IdentityCache, IdentitySlot } from "./cache.ts";
import { DirectoryError, directoryError, type WriteFailureReason } from "./directory-error.ts";
import { type HeldIdentity, hasEnded } from "./held-identity.ts";
import { identitySet, type SetFile, type TrustFiles } from "./identity-set.ts";
import type { KeptIdentities } from "./kept.ts";
import type { ReloadAction } from "./reload.ts";

export interface WriterDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly cache: IdentityCache;
  readonly kept: KeptIdentities;
  /** What every set shows beside the identity. A new object when anything of it changed. */
  readonly trust: () => TrustFiles;
  /** Puts a set in force in the identity's directory. Throws DirectoryError. */
  readonly write: (id: SpiffeId, set: readonly SetFile[]) => Promise<void>;
  /** Takes the directory's set away. Throws DirectoryError. */
  readonly clear: (id: SpiffeId) => Promise<void>;
  readonly reloadOf: (id: SpiffeId) => ReloadAction | undefined;
  readonly reload: (request: string, action: ReloadAction) => void;
  readonly retry: RetryLimits;
  /** Directories that are written at the same time. */
  readonly lanes: number;
  readonly failed: (reason: WriteFailureReason) => void;
}

/** Writes what changed, one loop for all identities. */
export class IdentityWriter {
  readonly #deps: WriterDeps;
  readonly #wake: Wake;
  readonly #dirty = new Set<SpiffeId>();
  readonly #busy = new Map<SpiffeId, Promise<void>>();
  readonly #retryAtMs = new Map<SpiffeId, number>();
  readonly #keptAs = new Map<SpiffeId, string>();
  readonly #shownTrust = new Map<SpiffeId, TrustFiles>();
  readonly #reloads = new Map<SpiffeId, string>();
  #reloadCount = 0;
  #idle: (() => void)[] = [];

  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#wake = new Wake(deps.clock);
    deps.cache.subscribe((id) => this.#mark(id));
  }

  /** What a restart found is kept already. */
  noteKept(slot: IdentitySlot): void {
    this.#keptAs.set(slot.spiffeId, keptMark(slot));
  }

  /** Every set must show what is trusted now. */
  trustChanged(): void {
    for (const slot of this.#deps.cache.all()) this.#mark(slot.spiffeId);
  }

  /** Resolves once nothing waits to be written, failed writes aside. */
  settled(): Promise<void> {
    if (this.#dirty.size === 0 && this.#busy.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Called by the reloader: `request` is what was given to `reload`. */
  reloadDone(request: string, error: string | undefined): void {
    const id = [...this.#reloads].find(([, latest]) => latest === request)?.[0];
    if (id === undefined) return;
    if (error === undefined) this.#reloads.delete(id);
    this.#disk(id, (disk) =>
      error === undefined
        ? {
            ...disk,
            reloadPending: false,
            ...(disk.state === "reload_failed" ? { state: "on_disk", lastError: "" } : {}),
          }
        : { ...disk, ...(disk.state === "write_failed" ? {} : { state: "reload_failed", lastError: error }) },
    );
    if (error !== undefined) this.#deps.logger.warn({ spiffeId: id, reason: error }, "reload failed");
  }

  /** Works until `signal` aborts, and then finishes what it began. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#takeRetries();
      for (const id of this.#dirty) {
        if (this.#busy.size >= this.#deps.lanes) break;
        if (this.#busy.has(id)) continue;
        this.#dirty.delete(id);
        this.#busy.set(
          id,
          this.#work(id).finally(() => this.#finished(id)),
        );
      }
      if (this.#dirty.size === 0 && this.#busy.size === 0) this.#tellIdle();
      await this.#wake.wait(this.#nextMs(), signal);
    }
    await Promise.all(this.#busy.values());
    this.#tellIdle();
  }

  #mark(id: SpiffeId): void {
    this.#dirty.add(id);
    this.#wake.poke();
  }

  #finished(id: SpiffeId): void {
    this.#busy.delete(id);
    this.#wake.poke();
  }

  #tellIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #takeRetries(): void {
    const now = this.#deps.clock.monotonicMs();
    for (const [id, atMs] of this.#retryAtMs) {
      if (atMs > now) continue;
      this.#retryAtMs.delete(id);
      this.#dirty.add(id);
    }
    const wall = this.#deps.clock.now();
    for (const { spiffeId, withdrawn, held } of this.#deps.cache.all()) {
      if (withdrawn && held !== undefined && hasEnded(held, wall) && !this.#retryAtMs.has(spiffeId))
        this.#dirty.add(spiffeId);
    }
  }

  #nextMs(): number {
    const now = this.#deps.clock.monotonicMs();
    let next = Math.min(Number.POSITIVE_INFINITY, ...[...this.#retryAtMs.values()].map((at) => at - now));
    const wall = this.#deps.clock.now().getTime();
    for (const { spiffeId, withdrawn, held } of this.#deps.cache.all()) {
      if (!withdrawn || held === undefined || this.#retryAtMs.has(spiffeId) || this.#busy.has(spiffeId)) continue;
      next = Math.min(next, held.notAfter.getTime() + 1 - wall);
    }
    return Math.max(next, 0);
  }

  async #work(id: SpiffeId): Promise<void> {
    const slot = this.#deps.cache.get(id);
    if (slot?.held === undefined) return;
    const ended = hasEnded(slot.held, this.#deps.clock.now());
    if (slot.withdrawn && ended) {
      await this.#attempt(id, () => this.#takeAway(id));
      return;
    }
    const keeping = this.#keptAs.get(id) !== keptMark(slot);
    const trust = this.#deps.trust();
    const shows = slot.disk.shown?.serialHex === slot.held.serialHex && this.#shownTrust.get(id) === trust;
    // What has ended is not handed out anew; where it is shown already, the trust beside it stays fresh.
    const writing = slot.directory !== undefined && !shows && !(ended && slot.disk.shown === undefined);
    if (!keeping && !writing) return;
    const { held } = slot;
    await this.#attempt(id, async () => {
      const kept = keeping ? await this.#keep(slot, held) : undefined;
      if (writing) await this.#show(id, held, trust);
      if (kept !== undefined) throw kept;
    });
  }

  /** Keeps an identity; the failure is returned, since its directory may still be writable. */
  async #keep(slot: IdentitySlot, held: HeldIdentity): Promise<DirectoryError | undefined> {
    try {
      await this.#deps.kept.keep({ held, entry: slot.entry, withdrawn: slot.withdrawn });
      this.#keptAs.set(slot.spiffeId, keptMark(slot));
      return undefined;
    } catch (error) {
      return directoryError(error, "cannot write the data directory");
    }
  }

  async #show(id: SpiffeId, held: HeldIdentity, trust: TrustFiles): Promise<void> {
    const rotated = this.#deps.cache.get(id)?.disk.shown?.serialHex !== held.serialHex;
    if (rotated) this.#disk(id, (disk) => (disk.state === "none" ? { ...disk, state: "waiting" } : disk));
    await this.#deps.write(id, identitySet(held, trust));
    this.#shownTrust.set(id, trust);
    const action = this.#deps.reloadOf(id);
    const request = `${++this.#reloadCount} ${id}`;
    if (action !== undefined) this.#reloads.set(id, request);
    this.#disk(id, (disk) => ({
      state: "on_disk",
      shown: {
        serialHex: held.serialHex,
        entryRevision: held.entryRevision,
        bundle: trust.bundle.sequence,
        denied: trust.denyList.sequence,
      },
      reloadPending: action !== undefined,
      lastError: "",
      failures: disk.state === "write_failed" ? disk.failures : 0,
      retryAt: undefined,
    }));
    if (action !== undefined) this.#deps.reload(request, action);
    if (rotated) {
      const { serialHex, notAfter, authority } = held;
      this.#deps.logger.info({ spiffeId: id, serialHex, notAfter, authority }, "identity on disk");
    }
  }

  async #takeAway(id: SpiffeId): Promise<void> {
    await this.#deps.clear(id);
    try {
      await this.#deps.kept.forget(id);
    } catch (error) {
      throw directoryError(error, "cannot write the data directory");
    }
    for (const map of [this.#keptAs, this.#shownTrust, this.#reloads, this.#retryAtMs]) map.delete(id);
    this.#deps.cache.remove(id);
    this.#deps.logger.info({ spiffeId: id }, "identity withdrawn and ended: its files are gone");
  }

  async #attempt(id: SpiffeId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#retryAtMs.delete(id);
      this.#disk(id, (disk) =>
        disk.failures === 0 && disk.retryAt === undefined && disk.state !== "write_failed"
          ? disk
          : {
              ...disk,
              failures: 0,
              retryAt: undefined,
              ...(disk.state === "write_failed"
                ? { state: disk.shown === undefined ? "none" : "on_disk", lastError: "" }
                : {}),
            },
      );
    } catch (error) {
      const failure = error instanceof DirectoryError ? error : directoryError(error, "cannot write");
      const { clock, random, retry } = this.#deps;
      const failures = (this.#deps.cache.get(id)?.disk.failures ?? 0) + 1;
      const delayMs = retryDelayMs(failures, 0, random.fraction(), retry);
      this.#retryAtMs.set(id, clock.monotonicMs() + delayMs);
      const retryAt = new Date(clock.now().getTime() + delayMs);
      this.#deps.failed(failure.reason);
      this.#disk(id, (disk) => ({ ...disk, state: "write_failed", lastError: failure.message, failures, retryAt }));
      this.#deps.logger.warn({ spiffeId: id, reason: failure.message, failures, retryAt }, "identity not written");
    }
  }

  /** Changes of the disk state come from here, so they need no look of ours. */
  #disk(id: SpiffeId, change: (disk: DiskState) => DiskState): void {
    const known = this.#dirty.has(id);
    this.#deps.cache.change(id, (slot) => {
      const disk = change(slot.disk);
      return disk === slot.disk ? slot : { ...slot, disk };
    });
    if (!known) this.#dirty.delete(id);
  }
}

/** What of a slot is kept: when this differs, it is kept anew. */
function keptMark(slot: IdentitySlot): string {
  return `${slot.held?.serialHex} ${slot.entry?.entryId} ${slot.entry?.revision} ${slot.withdrawn}`;
}
