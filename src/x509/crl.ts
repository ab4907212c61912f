// Certificate revocation lists (RFC 5280 5), version 2: built for proxies, read to judge.
import { type Certificate, unsignedHex } from "./certificate.ts";
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
import { concat, encode, explicit, integer, octetString, oid, sequence, time } from "./der-writer.ts";
import { type CanonicalName, canonicalName, equalNames } from "./distinguished-name.ts";
import { X509Error } from "./errors.ts";
import { crlNumberExtension, readAuthorityKeyIdentifier, readCrlNumber, readExtensions } from "./extensions.ts";
import { OID } from "./oid.ts";
import { serialHex as hexOf } from "./serial.ts";
import { signatureAlgorithmDer, verifySignature } from "./signature.ts";
import { issuerKeyIdExtension } from "./template.ts";
import { wholeSeconds } from "./validity.ts";

/** Why a certificate was revoked; `unspecified` is written by leaving the reason out. RFC 5280 5.3.1. */
export type RevocationReason = keyof typeof reasonCodes;

const reasonCodes = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export interface RevokedCertificate {
  /** Lower-case hex, as Certificate.serialHex. */
  readonly serialHex: string;
  readonly at: Date;
  readonly reason?: RevocationReason | undefined;
}

export interface CrlFields {
  readonly issuer: Certificate;
  /** Grows with every CRL of the issuer; at most 20 octets. */
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly RevokedCertificate[];
}

export interface Crl {
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  readonly issuerDer: Uint8Array;
  /** Folded for comparing. RFC 5280 7.1. */
  readonly issuerName: CanonicalName;
  readonly number?: bigint | undefined;
  /** Lower-case hex. */
  readonly authorityKeyId?: string | undefined;
  readonly thisUpdate: Date;
  readonly nextUpdate?: Date | undefined;
  readonly revoked: readonly RevokedCertificate[];
  /** Critical extensions, of the list or an entry, that are not understood: such a list proves nothing. */
  readonly criticalUnknown: readonly string[];
  readonly signatureAlgorithmDer: Uint8Array;
  readonly signature: Uint8Array;
}

/** The longest CRL that is read: about half a million entries. */
const maxCrlBytes = 16 * 1024 * 1024;
const maxNumber = 2n ** 159n;

/** TBS of a CRL, to be signed by the algorithm of the issuer's kind of key. Throws X509Error "bad_crl". RFC 5280 5.1. */
export function crlTbs(fields: CrlFields): Uint8Array {
  if (fields.number < 0n || fields.number >= maxNumber) throw bad("the number of a CRL has at most 20 octets");
  const thisUpdate = wholeSeconds(fields.thisUpdate);
  const nextUpdate = wholeSeconds(fields.nextUpdate);
  if (!(thisUpdate < nextUpdate)) throw bad("the CRL would end before it begins");
  return sequence(
    integer(1),
    signatureAlgorithmDer(fields.issuer.publicKey.type),
    fields.issuer.subjectDer,
    time(thisUpdate),
    time(nextUpdate),
    // An empty list must be absent, not empty (RFC 5280 5.1.2.6).
    ...(fields.revoked.length === 0 ? [] : [encode(TAG.sequence, concat(...fields.revoked.map(entryDer)))]),
    explicit(0, sequence(issuerKeyIdExtension(fields.issuer), crlNumberExtension(fields.number))),
  );
}

/** Reads a CRL of version 2. Throws X509Error: "too_large", "bad_der", "bad_extension" or "bad_crl". RFC 5280 5. */
export function parseCrl(der: Uint8Array): Crl {
  if (der.length > maxCrlBytes) throw new X509Error("too_large", `a CRL has at most ${maxCrlBytes} bytes`);
  const outer = open(readDer(der, "CRL"), "CRL");
  const tbs = outer.next(TAG.sequence, "signed part");
  const algorithm = outer.next(TAG.sequence, "signature algorithm");
  const signature = readBitString(outer.next(TAG.bitString, "signature"));
  outer.end("CRL");
  if (signature.unused !== 0) throw bad("the signature has unused bits");

  const inner = new DerReader(tbs);
  if (readSmallInteger(inner.next(TAG.integer, "version")) !== 1) throw bad("a CRL must be of version 2");
  if (!sameOctets(inner.next(TAG.sequence, "algorithm").raw, algorithm.raw)) {
    throw bad("the signature algorithms inside and outside of the signed part differ");
  }
  const issuer = inner.next(TAG.sequence, "issuer");
  if (issuer.content.length === 0) throw bad("the issuer is empty");
  const thisUpdate = readTime(inner.any("thisUpdate"));
  const isTime = inner.peekTag === TAG.utcTime || inner.peekTag === TAG.generalizedTime;
  const nextUpdate = isTime ? readTime(inner.any("nextUpdate")) : undefined;
  const entries = inner.optional(TAG.sequence);
  const extensions = inner.optional(0xa0);
  inner.end("signed part");

  const critical: string[] = [];
  const revoked = entries === undefined ? [] : readEntries(entries, critical);
  return {
    raw: der,
    tbs: tbs.raw,
    issuerDer: issuer.raw,
    issuerName: canonicalName(issuer),
    thisUpdate,
    nextUpdate,
    revoked,
    ...readListExtensions(extensions, critical),
    criticalUnknown: critical,
    signatureAlgorithmDer: algorithm.raw,
    signature: signature.bytes,
  };
}

/**
 * Whether this CRL was signed by this issuer, who may sign CRLs, and holds nothing critical that is not understood (a
 * delta or a partial list does). The times are for the caller to judge. RFC 5280 6.3.3 (f), (g).
 */
export function verifyCrl(crl: Crl, issuer: Certificate): boolean {
  if (crl.criticalUnknown.length > 0 || !equalNames(crl.issuerName, issuer.subjectName)) return false;
  if (issuer.basicConstraints?.ca !== true || issuer.keyUsage?.has("cRLSign") === false) return false;
  try {
    return verifySignature(issuer.publicKey, crl.signatureAlgorithmDer, crl.tbs, crl.signature);
  } catch (error) {
    if (error instanceof X509Error) return false;
    throw error;
  }
}

function entryDer(revoked: RevokedCertificate): Uint8Array {
  if (!/^(?:[0-9a-f]{2}){1,20}$/.test(revoked.serialHex)) throw bad("a serial of a CRL is not 1 to 20 bytes of hex");
  const code = reasonCodes[revoked.reason ?? "unspecified"];
  const reason = encode(TAG.enumerated, Uint8Array.of(code));
  return sequence(
    integer(Buffer.from(revoked.serialHex, "hex")),
    time(wholeSeconds(revoked.at)),
    ...(code === 0 ? [] : [sequence(sequence(oid(OID.crlReason), octetString(reason)))]),
  );
}

function readEntries(list: DerValue, critical: string[]): readonly RevokedCertificate[] {
  const reader = new DerReader(list);
  if (reader.atEnd) throw bad("an empty list of revoked certificates must be absent");
  const revoked: RevokedCertificate[] = [];
  while (!reader.atEnd) {
    const entry = open(reader.any("entry"), "entry");
    const serial = readInteger(entry.next(TAG.integer, "serial"));
    if ((serial[0] ?? 0) >= 0x80) throw bad("a serial is negative");
    const at = readTime(entry.any("time of revocation"));
    const extensions = entry.optional(TAG.sequence);
    entry.end("entry");
    let reason: RevocationReason | undefined;
    for (const extension of extensions === undefined ? [] : readExtensions(extensions)) {
      if (extension.oid === OID.crlReason) reason = readReason(extension.value);
      else if (extension.critical) critical.push(extension.oid);
    }
    revoked.push({ serialHex: unsignedHex(serial), at, reason });
  }
  return revoked;
}

function readReason(value: Uint8Array): RevocationReason {
  const code = readDer(value, "reason");
  const found = Object.entries(reasonCodes).find(([, known]) => code.content.length === 1 && code.content[0] === known);
  if (code.tag !== TAG.enumerated || found === undefined) throw bad("a reason of revocation is not one that exists");
  return found[0] as RevocationReason;
}

function readListExtensions(
  extensions: DerValue | undefined,
  critical: string[],
): Pick<Crl, "number" | "authorityKeyId"> {
  let number: bigint | undefined;
  let keyIdHex: string | undefined;
  if (extensions === undefined) return {};
  const explicitly = new DerReader(extensions);
  const list = explicitly.next(TAG.sequence, "extensions");
  explicitly.end("extensions");
  for (const { oid: type, critical: isCritical, value } of readExtensions(list)) {
    if (type === OID.crlNumber) {
      number = readCrlNumber(value);
    } else if (type === OID.authorityKeyIdentifier) {
      const { keyId } = readAuthorityKeyIdentifier(value);
      keyIdHex = keyId === undefined ? undefined : hexOf(keyId);
    } else if (isCritical) {
      critical.push(type);
    }
  }
  return { number, authorityKeyId: keyIdHex };
}

function open(value: DerValue, what: string): DerReader {
  if (value.tag !== TAG.sequence) throw bad(`the ${what} is not a SEQUENCE`);
  return new DerReader(value);
}

function bad(what: string): X509Error {
  return new X509Error("bad_crl", what);
}
