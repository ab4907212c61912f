// What the agent holds, in one place. Rotator, files, status, metrics, probes and sockets read this and nothing else.

import type { DualTime } from "../../src/sdk/renew-at.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { type AgentEntry, type HeldIdentity, hasEnded } from "./held-identity.ts";

/** How the last renewals went. */
export interface RenewalState {
  readonly failures: number;
  readonly lastError: string;
  /** Not tried before this moment. */
  readonly retry: DualTime | undefined;
  /** Asked for whatever renewAt says: by hand, or by the server. */
  readonly forced: boolean;
  /** The last try ended before the server was asked: nothing could have been written. */
  readonly diskBlocked: boolean;
}

/** What the identity directory shows. */
export interface DiskState {
  /** `none`: nothing was written yet, or nothing is to be written; `waiting`: the newest set is not on disk yet. */
  readonly state: "none" | "waiting" | "on_disk" | "write_failed" | "reload_failed";
  /** Serial and sequences of the set in force; undefined before the first. */
  readonly shown:
    | { readonly serialHex: string; readonly entryRevision: bigint; readonly bundle: bigint; readonly denied: bigint }
    | undefined;
  /** A reload for what is shown has not succeeded yet. */
  readonly reloadPending: boolean;
  readonly lastError: string;
  readonly failures: number;
  readonly retryAt: Date | undefined;
}

/** All about one identity. Never changed in place. */
export interface IdentitySlot {
  readonly spiffeId: SpiffeId;
  readonly entry: AgentEntry | undefined;
  /** The entry was deleted: not renewed any more, files go when the certificate ends. */
  readonly withdrawn: boolean;
  readonly held: HeldIdentity | undefined;
  /** When `held` is due. */
  readonly due: DualTime | undefined;
  readonly renewal: RenewalState;
  readonly disk: DiskState;
  /** The directory; undefined when the identity goes to no directory. */
  readonly directory: string | undefined;
}

export const calmRenewal: RenewalState = {
  failures: 0,
  lastError: "",
  retry: undefined,
  forced: false,
  diskBlocked: false,
};
export const emptyDisk: DiskState = {
  state: "none",
  shown: undefined,
  reloadPending: false,
  lastError: "",
  failures: 0,
  retryAt: undefined,
};

/** An identity that is known and not yet obtained. */
export function newSlot(spiffeId: SpiffeId, directory: string | undefined): IdentitySlot {
  return {
    spiffeId,
    entry: undefined,
    withdrawn: false,
    held: undefined,
    due: undefined,
    renewal: calmRenewal,
    disk: emptyDisk,
    directory,
  };
}

/** The one observable truth about the identities of this node. */
export class IdentityCache {
  readonly #slots = new Map<SpiffeId, IdentitySlot>();
  readonly #listeners = new Set<(id: SpiffeId) => void>();

  get(id: SpiffeId): IdentitySlot | undefined {
    return this.#slots.get(id);
  }

  all(): readonly IdentitySlot[] {
    return [...this.#slots.values()];
  }

  put(slot: IdentitySlot): void {
    this.#slots.set(slot.spiffeId, slot);
    this.#tell(slot.spiffeId);
  }

  /** Changes what is there; nothing happens when it is gone. */
  change(id: SpiffeId, change: (slot: IdentitySlot) => IdentitySlot): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    const next = change(slot);
    if (next === slot) return;
    this.#slots.set(id, next);
    this.#tell(id);
  }

  remove(id: SpiffeId): void {
    if (this.#slots.delete(id)) this.#tell(id);
  }

  /** Calls the listener after each change, until the answer is called. A listener must not throw. */
  subscribe(listener: (id: SpiffeId) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(id: SpiffeId): void {
    for (const listener of this.#listeners) listener(id);
  }
}

export type ReportedState = "on_disk" | "memory" | "write_failed" | "reload_failed" | "renew_failed";

/** The one word for an identity in reports and screens: the worst that is true. */
export function stateOf(slot: IdentitySlot): ReportedState {
  if (slot.disk.state === "write_failed" || slot.disk.state === "reload_failed") return slot.disk.state;
  if (slot.renewal.failures > 0) return slot.renewal.diskBlocked ? "write_failed" : "renew_failed";
  return slot.disk.state === "on_disk" && slot.disk.shown?.serialHex === slot.held?.serialHex ? "on_disk" : "memory";
}

/** Why an identity is not valid on disk; undefined when it is. A directory is demanded of those that have one. */
export function notReadyReason(slot: IdentitySlot, now: Date): string | undefined {
  if (slot.withdrawn) return undefined;
  if (slot.held === undefined)
    return slot.renewal.lastError === "" ? "not obtained yet" : `not obtained: ${slot.renewal.lastError}`;
  if (hasEnded(slot.held, now)) return `ended at ${slot.held.notAfter.toISOString()}`;
  if (slot.directory === undefined) return undefined;
  if (slot.disk.shown === undefined) {
    return slot.disk.lastError === "" ? "not on disk yet" : `not on disk: ${slot.disk.lastError}`;
  }
  return undefined;
}
