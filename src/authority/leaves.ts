// Which leaves live under an authority. Both read an index, never all certificates.
import { findEntry } from "../registry/entries.ts";
import { liveNodes } from "../registry/nodes.ts";
import type { AuthorityRecord } from "../store/collections/authorities.ts";
import { certificateKey, certificates } from "../store/collections/certificates.ts";
import { devices } from "../store/collections/devices.ts";
import type { Store } from "../store/store.ts";

/** When the last leaf under an authority ends; undefined when it signed none that is still kept. */
export async function lastLeafEnds(store: Pick<Store, "scan">, authority: string): Promise<Date | undefined> {
  for await (const { value } of store.scan(
    certificates,
    "authority",
    { prefix: [authority] },
    { reverse: true, limit: 1 },
  )) {
    return new Date(value.notAfter);
  }
  return undefined;
}

/** How many leaves under an authority have not ended. */
export async function liveLeaves(store: Pick<Store, "scan">, authority: string, now: Date): Promise<number> {
  let count = 0;
  const range = { prefix: [authority], from: [now.getTime()] };
  for await (const _ of store.scan(certificates, "authority", range)) count++;
  return count;
}

/** Who has moved away from an authority, by the newest leaf of each agent, of each identity it reports, of each device. */
export interface Moved {
  readonly moved: number;
  readonly total: number;
  /** When the last of those that have not moved is due for renewal, as their agents say. */
  readonly movedBy: Date | undefined;
}

/** A leaf that was replaced by a newer one of the same holder does not count, nor one whose entry was deleted. */
export async function movedFrom(
  store: Pick<Store, "get" | "scan">,
  from: Pick<AuthorityRecord, "name" | "serves">,
  now: Date,
): Promise<Moved> {
  return from.serves.includes("devices") ? devicesMoved(store, from.name, now) : agentsMoved(store, from.name, now);
}

async function agentsMoved(store: Pick<Store, "get" | "scan">, from: string, now: Date): Promise<Moved> {
  let moved = 0;
  let total = 0;
  let movedBy: number | undefined;
  for (const { node, report } of await liveNodes(store, now)) {
    total++;
    if (node.authority !== from) moved++;
    for (const { spiffeId, serialHex, notAfter, renewAt } of report?.identities ?? []) {
      if (serialHex === "" || notAfter < now.getTime()) continue;
      // Nobody renews it: it ends by itself.
      if ((await findEntry(store, node.agentId, spiffeId)) === undefined) continue;
      total++;
      const isOld = (await store.get(certificates, certificateKey(serialHex, from))) !== undefined;
      if (isOld) movedBy = Math.max(movedBy ?? 0, renewAt);
      else moved++;
    }
  }
  return { moved, total, movedBy: movedBy === undefined ? undefined : new Date(movedBy) };
}

/** Devices say nothing of themselves between two renewals, so nobody knows when the last one comes. */
async function devicesMoved(store: Pick<Store, "scan">, from: string, now: Date): Promise<Moved> {
  let moved = 0;
  let total = 0;
  for await (const { value } of store.scan(devices, "ends", { from: [now.getTime()] })) {
    total++;
    if (value.newest?.authority !== from) moved++;
  }
  return { moved, total, movedBy: undefined };
}
