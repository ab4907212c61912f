import { describe, expect, it } from "vitest";
import {
  children,
  DerReader,
  readBitString,
  readBoolean,
  readDer,
  readGeneralizedTime,
  readIa5,
  readInteger,
  readOid,
  readSmallInteger,
  readTime,
  readUnsignedInteger,
  sameDer,
  TAG,
} from "../../../src/x509/der.ts";
import {
  bitString,
  boolean,
  concat,
  encode,
  explicit,
  generalizedTime,
  ia5String,
  implicit,
  integer,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  set,
  time,
  utf8String,
} from "../../../src/x509/der-writer.ts";
import { bytes, codeOf } from "./expectations.ts";

describe("readDer() checks the whole tree", () => {
  it.each([
    ["nothing", ""],
    ["a tag alone", "30"],
    ["an octet after the value", "0500 00"],
    ["an octet after an empty SEQUENCE", "3000 00"],
    ["a second value", "3000 3000"],
    ["an indefinite length", "3080 0000"],
    ["an indefinite length inside", "3004 3080 0000"],
    ["a length octet where none was needed", "30 81 02 0500"],
    ["a length with a leading zero", `30 8200 80 ${"0500".repeat(64)}`],
    ["a length of five octets", "30 85 00000000 02 0500"],
    ["the reserved length ff", "30 ff 0500"],
    ["a length past the end", "30 03 0500"],
    ["an inner length past its parent", "3006 3003 0500 0500"],
    ["a header cut off inside its parent", "3001 30"],
    ["a length of 2^32-1", "30 84 ffffffff"],
    ["a tag number above 30", "1f 81 00 00"],
    ["end-of-contents octets", "0000"],
    ["a constructed OCTET STRING", "2404 0402 0000"],
    ["a constructed BIT STRING", "2304 0302 0000"],
    ["a primitive SEQUENCE", "1000"],
    ["a primitive SET", "1100"],
    ["BOOLEAN of no octets", "0100"],
    ["BOOLEAN of two octets", "0102 ffff"],
    ["BOOLEAN TRUE as 01", "0101 01"],
    ["INTEGER of no octets", "0200"],
    ["INTEGER with a superfluous 00", "0202 0001"],
    ["INTEGER with a superfluous ff", "0202 ff80"],
    ["ENUMERATED with a superfluous 00", "0a02 0001"],
    ["INTEGER of 514 octets", `02 820202 01${"00".repeat(513)}`],
    ["BIT STRING of no octets", "0300"],
    ["BIT STRING with eight unused bits", "0302 0800"],
    ["BIT STRING with unused bits and no octets", "0301 01"],
    ["BIT STRING with unused bits that are set", "0302 0101"],
    ["NULL with content", "0501 00"],
    ["OBJECT IDENTIFIER of no octets", "0600"],
    ["OBJECT IDENTIFIER with a padded arc", "0603 2a8001"],
    ["OBJECT IDENTIFIER with a padded first arc", "0602 8001"],
    ["OBJECT IDENTIFIER that ends inside an arc", "0602 2a86"],
    ["OBJECT IDENTIFIER of 65 octets", `0641 2a${"01".repeat(64)}`],
    ["such faults under a context tag", "a003 020200 01"],
  ])("and refuses %s", (_what, hex) => {
    expect(codeOf(() => readDer(bytes(hex)))).toBe("bad_der");
  });

  it.each([
    ["an empty SEQUENCE", "3000"],
    ["a long length where it is needed", `30 8180 ${"0500".repeat(64)}`],
    ["INTEGER of 513 octets", `02 820201 01${"00".repeat(512)}`],
    ["OBJECT IDENTIFIER of 64 octets", `0640 2a${"01".repeat(63)}`],
    ["OBJECT IDENTIFIER 2.999", "0602 8837"],
    ["a primitive context tag with any content", "8003 000001"],
  ])("and takes %s", (_what, hex) => {
    expect(readDer(bytes(hex)).raw).toEqual(bytes(hex));
  });

  it("and takes 16 levels, refuses 17", () => {
    const nested = (levels: number): Uint8Array => {
      let der = nullValue();
      for (let i = 0; i < levels; i++) der = sequence(der);
      return der;
    };
    expect(readDer(nested(16)).tag).toBe(TAG.sequence);
    expect(codeOf(() => readDer(nested(17)))).toBe("bad_der");
  });

  it("and does not recurse: a million levels are refused like 17", () => {
    const headers = new Uint8Array(5_000_000);
    for (let at = 0; at < headers.length; at += 5) {
      const left = headers.length - at - 5;
      headers.set([0x30, 0x83, left >> 16, (left >> 8) & 0xff, left & 0xff], at);
    }
    expect(() => readDer(headers)).toThrow("value is nested more than 16 levels deep");
  });

  it("and names the thing and the place in its message", () => {
    expect(() => readDer(bytes("3003 0500 00"), "CSR")).toThrow("a header at 4 of CSR is cut off");
  });

  it("and gives plain Uint8Array views into a Buffer, without a copy", () => {
    const source = Buffer.from("30030101ff", "hex");
    const content = readDer(source).content;
    expect(content.constructor).toBe(Uint8Array);
    expect(content.buffer).toBe(source.buffer);
  });
});

describe("DerReader", () => {
  const value = readDer(sequence(integer(7), octetString(bytes("00")), nullValue()));

  it("next() goes by position and demands the tag", () => {
    const reader = new DerReader(value);
    expect(readSmallInteger(reader.next(TAG.integer, "number"))).toBe(7);
    expect(() => reader.next(TAG.oid, "type")).toThrow("type has tag 0x04, must be 0x06");
  });

  it("optional() takes only its tag, end() refuses what is left", () => {
    const reader = new DerReader(value);
    expect(reader.optional(TAG.boolean)).toBeUndefined();
    expect(reader.optional(TAG.integer)?.raw).toEqual(bytes("020107"));
    expect(() => reader.end("thing")).toThrow("5 octets left over in thing");
  });

  it("next() at the end says what is missing", () => {
    const reader = new DerReader(readDer(sequence()));
    expect(() => reader.next(TAG.oid, "type")).toThrow("missing: type");
    expect(reader.peekTag).toBeUndefined();
    reader.end("thing");
  });

  it("refuses a primitive value", () => {
    expect(codeOf(() => new DerReader(readDer(nullValue())))).toBe("bad_der");
  });

  it("children() are the values inside, with long lengths too", () => {
    const parts = [octetString(new Uint8Array(200)), octetString(new Uint8Array(70_000)), nullValue()];
    expect(children(readDer(sequence(...parts))).map((child) => child.raw)).toEqual(parts);
  });
});

describe("readers of values", () => {
  it.each([
    ["1.2.840.113549.1.1.11", "06092a864886f70d01010b"],
    ["2.999.3", "0603883703"],
    ["2.5.29.17", "0603551d11"],
    ["0.9.2342.19200300.100.1.25", "060a0992268993f22c640119"],
    ["1.39", "06014f"],
    ["2.0", "060150"],
  ])("readOid() reads %s, oid() writes it", (dotted, hex) => {
    expect(readOid(readDer(bytes(hex)))).toBe(dotted);
    expect(oid(dotted)).toEqual(bytes(hex));
  });

  it("readOid() gives hex for arcs beyond 2^53, so that different ones stay different", () => {
    const huge = (last: string): string =>
      readOid(readDer(bytes(`060b 2a 8f80808080808080 80 ${last}`.replace(/ /g, ""))));
    expect(huge("01")).toMatch(/^oid:2a8f/);
    expect(huge("01")).not.toBe(huge("02"));
  });

  it.each(["3.1", "1.40", "1", "", "1.2.", "1.-2", "1.2.03", "a.b"])("oid() refuses %j", (text) => {
    expect(() => oid(text)).toThrow(TypeError);
  });

  it.each([
    [0, "020100"],
    [127, "02017f"],
    [128, "02020080"],
    [256, "02020100"],
    [281474976710655n, "020700ffffffffffff"],
  ])("integer(%s) is minimal and reads back", (number, hex) => {
    expect(integer(number)).toEqual(bytes(hex));
    expect(readSmallInteger(readDer(bytes(hex)))).toBe(Number(number));
    expect(readUnsignedInteger(readDer(bytes(hex)))).toBe(BigInt(number));
  });

  it("integer() of octets drops leading zeros and adds the sign octet", () => {
    expect(integer(bytes("0000ff"))).toEqual(bytes("020200ff"));
    expect(integer(bytes(""))).toEqual(bytes("020100"));
    expect(() => integer(-1)).toThrow(TypeError);
  });

  it("readSmallInteger() refuses negative numbers and more than 48 bits", () => {
    expect(codeOf(() => readSmallInteger(readDer(bytes("0201ff"))))).toBe("bad_der");
    expect(codeOf(() => readSmallInteger(readDer(bytes("020701000000000000"))))).toBe("bad_der");
    expect(codeOf(() => readUnsignedInteger(readDer(bytes("0201ff"))))).toBe("bad_der");
  });

  it("readInteger() checks the content under an IMPLICIT tag too", () => {
    expect(codeOf(() => readInteger(readDer(bytes("82020001"))))).toBe("bad_der");
    expect(codeOf(() => readBoolean(readDer(bytes("800101"))))).toBe("bad_der");
    expect(codeOf(() => readBitString(readDer(bytes("80020101"))))).toBe("bad_der");
    expect(codeOf(() => readOid(readDer(bytes("88022a86"))))).toBe("bad_der");
  });

  it("readBoolean(), readBitString() and readIa5() read what the writers wrote", () => {
    expect(readBoolean(readDer(boolean(true)))).toBe(true);
    expect(readBoolean(readDer(boolean(false)))).toBe(false);
    expect(readBitString(readDer(bitString(bytes("a0"), 5)))).toEqual({ unused: 5, bytes: bytes("a0") });
    expect(readIa5(readDer(ia5String("a@b.test")))).toBe("a@b.test");
    expect(codeOf(() => readIa5(readDer(bytes("1601c3"))))).toBe("bad_der");
  });
});

describe("times (RFC 5280 4.1.2.5)", () => {
  it.each([
    ["1950-01-01T00:00:00Z", "170d3530303130313030303030305a"],
    ["2049-12-31T23:59:59Z", "170d3439313233313233353935395a"],
    ["2050-01-01T00:00:00Z", "180f32303530303130313030303030305a"],
    ["9999-12-31T23:59:59Z", "180f39393939313233313233353935395a"],
  ])("time() writes %s in its one form, readTime() reads it", (text, hex) => {
    expect(time(new Date(text))).toEqual(bytes(hex));
    expect(readTime(readDer(bytes(hex)))).toEqual(new Date(text));
  });

  it("time() cuts to the second and refuses years that have no form", () => {
    expect(readTime(readDer(time(new Date("2026-11-24T12:00:00.999Z"))))).toEqual(new Date("2026-11-24T12:00:00Z"));
    expect(() => time(new Date("1949-12-31T23:59:59Z"))).toThrow(RangeError);
    expect(() => time(new Date(Number.NaN))).toThrow(RangeError);
  });

  it.each([
    ["UTCTime without seconds", TAG.utcTime, "2611241200Z"],
    ["UTCTime with an offset", TAG.utcTime, "261124120000+0100"],
    ["UTCTime with month 13", TAG.utcTime, "261324120000Z"],
    ["UTCTime on 30 February", TAG.utcTime, "260230120000Z"],
    ["UTCTime on 29 February of a common year", TAG.utcTime, "270229120000Z"],
    ["UTCTime on day 0", TAG.utcTime, "260100120000Z"],
    ["UTCTime at 24 o'clock", TAG.utcTime, "260101240000Z"],
    ["UTCTime at second 60", TAG.utcTime, "260101120060Z"],
    ["UTCTime with a blank", TAG.utcTime, "26 101120000Z"],
    ["UTCTime with z", TAG.utcTime, "260101120000z"],
    ["GeneralizedTime before 2050", TAG.generalizedTime, "20491231235959Z"],
    ["GeneralizedTime with a fraction", TAG.generalizedTime, "20550101000000.5Z"],
    ["GeneralizedTime without Z", TAG.generalizedTime, "20550101000000"],
    ["text of another type", TAG.ia5String, "20550101000000Z"],
  ])("readTime() refuses %s", (_what, tag, text) => {
    expect(codeOf(() => readTime(readDer(encode(tag, Buffer.from(text)))))).toBe("bad_der");
  });

  it("readGeneralizedTime() takes any year, as OCSP needs", () => {
    const at = new Date("2026-11-24T12:00:00Z");
    expect(readGeneralizedTime(readDer(generalizedTime(at)))).toEqual(at);
  });
});

describe("writers", () => {
  it("set() sorts its values as DER demands (X.690 11.6)", () => {
    expect(set(bytes("020103"), bytes("0101ff"), bytes("020101"))).toEqual(bytes("3109 0101ff 020101 020103"));
  });

  it("implicit() replaces the tag and keeps primitive or constructed; explicit() wraps", () => {
    expect(implicit(0, octetString(bytes("aa")))).toEqual(bytes("8001aa"));
    expect(implicit(1, sequence(nullValue()))).toEqual(bytes("a1020500"));
    expect(explicit(3, nullValue())).toEqual(bytes("a3020500"));
  });

  it("encode() writes lengths of one to three octets minimally", () => {
    for (const [size, header] of [
      [127, "047f"],
      [128, "048180"],
      [256, "04820100"],
      [70_000, "0483011170"],
    ] as const) {
      expect(octetString(new Uint8Array(size)).subarray(0, header.length / 2)).toEqual(bytes(header));
    }
  });

  it("printableString() and ia5String() refuse what they cannot hold", () => {
    expect(() => printableString("a@b")).toThrow(TypeError);
    expect(() => ia5String("é")).toThrow(TypeError);
    expect(utf8String("é")).toEqual(bytes("0c02c3a9"));
  });

  it("concat() puts parts behind each other, sameDer() compares a whole encoding", () => {
    expect(concat(bytes("01"), bytes(""), bytes("0203"))).toEqual(bytes("010203"));
    expect(sameDer(readDer(bytes("0500")), bytes("0500"))).toBe(true);
    expect(sameDer(readDer(bytes("0500")), bytes("050000"))).toBe(false);
    expect(sameDer(readDer(bytes("0500")), bytes("3000"))).toBe(false);
  });
});
