// PKCS#10 certification requests (RFC 2986): parsing with proof of possession, and building our own.
import { hash } from "node:crypto";
import { constructedTag, DerReader, type DerValue, readBitString, readDer, readOid, TAG } from "./der.ts";
import { bitString, compareOctets, explicit, integer, oid, sequence, set } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import {
  type BasicConstraints,
  type Extension,
  type KeyUsage,
  readBasicConstraints,
  readExtendedKeyUsage,
  readExtensions,
  readKeyUsage,
  readSubjectAltName,
  subjectAltNameExtension,
} from "./extensions.ts";
import { dnsName, type GeneralName, ipName, uriName } from "./general-name.ts";
import { checkName, emptyName } from "./name.ts";
import { OID } from "./oid.ts";
import { decodePem } from "./pem.ts";
import { checkSignatureAlgorithm, type Signer, signatureAlgorithmDer, verifySignature } from "./signature.ts";
import { parseSpki, type SubjectPublicKey } from "./spki.ts";

/** Octets of a CSR in DER. */
const MAX_CSR_OCTETS: number = 16 * 1024;
/** Characters of a CSR in PEM, text around it included. */
const MAX_CSR_PEM_CHARACTERS: number = 64 * 1024;
const CSR_LABELS: readonly string[] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

declare const parsed: unique symbol;

/** A CSR that kept limits, structure and key rules and proved possession of its key. Only `parseCsr` makes one. */
export interface ParsedCsr {
  readonly [parsed]: true;
  readonly publicKey: SubjectPublicKey;
  readonly spkiDer: Uint8Array;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string;
  /** Subject alternative names that are asked for; none when there is no such extension. */
  readonly names: readonly GeneralName[];
  readonly keyUsage?: KeyUsage;
  /** Purposes that are asked for, dotted. */
  readonly extendedKeyUsage?: readonly string[];
  readonly basicConstraints?: BasicConstraints;
  /** Extensions that are asked for beside the four above. */
  readonly unknownExtensions: readonly { readonly oid: string; readonly critical: boolean }[];
}

type RequestedExtensions = Omit<ParsedCsr, typeof parsed | "publicKey" | "spkiDer" | "spkiSha256">;

/**
 * Parses a CSR: limits first, then structure to the last octet, key rules, signature algorithm, and last the signature
 * (proof of possession). The subject and foreign attributes are checked for structure and ignored. Throws X509Error
 * only: "too_large", "bad_der", "bad_csr", "bad_key", "bad_name", "bad_extension", "bad_signature". RFC 2986 4.
 */
export function parseCsr(der: Uint8Array): ParsedCsr {
  if (der.length > MAX_CSR_OCTETS) {
    throw new X509Error("too_large", `CSR has ${der.length} octets, at most ${MAX_CSR_OCTETS}`);
  }
  const request = readDer(der, "CSR");
  if (request.tag !== TAG.sequence) throw new X509Error("bad_csr", "CSR is not a SEQUENCE");
  const reader = new DerReader(request);
  const info = reader.next(TAG.sequence, "signed part of the CSR");
  const algorithm = reader.next(TAG.sequence, "signature algorithm of the CSR");
  const signature = reader.next(TAG.bitString, "signature of the CSR");
  reader.end("CSR");

  const parts = new DerReader(info);
  const version = parts.next(TAG.integer, "version of the CSR").content;
  if (version.length !== 1 || version[0] !== 0) throw new X509Error("bad_csr", "version of the CSR is not 0");
  checkName(parts.next(TAG.sequence, "subject of the CSR"));
  const publicKey = parseSpki(parts.next(TAG.sequence, "public key of the CSR"));
  const attributes = parts.next(constructedTag(0), "attributes of the CSR");
  parts.end("signed part of the CSR");
  const requested = readAttributes(attributes);

  const algorithmDer = algorithm.raw;
  checkSignatureAlgorithm(publicKey, algorithmDer);
  const { unused, bytes } = readBitString(signature);
  if (unused !== 0 || !verifySignature(publicKey, algorithmDer, info.raw, bytes)) {
    throw new X509Error("bad_signature", "signature of the CSR is not by its key");
  }
  const { der: spkiDer } = publicKey;
  const spkiSha256 = hash("sha256", spkiDer, "hex");
  const fields: Omit<ParsedCsr, typeof parsed> = { publicKey, spkiDer, spkiSha256, ...requested };
  return fields as ParsedCsr;
}

function readAttributes(attributes: DerValue): RequestedExtensions {
  const reader = new DerReader(attributes);
  const seen = new Set<string>();
  let before: Uint8Array | undefined;
  let requested: RequestedExtensions = { names: [], unknownExtensions: [] };
  while (!reader.atEnd) {
    const attribute = reader.next(TAG.sequence, "attribute");
    const parts = new DerReader(attribute);
    const type = readOid(parts.next(TAG.oid, "type of an attribute"));
    const values = new DerReader(parts.next(TAG.set, "values of an attribute"));
    parts.end("attribute");
    if (seen.has(type)) throw new X509Error("bad_csr", `attribute ${type} twice`);
    seen.add(type);
    const raw = attribute.raw;
    if (before !== undefined && compareOctets(before, raw) > 0) {
      throw new X509Error("bad_der", "attributes are not in the order of a SET OF");
    }
    before = raw;
    const first = values.any("value of an attribute");
    if (type !== OID.extensionRequest) continue;
    values.end("the one value of extensionRequest");
    requested = readRequested(readExtensions(first));
  }
  return requested;
}

function readRequested(extensions: readonly Extension[]): RequestedExtensions {
  let names: readonly GeneralName[] = [];
  let keyUsage: KeyUsage | undefined;
  let extendedKeyUsage: readonly string[] | undefined;
  let basicConstraints: BasicConstraints | undefined;
  const unknownExtensions: { readonly oid: string; readonly critical: boolean }[] = [];
  for (const { oid: type, critical, value } of extensions) {
    switch (type) {
      case OID.subjectAltName:
        names = readSubjectAltName(value);
        break;
      case OID.keyUsage:
        keyUsage = readKeyUsage(value);
        break;
      case OID.extendedKeyUsage:
        extendedKeyUsage = readExtendedKeyUsage(value);
        break;
      case OID.basicConstraints:
        basicConstraints = readBasicConstraints(value);
        break;
      default:
        unknownExtensions.push({ oid: type, critical });
    }
  }
  return {
    names,
    unknownExtensions,
    ...(keyUsage === undefined ? {} : { keyUsage }),
    ...(extendedKeyUsage === undefined ? {} : { extendedKeyUsage }),
    ...(basicConstraints === undefined ? {} : { basicConstraints }),
  };
}

/** DER of the one CSR in a PEM text. Throws "bad_pem" or "too_large". RFC 7468 7. */
export function csrDerFromPem(text: string): Uint8Array {
  const [block] = decodePem(text, { labels: CSR_LABELS, max: 1, maxCharacters: MAX_CSR_PEM_CHARACTERS });
  if (block === undefined) throw new X509Error("bad_pem", "no CSR in the text");
  if (block.der.length > MAX_CSR_OCTETS) {
    throw new X509Error("too_large", `CSR has ${block.der.length} octets, at most ${MAX_CSR_OCTETS}`);
  }
  return block.der;
}

/** Names that a CSR of ours asks for. */
export interface CsrNames {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

/**
 * Builds and signs a CSR in DER with an empty subject and, when any name is given, a critical SAN. Throws "bad_key" for
 * a signer's key that is not taken and "bad_name" for a name that cannot be written.
 */
export async function buildCsr(signer: Signer, names: CsrNames = {}): Promise<Uint8Array> {
  const { type } = parseSpki(signer.spkiDer);
  const sans = [
    ...(names.uris ?? []).map(uriName),
    ...(names.dnsNames ?? []).map(dnsName),
    ...(names.ipAddresses ?? []).map(ipName),
  ];
  const attributes =
    sans.length === 0 ? [] : [sequence(oid(OID.extensionRequest), set(sequence(subjectAltNameExtension(sans, true))))];
  const info = sequence(integer(0), emptyName(), signer.spkiDer, explicit(0, ...attributes));
  const signature = await signer.sign(info);
  return sequence(info, signatureAlgorithmDer(type), bitString(signature));
}
