import type { Entry, EntryUpdate } from "../../../proto/gen/signet/v1/issuance.ts";
import type { EntryRecord } from "../../store/collections/entries.ts";
import type { Stored } from "../../store/store.ts";

/** All entries of an agent and the deletions that are remembered, as one full read. */
export function entryUpdate(held: readonly Stored<EntryRecord>[]): EntryUpdate {
  const live = held.filter(({ value }) => value.deletedAt === undefined);
  const deleted = held.filter(({ value }) => value.deletedAt !== undefined);
  return {
    full: true,
    entries: live.map(entryToWire),
    deleted: deleted.map(({ value, revision }) => ({
      entryId: value.entryId,
      spiffeId: value.spiffeId,
      revision: BigInt(revision),
    })),
    revision: BigInt(Math.max(0, ...held.map(({ revision }) => revision))),
  };
}

function entryToWire({ value, revision }: Stored<EntryRecord>): Entry {
  return {
    entryId: value.entryId,
    spiffeId: value.spiffeId,
    agentId: value.agentId,
    selectors: [...value.selectors],
    dnsNames: [...value.dnsNames],
    ipAddresses: [...value.ipAddresses],
    ttlSeconds: value.ttlSeconds,
    hint: value.hint,
    revision: BigInt(revision),
  };
}
