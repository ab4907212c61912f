// `signet doctor --store`: opens a stopped server's store as the server would, and reads everything in it.
import { systemClock } from "../platform/clock.ts";
import { openDataDir } from "../platform/data-dir.ts";
import { auditEvents } from "../store/collections/audit-events.ts";
import { authorities } from "../store/collections/authorities.ts";
import { certificates } from "../store/collections/certificates.ts";
import { clocks } from "../store/collections/clock.ts";
import { crls } from "../store/collections/crls.ts";
import { deviceClasses } from "../store/collections/device-classes.ts";
import { devices, factoryCertificates } from "../store/collections/devices.ts";
import { entries } from "../store/collections/entries.ts";
import { nodeReports } from "../store/collections/node-reports.ts";
import { nodes } from "../store/collections/nodes.ts";
import { openRevocations } from "../store/collections/open-revocations.ts";
import { revocations } from "../store/collections/revocations.ts";
import { tokens } from "../store/collections/tokens.ts";
import { counters, trust } from "../store/collections/trust.ts";
import type { Collection, Store } from "../store/store.ts";
import { serverDataVersion } from "./init.ts";
import { loadConfiguration } from "./load-configuration.ts";
import { openStore } from "./opening.ts";

export interface StoreCheck {
  /** The data directory. */
  readonly dir: string;
  /** Records of each collection, all of them read and checked. */
  readonly counts: { readonly [collection: string]: number };
  /** The mark was written anew for the store as it is. */
  readonly accepted: boolean;
}

/**
 * Reads every record by its key. With `accept` the store is taken as it is, whatever its mark says. Throws StoreError and
 * StoreUnusable with collection, key and what is wrong; "locked" while a server has it open.
 */
export async function checkStore(
  places: Parameters<typeof loadConfiguration>[0],
  { accept }: { readonly accept: boolean },
): Promise<StoreCheck> {
  const { config } = await loadConfiguration(places);
  const dataDir = await openDataDir(config.dataDir, { kind: "server", version: serverDataVersion });
  const store = await openStore(dataDir, {
    clock: systemClock,
    mark: config.store.mark,
    acceptMark: accept,
    onEvent: () => {},
  });
  try {
    const counts: { [collection: string]: number } = {};
    for (const read of readers) {
      const { name, count } = await read(store);
      counts[name] = count;
    }
    return { dir: dataDir.path, counts, accepted: accept };
  } finally {
    await store.close();
  }
}

function reader<T>(
  collection: Collection<T>,
): (store: Store) => Promise<{ readonly name: string; readonly count: number }> {
  return async (store) => {
    let count = 0;
    for await (const _ of store.scan(collection, "key")) count += 1;
    return { name: collection.name, count };
  };
}

const readers = [
  reader(auditEvents),
  reader(authorities),
  reader(certificates),
  reader(clocks),
  reader(counters),
  reader(crls),
  reader(deviceClasses),
  reader(devices),
  reader(entries),
  reader(factoryCertificates),
  reader(nodeReports),
  reader(nodes),
  reader(openRevocations),
  reader(revocations),
  reader(tokens),
  reader(trust),
];
