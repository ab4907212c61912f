// A PKCS#12 trust store (RFC 7292) that Java and openssl read. node-forge's own calls refuse certificates with EC keys, so
// its ASN.1 writer and its key derivation are put around the raw certificates.
import { createHmac, randomBytes } from "node:crypto";
import forge from "node-forge";

const oids = {
  data: "1.2.840.113549.1.7.1",
  certBag: "1.2.840.113549.1.12.10.1.3",
  x509Certificate: "1.2.840.113549.1.9.22.1",
  friendlyName: "1.2.840.113549.1.9.20",
  // Oracle's attribute: without it Java takes no entry of a PKCS#12 file for a trusted one.
  trustedKeyUsage: "2.16.840.1.113894.746875.1.1",
  anyExtendedKeyUsage: "2.5.29.37.0",
  sha256: "2.16.840.1.101.3.4.2.1",
} as const;
const macRounds = 10_000;
const macSaltOctets = 20;
const macKeyOctets = 32;
// RFC 7292 appendix B.3: the key of a MAC.
const macKeyId = 3;

/**
 * A PKCS#12 file with the certificates as trusted ones, each under its alias. The password protects it against change;
 * certificates hold nothing secret and are not encrypted.
 */
export function trustStore(
  certificates: readonly { readonly alias: string; readonly der: Uint8Array }[],
  password: string,
): Uint8Array {
  const bags = sequence(certificates.map(({ alias, der }) => certBag(alias, der)));
  const safe = sequence([contentInfo(derOf(bags))]);
  const safeDer = derOf(safe);
  const salt = randomBytes(macSaltOctets);
  const key = forge.pkcs12.generateKey(
    password,
    forge.util.createBuffer(binary(salt)),
    macKeyId,
    macRounds,
    macKeyOctets,
    forge.md.sha256.create(),
  );
  const mac = createHmac("sha256", Buffer.from(key.getBytes(), "latin1")).update(safeDer).digest();
  const macData = sequence([
    sequence([sequence([oid(oids.sha256), nothing()]), octetString(mac)]),
    octetString(salt),
    integer(macRounds),
  ]);
  return derOf(sequence([integer(3), contentInfo(safeDer), macData]));
}

function certBag(alias: string, der: Uint8Array): forge.asn1.Asn1 {
  const certificate = sequence([oid(oids.x509Certificate), explicit(octetString(der))]);
  const attributes = set([
    sequence([oid(oids.friendlyName), set([bmpString(alias)])]),
    sequence([oid(oids.trustedKeyUsage), set([oid(oids.anyExtendedKeyUsage)])]),
  ]);
  return sequence([oid(oids.certBag), explicit(certificate), attributes]);
}

function contentInfo(content: Uint8Array): forge.asn1.Asn1 {
  return sequence([oid(oids.data), explicit(octetString(content))]);
}

const { Class, Type } = forge.asn1;

function sequence(parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
}

function set(parts: forge.asn1.Asn1[]): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
}

function explicit(part: forge.asn1.Asn1): forge.asn1.Asn1 {
  return forge.asn1.create(Class.CONTEXT_SPECIFIC, 0, true, [part]);
}

function oid(dotted: string): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.OID, false, forge.asn1.oidToDer(dotted).getBytes());
}

function octetString(octets: Uint8Array): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.OCTETSTRING, false, binary(octets));
}

function integer(value: number): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.INTEGER, false, forge.asn1.integerToDer(value).getBytes());
}

function nothing(): forge.asn1.Asn1 {
  return forge.asn1.create(Class.UNIVERSAL, Type.NULL, false, "");
}

function bmpString(text: string): forge.asn1.Asn1 {
  // forge itself writes this type in two octets a character.
  return forge.asn1.create(Class.UNIVERSAL, Type.BMPSTRING, false, text);
}

function derOf(value: forge.asn1.Asn1): Uint8Array {
  return Uint8Array.from(Buffer.from(forge.asn1.toDer(value).getBytes(), "latin1"));
}

// forge's strings hold one octet a character.
function binary(octets: Uint8Array): string {
  return Buffer.from(octets).toString("latin1");
}
