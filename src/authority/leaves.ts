// Which leaves live under an authority. Both read an index, never all certificates.
import { certificates } from "../store/collections/certificates.ts";
import type { Store } from "../store/store.ts";

/** When the last leaf under an authority ends; undefined when it signed none that is still kept. */
export async function lastLeafEnds(store: Pick<Store, "scan">, authority: string): Promise<Date | undefined> {
  for await (const { value } of store.scan(certificates, "authority", { prefix: [authority] }, { reverse: true, limit: 1 })) {
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
