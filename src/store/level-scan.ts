// Reading a range of an index as of one moment: a snapshot of the engine, read in bounded steps. Each value's checksum is
// checked, and that the record really has the entry that led to it: a stray entry is damage, not a result.

import { type Declaration, storedEntries } from "./group.ts";
import { type EntryBounds, encodePosition, KEY_INDEX, keyOfEntry } from "./index-key.ts";
import type { Engine, EngineSnapshot } from "./level-engine.ts";
import { entryKey, recordKey } from "./level-layout.ts";
import { damaged, decodeStored, type Sealed, unseal } from "./record.ts";
import type { Scan } from "./scan-plan.ts";
import type { Collection, ScanItem } from "./store.ts";

const STEP = 128;

/** Runs a scan; the moment is that of the first `next`. */
export async function* scanEngine<T>(
  engine: Engine,
  collection: Collection<T>,
  scan: Scan,
): AsyncGenerator<ScanItem<T>> {
  if (scan.limit === 0) return;
  const snapshot = engine.snapshot();
  try {
    yield* scan.index === KEY_INDEX
      ? byKey(engine, collection, scan, snapshot)
      : byIndex(engine, collection, scan, snapshot);
  } finally {
    await snapshot.close();
  }
}

async function* byKey<T>(
  engine: Engine,
  collection: Collection<T>,
  { bounds, limit, reverse }: Scan,
  snapshot: EngineSnapshot,
): AsyncGenerator<ScanItem<T>> {
  const start = recordKey(`${collection.name}\0`);
  const cursor = engine.entries({ ...engineRange(start, bounds), reverse, snapshot });
  try {
    let left = limit;
    while (left > 0) {
      const page = await cursor.next(Math.min(STEP, left));
      if (page.length === 0) return;
      left -= page.length;
      for (const [engineKey, octets] of page) {
        const key = engineKey.slice(start.length);
        const sealed = openRecord(collection, key, octets);
        yield { ...decodeStored(collection, key, sealed), position: encodePosition(key) };
      }
    }
  } finally {
    await cursor.close();
  }
}

async function* byIndex<T>(
  engine: Engine,
  collection: Collection<T>,
  { index, bounds, limit, reverse }: Scan,
  snapshot: EngineSnapshot,
): AsyncGenerator<ScanItem<T>> {
  const start = entryKey(collection.name, `${index}\0`);
  const cursor = engine.keys({ ...engineRange(start, bounds), reverse, snapshot });
  try {
    let left = limit;
    while (left > 0) {
      const page = await cursor.next(Math.min(STEP, left));
      if (page.length === 0) return;
      left -= page.length;
      const found = page.map((engineKey) => {
        const entry = engineKey.slice(start.length);
        const key = keyOfEntry(entry);
        if (key === undefined) throw damaged(collection.name, entry, `the entry of index ${index} is damaged`);
        return { entry, key };
      });
      const records = await engine.getMany(
        found.map(({ key }) => recordKey(`${collection.name}\0${key}`)),
        snapshot,
      );
      for (const [i, { entry, key }] of found.entries()) {
        const octets = records[i];
        if (octets === undefined) throw damaged(collection.name, key, `index ${index} has it, but it is not there`);
        const sealed = openRecord(collection, key, octets);
        if (!storedEntries(collection, key, sealed).includes(`${index}\0${entry}`)) {
          throw damaged(collection.name, key, `index ${index} has it under another value`);
        }
        yield { ...decodeStored(collection, key, sealed), position: encodePosition(entry) };
      }
    }
  } finally {
    await cursor.close();
  }
}

/** Opens a record as the engine gave it. Throws "damaged". */
export function openRecord(collection: Declaration, key: string, octets: Uint8Array): Sealed {
  const sealed = unseal(recordKey(`${collection.name}\0${key}`), octets);
  if (sealed === undefined) throw damaged(collection.name, key, "its checksum does not fit");
  return sealed;
}

// All keys of a collection or index begin with `start`, which ends in a NUL; "\x01" in its place is beyond them.
function engineRange(start: string, { gte, lt }: EntryBounds): { gte: string; lt: string } {
  return { gte: start + gte, lt: lt === undefined ? `${start.slice(0, -1)}\x01` : start + lt };
}
