// GeneralNames (RFC 5280 4.2.1.6): strict reading and writing.

import { constructedTag, DerReader, type DerValue, primitiveTag, readOid, TAG } from "./der.ts";
import { ascii, encode, explicit, sequence } from "./der-writer.ts";
import { X509Error } from "./errors.ts";
import { ipOctets, ipText } from "./ip-address.ts";
import { nameText, readName } from "./name.ts";

/** Names of one SAN at most. */
const MAX_NAMES = 100;

export type GeneralNameKind = "uri" | "dns" | "ip" | "email" | "directory" | "other";

/**
 * One name. `value` is the text as it stands for uri, dns and email (printable ASCII without blanks), canonical text
 * for ip, `O=.., CN=..` for directory, and what it is for other kinds. Nothing is folded or decoded.
 */
export interface GeneralName {
  readonly kind: GeneralNameKind;
  readonly value: string;
  readonly der: Uint8Array;
}

const EMAIL: number = primitiveTag(1);
const DNS: number = primitiveTag(2);
const URI: number = primitiveTag(6);
const IP: number = primitiveTag(7);

/**
 * Reads a SEQUENCE of 1 to 100 GeneralNames, also under an IMPLICIT tag. Throws "bad_name" for unknown tags, empty
 * names, characters that no name has (blanks, line breaks, NUL, octets above 7e) and IP addresses of a wrong size.
 */
export function readGeneralNames(value: DerValue): readonly GeneralName[] {
  const names: GeneralName[] = [];
  const reader = new DerReader(value);
  while (!reader.atEnd) {
    if (names.length === MAX_NAMES) throw new X509Error("bad_name", `more than ${MAX_NAMES} names`);
    names.push(readGeneralName(reader.any("name")));
  }
  if (names.length === 0) throw new X509Error("bad_name", "list of names is empty");
  return names;
}

/** Reads one GeneralName. Throws as `readGeneralNames` does. */
export function readGeneralName(value: DerValue): GeneralName {
  switch (value.tag) {
    case URI:
      return { kind: "uri", value: nameCharacters(value, "URI"), der: value.raw };
    case DNS:
      return { kind: "dns", value: nameCharacters(value, "DNS name"), der: value.raw };
    case EMAIL:
      return { kind: "email", value: nameCharacters(value, "e-mail name"), der: value.raw };
    case IP:
      return { kind: "ip", value: ipText(value.content), der: value.raw };
    case constructedTag(4): {
      const reader = new DerReader(value);
      const name = reader.next(TAG.sequence, "directory name");
      reader.end("directory name");
      return { kind: "directory", value: nameText(readName(name)), der: value.raw };
    }
    case constructedTag(0): {
      const reader = new DerReader(value);
      const type = readOid(reader.next(TAG.oid, "type of an otherName"));
      const content = new DerReader(reader.next(constructedTag(0), "value of an otherName"));
      content.any("value of an otherName");
      content.end("value of an otherName");
      reader.end("otherName");
      return { kind: "other", value: `otherName ${type}`, der: value.raw };
    }
    case constructedTag(3):
      return { kind: "other", value: "x400Address", der: value.raw };
    case constructedTag(5):
      return { kind: "other", value: "ediPartyName", der: value.raw };
    case primitiveTag(8):
      return { kind: "other", value: `registeredID ${readOid(value)}`, der: value.raw };
    default:
      throw new X509Error("bad_name", `name has the unknown tag 0x${value.tag.toString(16).padStart(2, "0")}`);
  }
}

function nameCharacters(value: DerValue, what: string): string {
  const { source, contentStart, end } = value;
  if (contentStart === end) throw new X509Error("bad_name", `${what} is empty`);
  let text = "";
  for (let at = contentStart; at < end; at++) {
    const octet = source[at] ?? 0;
    if (octet <= 0x20 || octet >= 0x7f) {
      throw new X509Error("bad_name", `${what} has the octet 0x${octet.toString(16).padStart(2, "0")}`);
    }
    text += String.fromCharCode(octet);
  }
  return text;
}

/** DER of a uniformResourceIdentifier. Throws "bad_name" for text that could not be read back. */
export function uriName(text: string): Uint8Array {
  return encode(URI, checkedAscii(text, "URI"));
}

/** DER of a dNSName. Throws "bad_name" for text that could not be read back. */
export function dnsName(text: string): Uint8Array {
  return encode(DNS, checkedAscii(text, "DNS name"));
}

/** DER of an iPAddress from any text form. Throws "bad_name". */
export function ipName(text: string): Uint8Array {
  return encode(IP, ipOctets(text));
}

/** DER of a directoryName from the DER of a Name. */
export function directoryName(nameDer: Uint8Array): Uint8Array {
  return explicit(4, nameDer);
}

/** DER of GeneralNames from names that are encoded already. */
export function generalNames(names: readonly Uint8Array[]): Uint8Array {
  return sequence(...names);
}

function checkedAscii(text: string, what: string): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(text)) {
    throw new X509Error("bad_name", `${what} is empty or has characters other than printable ASCII`);
  }
  return ascii(text);
}
