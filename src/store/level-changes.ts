// The net effect of a commit group as puts and deletions of the engine.

import type { Change } from "./group.ts";
import type { EngineBatch } from "./level-engine.ts";
import { entryKey, recordKey } from "./level-layout.ts";
import { seal } from "./record.ts";

const NOTHING = new Uint8Array(0);

/** Puts records and their index entries into a batch; returns about how many octets that is. */
export function putChanges(batch: EngineBatch, changes: ReadonlyMap<string, Change>): number {
  let octets = 0;
  for (const [slot, { collection, before, after }] of changes) {
    const key = recordKey(slot);
    const entries = after?.entries ?? [];
    if (after === undefined) batch.del(key);
    else {
      const value = seal(key, after);
      batch.put(key, value);
      octets += value.length;
    }
    octets += key.length;
    for (const entry of before) {
      if (!entries.includes(entry)) batch.del(entryKey(collection.name, entry));
    }
    for (const entry of entries) {
      if (before.includes(entry)) continue;
      const indexKey = entryKey(collection.name, entry);
      batch.put(indexKey, NOTHING);
      octets += indexKey.length;
    }
  }
  return octets;
}
