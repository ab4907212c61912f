import { X509Error } from "./errors.ts";

/** Octets of the serials that we give. */
const SERIAL_OCTETS = 16;

/**
 * A serial from 16 random octets: the first is brought into 40..7f, so that the number is positive, has always 16
 * octets, and 126 of its bits are random. Throws "too_large" for another count. RFC 5280 4.1.2.2.
 */
export function serialFromRandom(random: Uint8Array): Uint8Array {
  if (random.length !== SERIAL_OCTETS) {
    throw new X509Error("too_large", `a serial is made of ${SERIAL_OCTETS} random octets, got ${random.length}`);
  }
  const serial = Uint8Array.from(random);
  serial[0] = 0x40 | ((random[0] ?? 0) & 0x3f);
  return serial;
}

/** Octets as lower-case hex, two digits each: how serials and key identifiers are written. */
export function serialHex(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("hex");
}
