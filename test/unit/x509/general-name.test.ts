import { describe, expect, it } from "vitest";
import { readDer } from "../../../src/x509/der.ts";
import { encode, explicit, nullValue, oid, sequence, utf8String } from "../../../src/x509/der-writer.ts";
import {
  directoryName,
  dnsName,
  generalNames,
  ipName,
  readGeneralName,
  readGeneralNames,
  uriName,
} from "../../../src/x509/general-name.ts";
import { ipOctets, ipText } from "../../../src/x509/ip-address.ts";
import { writeName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { bytes, codeOf } from "./expectations.ts";

const text = (tag: number, value: string): Uint8Array => encode(tag, Buffer.from(value, "latin1"));

describe("readGeneralNames()", () => {
  it("reads each kind with its value and its octets", () => {
    const upn = encode(0xa0, oid("1.3.6.1.4.1.311.20.2.3"), explicit(0, utf8String("x")));
    const ders = [
      uriName("spiffe://prod.example/svc/web"),
      dnsName("web.prod.example"),
      ipName("10.0.0.1"),
      text(0x81, "a@b.test"),
      directoryName(writeName([{ oid: OID.commonName, value: "x" }])),
      upn,
      encode(0x88, bytes("2a03")),
    ];
    expect(readGeneralNames(readDer(generalNames(ders)))).toEqual([
      { kind: "uri", value: "spiffe://prod.example/svc/web", der: ders[0] },
      { kind: "dns", value: "web.prod.example", der: ders[1] },
      { kind: "ip", value: "10.0.0.1", der: ders[2] },
      { kind: "email", value: "a@b.test", der: ders[3] },
      { kind: "directory", value: "CN=x", der: ders[4] },
      { kind: "other", value: "otherName 1.3.6.1.4.1.311.20.2.3", der: ders[5] },
      { kind: "other", value: "registeredID 1.2.3", der: ders[6] },
    ]);
  });

  it("folds and decodes nothing", () => {
    for (const value of ["SPIFFE://Prod/%2e%2E/", "spiffe://a/../b"]) {
      expect(readGeneralName(readDer(uriName(value))).value).toBe(value);
    }
    expect(readGeneralName(readDer(dnsName("*.Web.TEST."))).value).toBe("*.Web.TEST.");
  });

  it("takes 100 names and refuses none or 101", () => {
    const names = (count: number): Uint8Array => generalNames(new Array<Uint8Array>(count).fill(dnsName("a.test")));
    expect(readGeneralNames(readDer(names(100)))).toHaveLength(100);
    expect(codeOf(() => readGeneralNames(readDer(names(101))))).toBe("bad_name");
    expect(codeOf(() => readGeneralNames(readDer(names(0))))).toBe("bad_name");
  });

  it.each([
    ["an empty URI", text(0x86, "")],
    ["an empty DNS name", text(0x82, "")],
    ["an empty e-mail name", text(0x81, "")],
    ["NUL in a URI", text(0x86, "spiffe://a/b\0c")],
    ["a line break in a DNS name", text(0x82, "a.test\n")],
    ["a blank as DNS name", text(0x82, " ")],
    ["UTF-8 in a DNS name", text(0x82, "m\xc3\xbcnchen.test")],
    ["DEL in an e-mail name", text(0x81, "a\x7f@b")],
    ["an address of 5 octets", encode(0x87, new Uint8Array(5))],
    ["an address of no octets", encode(0x87)],
    ["an address of 8 octets (that is a constraint)", encode(0x87, new Uint8Array(8))],
    ["tag [9]", encode(0x89, bytes("00"))],
    ["a constructed URI", encode(0xa6, nullValue())],
    ["a primitive directory name", encode(0x84, bytes("00"))],
    ["text without a tag of its own", utf8String("a.test")],
  ])("refuses %s", (_what, der) => {
    expect(codeOf(() => readGeneralNames(readDer(sequence(der))))).toBe("bad_name");
  });

  it.each([
    ["an otherName without a value", encode(0xa0, oid("1.2.3"))],
    ["an otherName with two values", encode(0xa0, oid("1.2.3"), explicit(0, nullValue(), nullValue()))],
    ["two directory names in one", encode(0xa4, sequence(), sequence())],
  ])("refuses %s", (_what, der) => {
    expect(codeOf(() => readGeneralNames(readDer(sequence(der))))).toBe("bad_der");
  });
});

describe("uriName(), dnsName(), ipName()", () => {
  it.each(["", "a b", "a\n", "é"])("refuse %j, which could not be read back", (value) => {
    expect(codeOf(() => uriName(value))).toBe("bad_name");
    expect(codeOf(() => dnsName(value))).toBe("bad_name");
    expect(codeOf(() => ipName(value))).toBe("bad_name");
  });
});

describe("ipText() and ipOctets()", () => {
  it.each([
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8::0:1", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["fe80:0:0:0:0:0:0:0", "fe80::"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
    ["::ffff:a00:1", "::ffff:10.0.0.1"],
    ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ])("bring %s to its one text %s (RFC 5952)", (input, canonical) => {
    expect(ipText(ipOctets(input))).toBe(canonical);
    expect(ipText(ipOctets(canonical))).toBe(canonical);
  });

  it.each([
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "0x1.2.3.4",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    ":::",
    ":1::",
    "1:2:3:4:5:6:7:8::",
    "::12345",
    "::1%eth0",
    "[::1]",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4",
    "g::",
    "localhost",
  ])("ipOctets() refuses %j", (input) => {
    expect(codeOf(() => ipOctets(input))).toBe("bad_name");
  });
});
