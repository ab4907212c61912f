import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

/** The newest certificate of a device's line. Unix milliseconds. */
export interface DeviceCertificate {
  readonly serialHex: string;
  readonly authority: string;
  readonly authorityKeyId: string;
  readonly notAfter: number;
  /** SHA-256 of its SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string;
}

/** A device that was registered. Times are Unix milliseconds. */
export interface DeviceRecord {
  /** spiffe://T/device/CLASS/SERIAL. */
  readonly deviceId: string;
  readonly deviceClass: string;
  /** What the factory calls it by. */
  readonly serialNumber: string;
  /** SHA-256 of its factory certificate (DER), hex: given when it was registered, else of the first one that joined. */
  readonly fingerprint?: string;
  readonly addedAt: number;
  readonly addedBy: string;
  readonly joined?: {
    /** The last time, and where from, host:port. */
    readonly at: number;
    readonly from: string;
    /** How often, by its factory certificate. */
    readonly times: number;
  };
  readonly newest?: DeviceCertificate;
}

export const devices: Collection<DeviceRecord> = {
  name: "devices",
  key: (record) => idKey(record.deviceId),
  indexes: {
    class: (record) => [[record.deviceClass, record.serialNumber]],
    ends: (record) => (record.newest === undefined ? [] : [[record.newest.notAfter]]),
  },
  version: 1,
  ...jsonCodec<DeviceRecord>(),
};

/** Which device a factory certificate is of: the key is the certificate, so it can never be that of two. */
export interface FactoryCertificateRecord {
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string;
  readonly deviceId: string;
}

export const factoryCertificates: Collection<FactoryCertificateRecord> = {
  name: "factory-certificates",
  key: (record) => record.fingerprint,
  indexes: {},
  version: 1,
  ...jsonCodec<FactoryCertificateRecord>(),
};
