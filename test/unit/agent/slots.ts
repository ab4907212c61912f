import { emptyDisk, type IdentitySlot, newSlot } from "../../../agent/identities/cache.ts";
import type { AgentEntry, HeldIdentity } from "../../../agent/identities/held-identity.ts";
import { dualTime, renewAt } from "../../../src/sdk/renew-at.ts";
import { parseSpiffeId, type SpiffeId } from "../../../src/spiffe/id.ts";

export const start: Date = new Date("2026-11-24T12:00:00Z");

export function idOf(path: string): SpiffeId {
  return parseSpiffeId(`spiffe://prod.example${path}`);
}

export function entryOf(path: string, fields: Partial<AgentEntry> = {}): AgentEntry {
  return {
    entryId: "e-1",
    spiffeId: idOf(path),
    selectors: [],
    dnsNames: [],
    ipAddresses: [],
    ttlSeconds: 3600,
    hint: "",
    revision: 1n,
    ...fields,
  };
}

/** An identity obtained at `start` for an hour, due in the middle. */
export function heldOf(path: string, fields: Partial<HeldIdentity> = {}): HeldIdentity {
  const ttlSeconds = fields.ttlSeconds ?? 3600;
  return {
    spiffeId: idOf(path),
    chainDer: [new Uint8Array([1])],
    keyDer: new Uint8Array([2]),
    serialHex: "40aa",
    notBefore: new Date(start.getTime() - 60_000),
    notAfter: new Date(start.getTime() + ttlSeconds * 1000),
    ttlSeconds,
    obtainedAt: start,
    renewAt: renewAt(start, ttlSeconds, 0),
    jitter: 0,
    authority: "int-1",
    limitedByAuthority: false,
    entryId: "e-1",
    entryRevision: 1n,
    ...fields,
  };
}

/** A slot with entry and identity, on disk with bundle 1 and deny list 1. */
export function slotOf(path: string, fields: Partial<IdentitySlot> = {}): IdentitySlot {
  const held = fields.held ?? heldOf(path);
  return {
    ...newSlot(idOf(path), `/run/signet${path}`),
    entry: entryOf(path),
    held,
    due: dualTime(held.renewAt, { at: start, monotonicMs: 1000 }),
    disk: {
      ...emptyDisk,
      state: "on_disk",
      shown: { serialHex: held.serialHex, entryRevision: 1n, bundle: 1n, denied: 1n },
    },
    ...fields,
  };
}
