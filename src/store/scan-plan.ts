// What a scan asks for, checked and turned into a range of index entries; shared by the adapters.

import type { Declaration } from "./group.ts";
import { boundsAfter, decodePosition, type EntryBounds, entryBounds, isEmpty, KEY_INDEX } from "./index-key.ts";
import { type ScanOptions, type ScanRange, StoreError } from "./store.ts";

export interface Scan {
  readonly index: string;
  readonly bounds: EntryBounds;
  readonly limit: number;
  readonly reverse: boolean;
}

/** Checks what is asked. Throws "wrong_use" for an unknown index, a bad limit, range or position. */
export function planScan(collection: Declaration, index: string, range: ScanRange, options: ScanOptions): Scan {
  const { limit = Number.POSITIVE_INFINITY, reverse = false, after } = options;
  if (index !== KEY_INDEX && !Object.hasOwn(collection.indexes, index)) {
    throw new StoreError("wrong_use", `${collection.name} has no index ${JSON.stringify(index)}`);
  }
  if (!(limit >= 0) || (Number.isFinite(limit) && !Number.isInteger(limit))) {
    throw new StoreError("wrong_use", `limit must be a whole number, got ${limit}`);
  }
  const bounds = entryBounds(index, range);
  const rest = after === undefined ? bounds : boundsAfter(bounds, decodePosition(after), reverse);
  return { index, bounds: rest, limit: isEmpty(rest) ? 0 : limit, reverse };
}
