import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** The one record of the trust domain: its sequences, which only grow, and the numbers of names. */
export interface TrustRecord {
  readonly trustDomain: string;
  readonly createdAt: number;
  readonly bundleSequence: bigint;
  readonly deniedSequence: bigint;
  readonly nextRoot: number;
  readonly nextIntermediate: number;
}

export const trustKey = "trust";

export const trust: Collection<TrustRecord> = {
  name: "trust",
  key: () => trustKey,
  indexes: {},
  version: 1,
  ...jsonCodec<TrustRecord>(),
};

/** A number that grows, such as that of the next entry. */
export interface CounterRecord {
  readonly counter: string;
  readonly next: number;
}

export const counters: Collection<CounterRecord> = {
  name: "counters",
  key: (record) => record.counter,
  indexes: {},
  version: 1,
  ...jsonCodec<CounterRecord>(),
};
