import { describe, expect, it } from "vitest";
import { readDer, TAG } from "../../../src/x509/der.ts";
import {
  encode,
  ia5String,
  nullValue,
  oid,
  printableString,
  sequence,
  set,
  utf8String,
} from "../../../src/x509/der-writer.ts";
import { checkName, emptyName, nameText, readName, writeName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { bytes, codeOf } from "./expectations.ts";

const attribute = (value: Uint8Array): Uint8Array => sequence(set(sequence(oid(OID.commonName), value)));

describe("readName() and writeName()", () => {
  it("round-trip in order, each attribute in its string type", () => {
    const attributes = [
      { oid: OID.countryName, value: "DE" },
      { oid: OID.organizationName, value: "prod.example" },
      { oid: OID.commonName, value: "Zoë" },
      { oid: OID.domainComponent, value: "example" },
    ];
    const der = writeName(attributes);
    expect(readName(readDer(der))).toEqual(attributes);
    expect(der).toEqual(
      sequence(
        set(sequence(oid(OID.countryName), printableString("DE"))),
        set(sequence(oid(OID.organizationName), utf8String("prod.example"))),
        set(sequence(oid(OID.commonName), utf8String("Zoë"))),
        set(sequence(oid(OID.domainComponent), ia5String("example"))),
      ),
    );
  });

  it("of nothing is an empty SEQUENCE", () => {
    expect(emptyName()).toEqual(bytes("3000"));
    expect(readName(readDer(emptyName()))).toEqual([]);
  });

  it("reads BMPString, TeletexString, empty text, and other types as hex", () => {
    const value = (der: Uint8Array): string | undefined => readName(readDer(attribute(der)))[0]?.value;
    expect(value(encode(TAG.bmpString, bytes("00410142")))).toBe("A\u0142");
    expect(value(encode(TAG.teletexString, bytes("e9")))).toBe("é");
    expect(value(utf8String(""))).toBe("");
    expect(value(nullValue())).toBe("#0500");
  });

  it.each([
    ["an empty relative name", sequence(set())],
    ["an attribute without a value", sequence(set(sequence(oid("2.5.4.3"))))],
    ["an attribute with two values", sequence(set(sequence(oid("2.5.4.3"), nullValue(), nullValue())))],
    ["a SEQUENCE where a SET must be", sequence(sequence(sequence(oid("2.5.4.3"), nullValue())))],
    ["a type that is no OBJECT IDENTIFIER", sequence(set(sequence(nullValue(), nullValue())))],
  ])("refuse %s, as checkName() does", (_what, der) => {
    expect(codeOf(() => readName(readDer(der)))).toBe("bad_name");
    expect(codeOf(() => checkName(readDer(der)))).toBe("bad_name");
  });

  it.each([
    ["a UTF8String that is not UTF-8", encode(TAG.utf8String, bytes("c328"))],
    ["a PrintableString with an octet above 7f", encode(TAG.printableString, bytes("e9"))],
    ["a BMPString of an odd number of octets", encode(TAG.bmpString, bytes("004100"))],
  ])("refuse %s, which checkName() does not look at", (_what, value) => {
    expect(codeOf(() => readName(readDer(attribute(value))))).toBe("bad_name");
    checkName(readDer(attribute(value)));
  });
});

describe("nameText()", () => {
  it("escapes what could be taken for something else", () => {
    const value = "a,b=c\\\n\u202e\u0000Zoë";
    expect(
      nameText([
        { oid: OID.organizationName, value },
        { oid: "1.2.3", value: "x" },
      ]),
    ).toBe("O=a\\,b\\=c\\\\\\u{a}\\u{202e}\\u{0}Zoë, 1.2.3=x");
  });
});
