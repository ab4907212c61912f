// Distinguished names as values to compare. RFC 5280 7.1 compares without case and without superfluous blanks, and the
// same text may be written as PrintableString or UTF8String, so octets alone are no judge of an excluded name.
import { children, type DerValue } from "./der.ts";

/** One relative distinguished name in a form that is equal for equal names. */
export type CanonicalRdn = string;

/** A name to compare: its parts, outermost first. */
export type CanonicalName = readonly CanonicalRdn[];

/** The name to compare for the encoding of a Name. Throws X509Error "bad_der". */
export function canonicalName(name: DerValue): CanonicalName {
  return children(name).map(canonicalRdn);
}

/** Whether two names are the same one. RFC 5280 7.1. */
export function equalNames(a: CanonicalName, b: CanonicalName): boolean {
  return a.length === b.length && isBelow(a, b);
}

/** Whether a name is another or lies below it. */
export function isBelow(name: CanonicalName, base: CanonicalName): boolean {
  return name.length >= base.length && base.every((rdn, i) => rdn === name[i]);
}

function canonicalRdn(rdn: DerValue): CanonicalRdn {
  return children(rdn).map(canonicalAttribute).sort().join("+");
}

function canonicalAttribute(attribute: DerValue): string {
  const [type, value] = children(attribute);
  if (type === undefined || value === undefined) return `#${hex(attribute.raw)}`;
  const text = textOf(value);
  return `${hex(type.content)}=${text === undefined ? `#${hex(value.raw)}` : JSON.stringify(text)}`;
}

/** The text of a string type, folded; undefined for what is no string. */
function textOf(value: DerValue): string | undefined {
  const folded = (text: string): string => text.normalize("NFKC").toLowerCase().trim().replace(/\s+/g, " ");
  switch (value.tag) {
    case 0x0c: // UTF8String
      return folded(Buffer.from(value.content).toString("utf8"));
    case 0x12: // NumericString
    case 0x13: // PrintableString
    case 0x14: // TeletexString, read as Latin-1 as everybody does
    case 0x16: // IA5String
    case 0x1a: // VisibleString
      return folded(Buffer.from(value.content).toString("latin1"));
    case 0x1e: // BMPString
      return value.content.length % 2 === 0
        ? folded(Buffer.from(value.content).swap16().toString("utf16le"))
        : undefined;
    default:
      return undefined;
  }
}

function hex(octets: Uint8Array): string {
  return Buffer.from(octets).toString("hex");
}
