// A collection for tests of stores: every kind of index, and a value that shows when it was mixed up.

import { jsonCodec } from "../../src/store/json-codec.ts";
import type { Collection, ScanItem, ScanOptions, ScanRange, Store } from "../../src/store/store.ts";

export interface Thing {
  readonly id: string;
  readonly size: number;
  readonly owner: string;
  readonly tags: readonly string[];
  readonly note?: string;
}

export const things: Collection<Thing> = {
  name: "things",
  key: (thing) => thing.id,
  indexes: {
    size: (thing) => [[thing.size]],
    owner: (thing) => [[thing.owner, thing.size]],
    tag: (thing) => thing.tags.map((tag) => [tag]),
    none: () => [],
  },
  version: 1,
  ...jsonCodec<Thing>(),
};

/** A second one, whose keys must not meet those of the first. */
export const others: Collection<Thing> = { ...things, name: "others" };

export function thing(id: string, changes: Partial<Thing> = {}): Thing {
  return { id, size: 1, owner: "ada", tags: [], ...changes };
}

export async function itemsOf<T>(items: AsyncIterable<ScanItem<T>>): Promise<readonly ScanItem<T>[]> {
  const all: ScanItem<T>[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The ids that a scan of an index of `things` gives, in its order. */
export async function idsOf(
  store: Store,
  index: string,
  range: ScanRange = {},
  options: ScanOptions = {},
): Promise<readonly string[]> {
  return (await itemsOf(store.scan(things, index, range, options))).map(({ value }) => value.id);
}
