// Entries as the server pushes them. Nothing that is missing from a message is a deletion: an entry goes only when it is
// named as deleted, with a higher revision than the one that is held.
import type { SpiffeId } from "../src/spiffe/id.ts";
import { calmRenewal, type IdentityCache, newSlot } from "./identities/cache.ts";
import type { AgentEntry } from "./identities/held-identity.ts";

export interface EntryChanges {
  readonly full: boolean;
  readonly entries: readonly AgentEntry[];
  readonly deleted: readonly { readonly spiffeId: SpiffeId; readonly revision: bigint }[];
  readonly revision: bigint;
}

export interface EntryBookDeps {
  readonly cache: IdentityCache;
  /** Where an identity's files go; undefined for none. */
  readonly directoryOf: (id: SpiffeId) => string | undefined;
  /** False for identities that this agent's configuration leaves out. */
  readonly wanted: (id: SpiffeId) => boolean;
}

/** Applies entry updates to the cache. */
export class EntryBook {
  readonly #deps: EntryBookDeps;
  readonly #deletedAt = new Map<SpiffeId, bigint>();
  #revision = 0n;
  #complete = false;

  constructor(deps: EntryBookDeps) {
    this.#deps = deps;
  }

  /** The highest revision that was received. */
  get revision(): bigint {
    return this.#revision;
  }

  /** True once a full read was received. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Applies an update and names the identities whose entry was deleted just now. */
  apply(changes: EntryChanges): readonly SpiffeId[] {
    for (const entry of changes.entries) this.#upsert(entry);
    const withdrawn = changes.deleted.filter((deletion) => this.#withdraw(deletion)).map(({ spiffeId }) => spiffeId);
    if (changes.revision > this.#revision) this.#revision = changes.revision;
    this.#complete ||= changes.full;
    return withdrawn;
  }

  #upsert(entry: AgentEntry): void {
    const { cache, directoryOf, wanted } = this.#deps;
    const { spiffeId, revision } = entry;
    if (!wanted(spiffeId) || revision <= (this.#deletedAt.get(spiffeId) ?? -1n)) return;
    const slot = cache.get(spiffeId) ?? newSlot(spiffeId, directoryOf(spiffeId));
    if (slot.entry !== undefined && revision <= slot.entry.revision) return;
    // A newer entry deserves a new try at once, and takes back a deletion.
    cache.put({ ...slot, entry, withdrawn: false, renewal: { ...calmRenewal, forced: slot.renewal.forced } });
  }

  #withdraw({ spiffeId, revision }: { readonly spiffeId: SpiffeId; readonly revision: bigint }): boolean {
    if (revision > (this.#deletedAt.get(spiffeId) ?? -1n)) this.#deletedAt.set(spiffeId, revision);
    const slot = this.#deps.cache.get(spiffeId);
    if (slot === undefined || slot.withdrawn) return false;
    if (revision <= (slot.entry?.revision ?? slot.held?.entryRevision ?? -1n)) return false;
    if (slot.held === undefined) this.#deps.cache.remove(spiffeId);
    else this.#deps.cache.put({ ...slot, withdrawn: true, renewal: calmRenewal });
    return true;
  }
}
