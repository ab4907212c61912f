import { headerAndBytes } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** The newest CRL of an authority. Unix milliseconds. */
export interface CrlRecord {
  readonly authority: string;
  readonly number: bigint;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly der: Uint8Array;
}

export const crls: Collection<CrlRecord> = {
  name: "crls",
  key: (record) => record.authority,
  indexes: {},
  version: 1,
  ...headerAndBytes<CrlRecord, "der">("der"),
};
