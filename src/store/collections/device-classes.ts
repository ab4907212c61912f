import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** A kind of device: whose factory certificates prove one, and what its certificates are. Unix milliseconds. */
export interface DeviceClassRecord {
  readonly name: string;
  readonly ttlSeconds: number;
  /** So long after its certificate ended a device comes back by the key of it; 0: never. */
  readonly graceSeconds: number;
  /** Its certificates serve as TLS servers too. */
  readonly serverAuth: boolean;
  /** DER of the CAs whose certificates prove a device of this class: trust anchors, roots or not. */
  readonly factoryCasDer: readonly Uint8Array[];
  readonly createdAt: number;
  readonly createdBy: string;
}

export const deviceClasses: Collection<DeviceClassRecord> = {
  name: "device-classes",
  key: (record) => record.name,
  indexes: { ttl: (record) => [[record.ttlSeconds]], grace: (record) => [[record.graceSeconds]] },
  version: 1,
  ...jsonCodec<DeviceClassRecord>(),
};
