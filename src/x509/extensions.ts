// Extensions (RFC 5280 4.2, 5.2): the list, and the value of each one that we know.

import {
  constructedTag,
  DerReader,
  type DerValue,
  primitiveTag,
  readBitString,
  readBoolean,
  readDer,
  readOctetString,
  readOid,
  readSmallInteger,
  readUnsignedInteger,
  TAG,
} from "./der.ts";
import { bitString, boolean, explicit, implicit, integer, octetString, oid, sequence } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import { type GeneralName, generalNames, readGeneralNames, uriName } from "./general-name.ts";
import { OID } from "./oid.ts";

/** Extensions of one structure at most. */
const MAX_EXTENSIONS = 32;

/** One extension; `value` is what its OCTET STRING holds. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** Bits of KeyUsage by their number. RFC 5280 4.2.1.3. */
const KEY_USAGES = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
] as const;

export type KeyUsageName = (typeof KEY_USAGES)[number];
export type KeyUsage = ReadonlySet<KeyUsageName>;

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength?: number;
}

/** Key identifier of the issuer, and whether issuer name and serial are given with it. */
export interface AuthorityKeyIdentifier {
  readonly keyId?: Uint8Array;
}

/**
 * Reads Extensions: 1 to 32, each kind once, `critical` only written when TRUE. Throws "bad_extension", and "bad_der"
 * for a wrong structure. RFC 5280 4.1.2.9.
 */
export function readExtensions(list: DerValue): readonly Extension[] {
  if (list.tag !== TAG.sequence) throw new X509Error("bad_extension", "list of extensions is not a SEQUENCE");
  const reader = new DerReader(list);
  const extensions: Extension[] = [];
  while (!reader.atEnd) {
    if (extensions.length === MAX_EXTENSIONS) {
      throw new X509Error("bad_extension", `more than ${MAX_EXTENSIONS} extensions`);
    }
    const extension = readExtension(reader.next(TAG.sequence, "extension"));
    for (const other of extensions) {
      if (other.oid === extension.oid) throw new X509Error("bad_extension", `extension ${extension.oid} twice`);
    }
    extensions.push(extension);
  }
  if (extensions.length === 0) throw new X509Error("bad_extension", "list of extensions is empty");
  return extensions;
}

function readExtension(value: DerValue): Extension {
  const reader = new DerReader(value);
  const type = readOid(reader.next(TAG.oid, "type of an extension"));
  const critical = reader.optional(TAG.boolean);
  if (critical !== undefined && !readBoolean(critical)) {
    throw new X509Error("bad_extension", `extension ${type} writes critical FALSE, which is the default`);
  }
  const octets = reader.next(TAG.octetString, `value of extension ${type}`);
  reader.end(`extension ${type}`);
  return { oid: type, critical: critical !== undefined, value: readOctetString(octets) };
}

/** Reads a KeyUsage: at least one bit, no bits beyond the nine, no superfluous zero bits. Throws "bad_extension". */
export function readKeyUsage(value: Uint8Array): KeyUsage {
  const der = readDer(value, "keyUsage");
  if (der.tag !== TAG.bitString) throw new X509Error("bad_extension", "keyUsage is not a BIT STRING");
  const { unused, bytes } = readBitString(der);
  const count = bytes.length * 8 - unused;
  if (count === 0) throw new X509Error("bad_extension", "keyUsage has no bit");
  if (count > KEY_USAGES.length) throw new X509Error("bad_extension", `keyUsage has ${count} bits, at most 9`);
  if ((((bytes[bytes.length - 1] ?? 0) >> unused) & 1) === 0) {
    throw new X509Error("bad_extension", "keyUsage ends in zero bits");
  }
  const usages = new Set<KeyUsageName>();
  for (const [bit, name] of KEY_USAGES.entries()) {
    if ((((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1) usages.add(name);
  }
  return usages;
}

/** Reads an ExtendedKeyUsage: 1 to 32 purposes, dotted. Throws "bad_extension". RFC 5280 4.2.1.12. */
export function readExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const reader = new DerReader(sequenceOf(value, "extendedKeyUsage"));
  const purposes: string[] = [];
  while (!reader.atEnd) {
    if (purposes.length === 32) throw new X509Error("bad_extension", "extendedKeyUsage has more than 32 purposes");
    purposes.push(readOid(reader.next(TAG.oid, "purpose in extendedKeyUsage")));
  }
  if (purposes.length === 0) throw new X509Error("bad_extension", "extendedKeyUsage is empty");
  return purposes;
}

/** Reads BasicConstraints. Throws "bad_extension", also for a path length without cA. RFC 5280 4.2.1.9. */
export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const reader = new DerReader(sequenceOf(value, "basicConstraints"));
  const flag = reader.optional(TAG.boolean);
  const length = reader.optional(TAG.integer);
  reader.end("basicConstraints");
  if (flag !== undefined && !readBoolean(flag)) {
    throw new X509Error("bad_extension", "basicConstraints writes cA FALSE, which is the default");
  }
  if (length === undefined) return { ca: flag !== undefined };
  if (flag === undefined) throw new X509Error("bad_extension", "basicConstraints has a path length without cA");
  return { ca: true, pathLength: readSmallInteger(length) };
}

/** Reads a SubjectKeyIdentifier of 1 to 64 octets. Throws "bad_extension". RFC 5280 4.2.1.2. */
export function readSubjectKeyIdentifier(value: Uint8Array): Uint8Array {
  const der = readDer(value, "subjectKeyIdentifier");
  if (der.tag !== TAG.octetString) throw new X509Error("bad_extension", "subjectKeyIdentifier is not an OCTET STRING");
  return checkedKeyId(readOctetString(der), "subjectKeyIdentifier");
}

/** Reads an AuthorityKeyIdentifier; issuer and serial come together or not at all. Throws "bad_extension". RFC 5280 4.2.1.1. */
export function readAuthorityKeyIdentifier(value: Uint8Array): AuthorityKeyIdentifier {
  const reader = new DerReader(sequenceOf(value, "authorityKeyIdentifier"));
  const keyId = reader.optional(primitiveTag(0));
  const issuer = reader.optional(constructedTag(1));
  const serial = reader.optional(primitiveTag(2));
  reader.end("authorityKeyIdentifier");
  if (issuer !== undefined) readGeneralNames(issuer);
  if (serial !== undefined) readUnsignedInteger(serial);
  if ((issuer === undefined) !== (serial === undefined)) {
    throw new X509Error("bad_extension", "authorityKeyIdentifier has issuer or serial without the other");
  }
  return keyId === undefined ? {} : { keyId: checkedKeyId(keyId.content, "authorityKeyIdentifier") };
}

function checkedKeyId(octets: Uint8Array, what: string): Uint8Array {
  if (octets.length === 0 || octets.length > 64) {
    throw new X509Error("bad_extension", `${what} has ${octets.length} octets, must be 1 to 64`);
  }
  return octets;
}

/** Reads a SubjectAltName. Throws "bad_name" or "bad_extension". RFC 5280 4.2.1.6. */
export function readSubjectAltName(value: Uint8Array): readonly GeneralName[] {
  return readGeneralNames(sequenceOf(value, "subjectAltName"));
}

/** Reads a CRLNumber. Throws "bad_extension". RFC 5280 5.2.3. */
export function readCrlNumber(value: Uint8Array): bigint {
  const der = readDer(value, "cRLNumber");
  if (der.tag !== TAG.integer) throw new X509Error("bad_extension", "cRLNumber is not an INTEGER");
  if (der.content.length > 20)
    throw new X509Error("bad_extension", `cRLNumber has ${der.content.length} octets, at most 20`);
  return readUnsignedInteger(der);
}

function sequenceOf(value: Uint8Array, what: string): DerValue {
  const der = readDer(value, what);
  if (der.tag !== TAG.sequence) throw new X509Error("bad_extension", `${what} is not a SEQUENCE`);
  return der;
}

// ---- writing: whole Extension values ----

/** DER of one Extension around an encoded value. */
export function extension(type: string, critical: boolean, value: Uint8Array): Uint8Array {
  return critical ? sequence(oid(type), boolean(true), octetString(value)) : sequence(oid(type), octetString(value));
}

/** KeyUsage, critical. TypeError when no usage is given. */
export function keyUsageExtension(usages: readonly KeyUsageName[]): Uint8Array {
  const bits = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const highest = Math.max(...bits);
  if (highest < 0) throw new TypeError("keyUsage without a usage");
  const octets = new Uint8Array((highest >> 3) + 1);
  for (const bit of bits) octets[bit >> 3] = (octets[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  return extension(OID.keyUsage, true, bitString(octets, 7 - (highest & 7)));
}

/** ExtendedKeyUsage of dotted purposes, not critical. */
export function extendedKeyUsageExtension(purposes: readonly string[]): Uint8Array {
  return extension(OID.extendedKeyUsage, false, sequence(...purposes.map(oid)));
}

/** BasicConstraints, critical. */
export function basicConstraintsExtension(constraints: BasicConstraints): Uint8Array {
  const length = constraints.pathLength === undefined ? [] : [integer(constraints.pathLength)];
  return extension(OID.basicConstraints, true, sequence(...(constraints.ca ? [boolean(true), ...length] : [])));
}

/** SubjectKeyIdentifier, not critical. */
export function subjectKeyIdentifierExtension(keyId: Uint8Array): Uint8Array {
  return extension(OID.subjectKeyIdentifier, false, octetString(keyId));
}

/** AuthorityKeyIdentifier with the key identifier alone, not critical. */
export function authorityKeyIdentifierExtension(keyId: Uint8Array): Uint8Array {
  return extension(OID.authorityKeyIdentifier, false, sequence(implicit(0, octetString(keyId))));
}

/** SubjectAltName of encoded names; critical when the subject is empty. RFC 5280 4.2.1.6. */
export function subjectAltNameExtension(names: readonly Uint8Array[], critical: boolean): Uint8Array {
  return extension(OID.subjectAltName, critical, generalNames(names));
}

/** CRLNumber, not critical. RFC 5280 5.2.3. */
export function crlNumberExtension(number: bigint): Uint8Array {
  return extension(OID.crlNumber, false, integer(number));
}

/** CRLDistributionPoints with one address, not critical. RFC 5280 4.2.1.13. */
export function crlDistributionPointsExtension(url: string): Uint8Array {
  const point = sequence(explicit(0, implicit(0, generalNames([uriName(url)]))));
  return extension(OID.crlDistributionPoints, false, sequence(point));
}

/** AuthorityInfoAccess, not critical. TypeError without an address. RFC 5280 4.2.2.1. */
export function authorityInfoAccessExtension(urls: {
  readonly ocsp?: string;
  readonly caIssuers?: string;
}): Uint8Array {
  const methods: Uint8Array[] = [];
  if (urls.ocsp !== undefined) methods.push(sequence(oid(OID.ocsp), uriName(urls.ocsp)));
  if (urls.caIssuers !== undefined) methods.push(sequence(oid(OID.caIssuers), uriName(urls.caIssuers)));
  if (methods.length === 0) throw new TypeError("authorityInfoAccess without an address");
  return extension(OID.authorityInfoAccess, false, sequence(...methods));
}
