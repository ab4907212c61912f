// Certificates (RFC 5280 4): read once, by position, to the last octet, into values that never change.
import {
  DerReader,
  type DerValue,
  readBitString,
  readDer,
  readInteger,
  readSmallInteger,
  readTime,
  sameOctets,
  TAG,
} from "./der.ts";
import { type CanonicalName, canonicalName } from "./distinguished-name.ts";
import { X509Error } from "./errors.ts";
import {
  type BasicConstraints,
  type Extension,
  type KeyUsage,
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readExtendedKeyUsage,
  readExtensions,
  readKeyUsage,
  readSubjectAltName,
  readSubjectKeyIdentifier,
} from "./extensions.ts";
import type { GeneralName } from "./general-name.ts";
import { nameText, readName } from "./name.ts";
import { type NameConstraints, parseNameConstraints } from "./name-constraints.ts";
import { OID } from "./oid.ts";
import { decodePem } from "./pem.ts";
import { serialHex } from "./serial.ts";
import { parseSpki, type SubjectPublicKey } from "./spki.ts";

/** The longest certificate that is read. */
export const MAX_CERTIFICATE_BYTES: number = 64 * 1024;
/** Certificates of one PEM text at most. */
const MAX_PEM_BLOCKS = 200;
/** RFC 5280 4.1.2.2. */
const MAX_SERIAL_OCTETS = 20;

/** A certificate whose structure, key and known extensions are in order. That it is valid, only a path can say. */
export interface Certificate {
  /** The whole certificate, DER. */
  readonly raw: Uint8Array;
  /** The signed part, DER. */
  readonly tbs: Uint8Array;
  /** Lower-case hex, two digits an octet, without a sign octet. */
  readonly serialHex: string;
  readonly issuerDer: Uint8Array;
  readonly subjectDer: Uint8Array;
  /** Names for people, such as `O=prod.example, CN=root-1`; a subject may be empty. Never an identity. */
  readonly issuerText: string;
  readonly subjectText: string;
  /** The same names in the form in which equal names are equal. */
  readonly issuerName: CanonicalName;
  readonly subjectName: CanonicalName;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: SubjectPublicKey;
  /** The subject alternative names, in their order; empty without the extension. */
  readonly names: readonly GeneralName[];
  readonly sanCritical: boolean;
  readonly basicConstraints?: BasicConstraints | undefined;
  readonly keyUsage?: KeyUsage | undefined;
  /** Dotted purposes; undefined: no restriction. */
  readonly extendedKeyUsage?: readonly string[] | undefined;
  /** Lower-case hex. */
  readonly subjectKeyId?: string | undefined;
  /** Lower-case hex. */
  readonly authorityKeyId?: string | undefined;
  readonly nameConstraints?: NameConstraints | undefined;
  /** Critical extensions that nothing here acts upon: whoever relies on the certificate must refuse it. */
  readonly criticalUnknown: readonly string[];
  readonly signatureAlgorithmDer: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Reads one certificate of version 3, strictly: DER to the last octet, inner and outer algorithm equal, a positive
 * minimal serial of at most 20 octets, an issuer, times as RFC 5280 writes them, a key that keeps the key rules, each
 * extension once. The signature is not checked, and no rule that depends on a use. Throws X509Error with any of its
 * codes but "bad_pem", "bad_csr" and "bad_crl"; "bad_key" when only the kind of key is not taken. RFC 5280 4.1, 4.2.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) {
    throw new X509Error("too_large", `a certificate has at most ${MAX_CERTIFICATE_BYTES} bytes, got ${der.length}`);
  }
  // A copy: what was read must not change when the buffer it came in is used again.
  const outer = openSequence(readDer(Uint8Array.from(der), "certificate"), "certificate");
  const tbs = outer.next(TAG.sequence, "signed part");
  const algorithm = outer.next(TAG.sequence, "signature algorithm");
  const signature = readBitString(outer.next(TAG.bitString, "signature"));
  outer.end("certificate");
  if (signature.unused !== 0) throw new X509Error("bad_signature", "signature has unused bits");

  const inner = new DerReader(tbs);
  readVersion(inner.optional(0xa0));
  const serial = readSerial(inner.next(TAG.integer, "serial"));
  if (!sameOctets(inner.next(TAG.sequence, "algorithm").raw, algorithm.raw)) {
    throw bad("signature algorithms inside and outside of the signed part differ");
  }
  const issuer = inner.next(TAG.sequence, "issuer");
  const validity = new DerReader(inner.next(TAG.sequence, "validity"));
  const notBefore = readTime(validity.any("notBefore"));
  const notAfter = readTime(validity.any("notAfter"));
  validity.end("validity");
  const subject = inner.next(TAG.sequence, "subject");
  const spki = inner.next(TAG.sequence, "public key");
  // Unique identifiers ([1], [2]) are not written by anybody (RFC 5280 4.1.2.8) and refuse here as left over.
  const extensions = inner.optional(0xa3);
  inner.end("signed part");

  if (issuer.content.length === 0) throw bad("issuer is empty");
  const known = readKnown(extensions === undefined ? [] : extensionList(extensions));
  const issuerText = nameText(readName(issuer));
  const subjectText = nameText(readName(subject));
  return {
    raw: tbs.source,
    tbs: tbs.raw,
    serialHex: serial,
    issuerDer: issuer.raw,
    subjectDer: subject.raw,
    issuerText,
    subjectText,
    issuerName: canonicalName(issuer),
    subjectName: canonicalName(subject),
    notBefore,
    notAfter,
    ...known,
    // Last, so that "bad_key" says that all the rest is in order.
    publicKey: parseSpki(spki),
    signatureAlgorithmDer: algorithm.raw,
    signature: signature.bytes,
  };
}

/**
 * The certificates of a PEM text, in their order; private keys in it are passed over and never decoded further. Throws
 * X509Error, also when there is no certificate in it.
 */
export function certificatesFromPem(text: string): readonly Certificate[] {
  return certificateDersFromPem(text).map(parseCertificate);
}

/** The same as certificatesFromPem(), as DER that was not looked at. */
export function certificateDersFromPem(text: string): readonly Uint8Array[] {
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    throw new X509Error("bad_pem", "there is no certificate in the text");
  const keys = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];
  const blocks = decodePem(text, { labels: ["CERTIFICATE", ...keys], max: MAX_PEM_BLOCKS });
  return blocks.filter((block) => block.label === "CERTIFICATE").map((block) => block.der);
}

function readVersion(version: DerValue | undefined): void {
  if (version === undefined) throw bad("version is 1, must be 3");
  const reader = new DerReader(version);
  const number = readSmallInteger(reader.next(TAG.integer, "version"));
  reader.end("version");
  if (number !== 2) throw bad(`version is ${number + 1}, must be 3`);
}

function readSerial(value: DerValue): string {
  const octets = readInteger(value);
  const first = octets[0] ?? 0;
  if (first >= 0x80) throw bad("serial is negative");
  if (octets.length === 1 && first === 0) throw bad("serial is 0, must be positive");
  if (octets.length > MAX_SERIAL_OCTETS) {
    throw bad(`serial has ${octets.length} octets, at most ${MAX_SERIAL_OCTETS}`);
  }
  return unsignedHex(octets);
}

/** A positive INTEGER's content as hex without its sign octet, as openssl and everybody write serials. */
export function unsignedHex(octets: Uint8Array): string {
  return serialHex(octets[0] === 0 && octets.length > 1 ? octets.subarray(1) : octets);
}

function extensionList(explicitly: DerValue): readonly Extension[] {
  const reader = new DerReader(explicitly);
  const list = reader.next(TAG.sequence, "extensions");
  reader.end("extensions");
  return readExtensions(list);
}

type KnownExtensions = Pick<
  Certificate,
  | "names"
  | "sanCritical"
  | "basicConstraints"
  | "keyUsage"
  | "extendedKeyUsage"
  | "subjectKeyId"
  | "authorityKeyId"
  | "nameConstraints"
  | "criticalUnknown"
>;

function readKnown(extensions: readonly Extension[]): KnownExtensions {
  const valueOf = (type: string): Uint8Array | undefined =>
    extensions.find((extension) => extension.oid === type)?.value;
  const read = <T>(type: string, reader: (value: Uint8Array) => T): T | undefined => {
    const value = valueOf(type);
    return value === undefined ? undefined : reader(value);
  };
  const authorityKey = read(OID.authorityKeyIdentifier, readAuthorityKeyIdentifier)?.keyId;
  const subjectKey = read(OID.subjectKeyIdentifier, readSubjectKeyIdentifier);
  return {
    names: read(OID.subjectAltName, readSubjectAltName) ?? [],
    sanCritical: extensions.some((extension) => extension.oid === OID.subjectAltName && extension.critical),
    basicConstraints: read(OID.basicConstraints, readBasicConstraints),
    keyUsage: read(OID.keyUsage, readKeyUsage),
    extendedKeyUsage: read(OID.extendedKeyUsage, readExtendedKeyUsage),
    subjectKeyId: subjectKey === undefined ? undefined : serialHex(subjectKey),
    authorityKeyId: authorityKey === undefined ? undefined : serialHex(authorityKey),
    nameConstraints: read(OID.nameConstraints, parseNameConstraints),
    criticalUnknown: extensions
      .filter((extension) => extension.critical && !UNDERSTOOD.has(extension.oid))
      .map((extension) => extension.oid),
  };
}

/**
 * What path validation acts upon. Policies are among them: any policy is fine for us, and a CA that demands one says so
 * in policyConstraints, which is critical and refuses.
 */
const UNDERSTOOD: ReadonlySet<string> = new Set<string>([
  OID.keyUsage,
  OID.extendedKeyUsage,
  OID.basicConstraints,
  OID.subjectAltName,
  OID.subjectKeyIdentifier,
  OID.authorityKeyIdentifier,
  OID.nameConstraints,
  OID.certificatePolicies,
]);

function openSequence(value: DerValue, what: string): DerReader {
  if (value.tag !== TAG.sequence) throw bad(`${what} is not a SEQUENCE`);
  return new DerReader(value);
}

function bad(what: string): X509Error {
  return new X509Error("bad_certificate", what);
}
