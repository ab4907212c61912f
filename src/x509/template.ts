// The certificates that we make, as TBS octets. CA certificates are built part by part; leaves are filled into a
// template whose constant parts are encoded once per authority, profile and kind of key, since there are many of them.
import { hash } from "node:crypto";

import type { Certificate } from "./certificate.ts";
import { primitiveTag, TAG } from "./der.ts";
import { bitString, boolean, concat, explicit, integer, oid, sequence, time } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import {
  authorityInfoAccessExtension,
  authorityKeyIdentifierExtension,
  basicConstraintsExtension,
  crlDistributionPointsExtension,
  extendedKeyUsageExtension,
  keyUsageExtension,
  subjectAltNameExtension,
  subjectKeyIdentifierExtension,
} from "./extensions.ts";
import { uriName } from "./general-name.ts";
import { ipOctets } from "./ip-address.ts";
import { type NameAttribute, writeName } from "./name.ts";
import { timeBytes, whole, write, writeHeader, writeText, writeTime } from "./octet-writer.ts";
import { OID } from "./oid.ts";
import { signatureAlgorithmDer } from "./signature.ts";
import { keyIdentifier, type PublicKeyType, parseSpki } from "./spki.ts";
import { type SpkiLayout, spkiLayouts } from "./spki-layout.ts";
import { wholeSeconds } from "./validity.ts";

/** Addresses that go into certificates below a CA; none unless the operator has set a public URL. */
export interface PublicUrls {
  readonly crlUrl?: string | undefined;
  /** The certificate of the issuer (caIssuers). */
  readonly aiaUrl?: string | undefined;
  readonly ocspUrl?: string | undefined;
}

export interface CaFields {
  /** 16 octets, the first 0x40 to 0x7f. */
  readonly serial: Uint8Array;
  readonly trustDomain: string;
  /** Name of the authority, such as `int-2`; 64 octets at most. */
  readonly name: string;
  readonly spkiDer: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * TBS of a self-signed root, to be signed with `signatureAlgorithmDer` of its own key. Throws X509Error "bad_key" or
 * "bad_certificate". RFC 5280 4.1, X509-SVID 3.2, 4.
 */
export function rootTbs(fields: CaFields): Uint8Array {
  const key = parseSpki(fields.spkiDer);
  const subject = authorityName(fields);
  return caTbs(fields, {
    algorithm: signatureAlgorithmDer(key.type),
    issuer: subject,
    extensions: [basicConstraintsExtension({ ca: true })],
  });
}

/**
 * TBS of an intermediate (path length 0 unless said otherwise), to be signed with `signatureAlgorithmDer` of the key of
 * its issuer. Throws X509Error "bad_key" or "bad_certificate".
 */
export function intermediateTbs(
  fields: CaFields & PublicUrls & { readonly issuer: Certificate; readonly pathLength?: number | undefined },
): Uint8Array {
  const { issuer } = fields;
  return caTbs(fields, {
    algorithm: signatureAlgorithmDer(issuer.publicKey.type),
    issuer: issuer.subjectDer,
    extensions: [
      basicConstraintsExtension({ ca: true, pathLength: fields.pathLength ?? 0 }),
      issuerKeyIdExtension(issuer),
      ...urlExtensions(fields),
    ],
  });
}

/** What the signed TBS and its signature make: a certificate or a CRL. RFC 5280 4.1, 5.1. */
export function assemble(tbs: Uint8Array, signatureAlgorithm: Uint8Array, signature: Uint8Array): Uint8Array {
  return sequence(tbs, signatureAlgorithm, bitString(signature));
}

/** DER of the subject of an authority: names no two keys have in common, since the key identifier is part of it. */
export function authorityName(fields: Pick<CaFields, "trustDomain" | "name" | "spkiDer">): Uint8Array {
  if (fields.name.length === 0 || fields.name.length > maxAttributeBytes) {
    throw bad(`the name of an authority has 1 to ${maxAttributeBytes} characters, got ${fields.name.length}`);
  }
  const keyId = Buffer.from(keyIdentifier(parseSpki(fields.spkiDer))).toString("hex");
  const attributes: NameAttribute[] = [
    { oid: OID.commonName, value: fields.name },
    { oid: OID.serialNumber, value: keyId },
  ];
  // A trust domain may be longer than an organization name; the URI among the names always has it whole.
  if (fields.trustDomain.length <= maxAttributeBytes) {
    attributes.unshift({ oid: OID.organizationName, value: fields.trustDomain });
  }
  return writeName(attributes);
}

/** The upper bound of RFC 5280 appendix A for organization and common names. */
const maxAttributeBytes = 64;

function caTbs(
  fields: CaFields,
  made: { readonly algorithm: Uint8Array; readonly issuer: Uint8Array; readonly extensions: readonly Uint8Array[] },
): Uint8Array {
  checkSerial(fields.serial);
  const key = parseSpki(fields.spkiDer);
  return sequence(
    explicit(0, integer(2)),
    integer(fields.serial),
    made.algorithm,
    made.issuer,
    validity(fields.notBefore, fields.notAfter),
    authorityName(fields),
    fields.spkiDer,
    explicit(
      3,
      sequence(
        keyUsageExtension(["keyCertSign", "cRLSign"]),
        subjectKeyIdentifierExtension(keyIdentifier(key)),
        ...made.extensions,
        subjectAltNameExtension([uriName(`spiffe://${fields.trustDomain}`)], false),
      ),
    ),
  );
}

export type LeafUsage = "server" | "client" | "both";

export interface LeafTemplateFields extends PublicUrls {
  readonly issuer: Certificate;
  readonly extendedKeyUsage: LeafUsage;
  readonly publicKeyType: PublicKeyType;
}

/** The constant parts of all leaves of one authority, profile and kind of key. Immutable. */
export interface LeafTemplate extends LeafTemplateFields, SpkiLayout {
  /** AlgorithmIdentifier that the issuer must sign with. */
  readonly signatureAlgorithmDer: Uint8Array;
  /** Signature algorithm and issuer. */
  readonly head: Uint8Array;
  /** Extensions up to the octets of the subject key identifier, and those behind it up to the names. */
  readonly beforeKeyId: Uint8Array;
  readonly afterKeyId: Uint8Array;
}

export interface LeafFields {
  /** 16 octets, the first 0x40 to 0x7f. */
  readonly serial: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly spkiDer: Uint8Array;
  readonly uri: string;
  readonly dnsNames: readonly string[];
  /** Canonical text, such as `10.0.0.1` or `fe80::1`. */
  readonly ipAddresses: readonly string[];
}

/**
 * Encodes once what all leaves have in common: empty subject, critical names, no CA, digitalSignature (keyEncipherment
 * beside it only for the RSA key of a server), the extended key usage, key identifiers. X509-SVID 4, RFC 5280 4.2, RFC
 * 8813 3.
 */
export function leafTemplate(fields: LeafTemplateFields): LeafTemplate {
  const { issuer, publicKeyType } = fields;
  const algorithm = signatureAlgorithmDer(issuer.publicKey.type);
  // RSA key transport is a server's affair, and TLS 1.2's; RFC 5280 4.2.1.12 has it inconsistent with clientAuth alone.
  const transport = publicKeyType.startsWith("rsa-") && fields.extendedKeyUsage !== "client";
  const usages = { server: [OID.serverAuth], client: [OID.clientAuth], both: [OID.serverAuth, OID.clientAuth] };
  const keyIdHead = subjectKeyIdentifierExtension(new Uint8Array(keyIdBytes));
  return {
    ...fields,
    ...spkiLayouts[publicKeyType],
    signatureAlgorithmDer: algorithm,
    head: concat(algorithm, issuer.subjectDer),
    beforeKeyId: concat(
      keyUsageExtension(transport ? ["digitalSignature", "keyEncipherment"] : ["digitalSignature"]),
      extendedKeyUsageExtension(usages[fields.extendedKeyUsage]),
      basicConstraintsExtension({ ca: false }),
      keyIdHead.subarray(0, keyIdHead.length - keyIdBytes),
    ),
    afterKeyId: concat(issuerKeyIdExtension(issuer), ...urlExtensions(fields)),
  };
}

/**
 * TBS of a leaf. Throws X509Error "bad_certificate" when a value breaks an invariant: serial, a key of another kind,
 * times outside of the issuer's, a name that cannot be encoded. The names are written as they are: they were decided before.
 */
export function fillLeaf(template: LeafTemplate, fields: LeafFields): Uint8Array {
  checkSerial(fields.serial);
  checkKey(template, fields.spkiDer);
  const begin = wholeSeconds(fields.notBefore);
  const end = wholeSeconds(fields.notAfter);
  const { issuer, head, beforeKeyId, afterKeyId } = template;
  if (!(begin <= end)) throw bad("the certificate would end before it begins");
  if (begin < issuer.notBefore || end > issuer.notAfter) {
    throw bad("the times of the leaf are outside of those of its issuer");
  }
  const addresses = fields.ipAddresses.map(ipOctets);

  // Sizes from the inside out, then one buffer that is written from the first octet to the last.
  const names = namesBytes(fields, addresses);
  const san = sanHead.length + whole(whole(names)); // type, critical, OCTET STRING of a SEQUENCE
  const extensions = beforeKeyId.length + keyIdBytes + afterKeyId.length + whole(san);
  const times = timeBytes(begin) + timeBytes(end);
  const fixed = versionAndSerial.length + serialBytes + head.length + emptySubject.length + template.spkiBytes;
  const size = fixed + whole(times) + whole(whole(extensions));
  const tbs = new Uint8Array(whole(size));
  let at = writeHeader(tbs, 0, TAG.sequence, size);
  at = write(tbs, at, versionAndSerial);
  at = write(tbs, at, fields.serial);
  at = write(tbs, at, head);
  at = writeHeader(tbs, at, TAG.sequence, times);
  at = writeTime(tbs, at, begin);
  at = writeTime(tbs, at, end);
  at = write(tbs, at, emptySubject);
  at = write(tbs, at, fields.spkiDer);
  at = writeHeader(tbs, at, 0xa3, whole(extensions));
  at = writeHeader(tbs, at, TAG.sequence, extensions);
  at = write(tbs, at, beforeKeyId);
  at = writeKeyId(tbs, at, fields.spkiDer.subarray(template.spkiBytes - template.keyBitsBytes));
  at = write(tbs, at, afterKeyId);
  at = writeHeader(tbs, at, TAG.sequence, san);
  at = write(tbs, at, sanHead);
  at = writeHeader(tbs, at, TAG.octetString, whole(names));
  at = writeHeader(tbs, at, TAG.sequence, names);
  at = writeText(tbs, at, uriTag, fields.uri);
  for (const dnsName of fields.dnsNames) at = writeText(tbs, at, dnsTag, dnsName);
  for (const address of addresses) at = write(tbs, writeHeader(tbs, at, ipTag, address.length), address);
  if (at !== tbs.length) throw bad("the size of the leaf was computed wrongly");
  return tbs;
}

const keyIdBytes = 20;
const serialBytes = 16;
const emptySubject: Uint8Array = sequence();
/** Version 3, then tag and length of a serial of 16 octets. */
const versionAndSerial: Uint8Array = concat(explicit(0, integer(2)), Uint8Array.of(TAG.integer, serialBytes));
const uriTag: number = primitiveTag(6);
const dnsTag: number = primitiveTag(2);
const ipTag: number = primitiveTag(7);
const sanHead: Uint8Array = concat(oid(OID.subjectAltName), boolean(true));

function checkKey(template: LeafTemplate, spkiDer: Uint8Array): void {
  const { spkiHead } = template;
  let fits = spkiDer.length === template.spkiBytes;
  for (let i = 0; fits && i < spkiHead.length; i++) fits = spkiDer[i] === spkiHead[i];
  if (!fits) throw bad(`the key of the leaf is not of the kind of its template, ${template.publicKeyType}`);
}

function checkSerial(serial: Uint8Array): void {
  const first = serial[0] ?? 0;
  if (serial.length !== serialBytes || first < 0x40 || first > 0x7f) {
    throw bad(`serial must be ${serialBytes} bytes and begin with 40 to 7f, got ${serial.length}`);
  }
}

function validity(notBefore: Date, notAfter: Date): Uint8Array {
  const begin = wholeSeconds(notBefore);
  const end = wholeSeconds(notAfter);
  if (!(begin <= end)) throw bad("the certificate would end before it begins");
  return sequence(time(begin), time(end));
}

/** The identifier that the issuer's own certificate says, so that the two always match. RFC 5280 4.2.1.1. */
export function issuerKeyIdExtension(issuer: Certificate): Uint8Array {
  const id =
    issuer.subjectKeyId === undefined ? keyIdentifier(issuer.publicKey) : Buffer.from(issuer.subjectKeyId, "hex");
  return authorityKeyIdentifierExtension(id);
}

function urlExtensions(urls: PublicUrls): readonly Uint8Array[] {
  const { ocspUrl, aiaUrl, crlUrl } = urls;
  const access = { ...(ocspUrl && { ocsp: ocspUrl }), ...(aiaUrl && { caIssuers: aiaUrl }) };
  return [
    ...(ocspUrl || aiaUrl ? [authorityInfoAccessExtension(access)] : []),
    ...(crlUrl ? [crlDistributionPointsExtension(crlUrl)] : []),
  ];
}

function namesBytes(fields: LeafFields, addresses: readonly Uint8Array[]): number {
  let bytes = whole(fields.uri.length);
  for (const dnsName of fields.dnsNames) bytes += whole(dnsName.length);
  for (const address of addresses) bytes += whole(address.length);
  return bytes;
}

/** The same as keyIdentifier(), from octets; the digest as text because a Buffer costs four times as much. */
function writeKeyId(into: Uint8Array, at: number, keyBits: Uint8Array): number {
  const digest = hash("sha256", keyBits, "latin1");
  for (let i = 0; i < keyIdBytes; i++) into[at + i] = digest.charCodeAt(i);
  return at + keyIdBytes;
}

function bad(what: string): X509Error {
  return new X509Error("bad_certificate", what);
}
