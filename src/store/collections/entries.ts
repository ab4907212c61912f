import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

/**
 * A registration entry: which identity an agent may ask for. A deleted one stays as a memory of its deletion, so that
 * the deletion can be told with its revision. Times are Unix milliseconds.
 */
export interface EntryRecord {
  readonly entryId: string;
  readonly spiffeId: string;
  readonly agentId: string;
  readonly selectors: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlSeconds: number;
  readonly hint: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly createdBy: string;
  readonly deletedAt?: number;
}

/** One entry an agent and identity: the pair is the key, so two can never exist. */
export function entryKey(agentId: string, spiffeId: string): string {
  return idKey(`${agentId} ${spiffeId}`);
}

export const entries: Collection<EntryRecord> = {
  name: "entries",
  key: (record) => entryKey(record.agentId, record.spiffeId),
  indexes: {
    agent: (record) => [[idKey(record.agentId), record.entryId]],
    number: (record) => [[Number(record.entryId.slice("e-".length))]],
    id: (record) => [[idKey(record.spiffeId)]],
    ttl: (record) => (record.deletedAt === undefined ? [[record.ttlSeconds]] : []),
  },
  version: 1,
  ...jsonCodec<EntryRecord>(),
};
