// The envelope of a stored value. LevelDB checks no read, so each value carries its own checksum, over the key as well:
// a value that turns up under another key is damage too.
//
// octets 0..3 CRC-32 of key and all that follows · 4 format of the envelope · 5..6 version of the value ·
// 7..12 revision · 13.. value; numbers big-endian.

import { crc32 } from "node:zlib";
import { type Collection, type Stored, StoreError } from "./store.ts";

const ENVELOPE_FORMAT = 1;
const HEADER_OCTETS = 13;
const TWO_POW_32 = 2 ** 32;

export interface Sealed {
  readonly version: number;
  readonly revision: number;
  readonly value: Uint8Array;
}

/** The octets to store for a value under `key`. Version below 2^16, revision below 2^48. */
export function seal(key: string, sealed: Sealed): Uint8Array {
  const { version, revision, value } = sealed;
  // From Node's pool: the octets live until the engine has taken them, and small allocations of their own are dear.
  const octets = Buffer.allocUnsafe(HEADER_OCTETS + value.length);
  octets[4] = ENVELOPE_FORMAT;
  octets[5] = version >>> 8;
  octets[6] = version;
  const high = Math.floor(revision / TWO_POW_32);
  octets[7] = high >>> 8;
  octets[8] = high;
  writeUint32(octets, 9, revision % TWO_POW_32);
  octets.set(value, HEADER_OCTETS);
  writeUint32(octets, 0, checksum(key, octets));
  return octets;
}

/** Opens what `seal` made for the same key; undefined when it is damaged. `value` is a view, not a copy. */
export function unseal(key: string, octets: Uint8Array): Sealed | undefined {
  if (octets.length < HEADER_OCTETS || readUint32(octets, 0) !== checksum(key, octets)) return undefined;
  if (octets[4] !== ENVELOPE_FORMAT) return undefined;
  return {
    version: ((octets[5] ?? 0) << 8) | (octets[6] ?? 0),
    revision: (((octets[7] ?? 0) << 8) | (octets[8] ?? 0)) * TWO_POW_32 + readUint32(octets, 9),
    value: new Uint8Array(octets.buffer, octets.byteOffset + HEADER_OCTETS, octets.length - HEADER_OCTETS),
  };
}

/** The value of a record; throws "damaged" when the collection cannot decode it. */
export function decodeStored<T>(collection: Collection<T>, key: string, sealed: Sealed): Stored<T> {
  try {
    return { value: collection.decode(sealed.value, sealed.version), revision: sealed.revision };
  } catch (cause) {
    throw damaged(collection.name, key, `version ${sealed.version} cannot be decoded`, cause);
  }
}

/** The error for a record that cannot be trusted; its message names collection and key. */
export function damaged(collection: string, key: string, what: string, cause?: unknown): StoreError {
  const options = cause === undefined ? undefined : { cause };
  return new StoreError("damaged", `record ${JSON.stringify(key)} of ${collection}: ${what}`, options);
}

function checksum(key: string, octets: Uint8Array): number {
  return crc32(octets.subarray(4), crc32(key));
}

function writeUint32(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 24;
  octets[at + 1] = value >>> 16;
  octets[at + 2] = value >>> 8;
  octets[at + 3] = value;
}

function readUint32(octets: Uint8Array, at: number): number {
  return (
    (octets[at] ?? 0) * 0x1000000 +
    (((octets[at + 1] ?? 0) << 16) | ((octets[at + 2] ?? 0) << 8) | (octets[at + 3] ?? 0))
  );
}
