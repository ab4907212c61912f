// Distinguished names (RFC 5280 4.1.2.4): strict reading, text for people, writing.

import { DerReader, type DerValue, readOid, TAG } from "./der.ts";
import { encode, ia5String, oid, printableString, sequence, set, utf8String } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import { OID } from "./oid.ts";

/** One attribute of a name; `value` is the text of a string type, or `#` and the hex of the encoding of another type. */
export interface NameAttribute {
  readonly oid: string;
  readonly value: string;
}

/** Checks the structure of a Name to its last octet and looks at no value. Throws "bad_name". */
export function checkName(name: DerValue): void {
  eachAttribute(name, () => {});
}

/** Attributes of a Name in the order of its encoding. Throws "bad_name". */
export function readName(name: DerValue): readonly NameAttribute[] {
  const attributes: NameAttribute[] = [];
  eachAttribute(name, (type, value) => attributes.push({ oid: readOid(type), value: attributeText(value) }));
  return attributes;
}

function eachAttribute(name: DerValue, visit: (type: DerValue, value: DerValue) => void): void {
  try {
    if (name.tag !== TAG.sequence) throw new X509Error("bad_name", "name is not a SEQUENCE");
    const parts = new DerReader(name);
    while (!parts.atEnd) {
      const part = new DerReader(parts.next(TAG.set, "relative name"));
      do {
        const attribute = new DerReader(part.next(TAG.sequence, "name attribute"));
        visit(attribute.next(TAG.oid, "type of a name attribute"), attribute.any("value of a name attribute"));
        attribute.end("name attribute");
      } while (!part.atEnd);
    }
  } catch (error) {
    if (!(error instanceof X509Error) || error.code === "bad_name") throw error;
    throw new X509Error("bad_name", `name: ${error.message}`, { cause: error });
  }
}

function attributeText(value: DerValue): string {
  const octets = Buffer.from(
    value.source.buffer,
    value.source.byteOffset + value.contentStart,
    value.end - value.contentStart,
  );
  switch (value.tag) {
    case TAG.utf8String:
      try {
        return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
      } catch (cause) {
        throw new X509Error("bad_name", "UTF8String of a name is not UTF-8", { cause });
      }
    case TAG.printableString:
    case TAG.ia5String:
    case TAG.visibleString:
      if (octets.some((octet) => octet > 0x7f))
        throw new X509Error("bad_name", "string of a name has an octet above 7f");
      return octets.toString("latin1");
    case TAG.teletexString:
      return octets.toString("latin1");
    case TAG.bmpString:
      if (octets.length % 2 !== 0) throw new X509Error("bad_name", "BMPString of a name has an odd number of octets");
      return Buffer.from(octets).swap16().toString("utf16le");
    default:
      return `#${Buffer.from(value.raw).toString("hex")}`;
  }
}

const SHORT_NAMES: ReadonlyMap<string, string> = new Map<string, string>([
  [OID.commonName, "CN"],
  [OID.serialNumber, "serialNumber"],
  [OID.countryName, "C"],
  [OID.localityName, "L"],
  [OID.stateOrProvinceName, "ST"],
  [OID.streetAddress, "street"],
  [OID.organizationName, "O"],
  [OID.organizationalUnitName, "OU"],
  [OID.domainComponent, "DC"],
  [OID.userId, "UID"],
  [OID.emailAddress, "emailAddress"],
]);

/** A name for people: `O=prod.example, CN=root-1`, in the order of the encoding; other characters than letters, digits and plain ASCII are escaped. */
export function nameText(attributes: readonly NameAttribute[]): string {
  return attributes.map(({ oid: type, value }) => `${SHORT_NAMES.get(type) ?? type}=${escaped(value)}`).join(", ");
}

function escaped(value: string): string {
  let text = "";
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if (',+"\\<>;='.includes(character)) text += `\\${character}`;
    else if (code >= 0x20 && code < 0x7f) text += character;
    else if (code > 0x7f && /^[\p{L}\p{N}]$/u.test(character)) text += character;
    else text += `\\u{${code.toString(16)}}`;
  }
  return text;
}

/** DER of a Name with one attribute per relative name, in this order. TypeError for text that does not fit the type. */
export function writeName(attributes: readonly NameAttribute[]): Uint8Array {
  return sequence(...attributes.map(({ oid: type, value }) => set(sequence(oid(type), attributeDer(type, value)))));
}

function attributeDer(type: string, value: string): Uint8Array {
  switch (type) {
    case OID.countryName:
    case OID.serialNumber:
    case OID.dnQualifier:
      return printableString(value);
    case OID.domainComponent:
    case OID.emailAddress:
      return ia5String(value);
    default:
      return utf8String(value);
  }
}

/** DER of the Name without any attribute. */
export function emptyName(): Uint8Array {
  return encode(TAG.sequence);
}
