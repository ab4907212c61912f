import { describe, expect, it } from "vitest";
import { readDer } from "../../../src/x509/der.ts";
import {
  bitString,
  boolean,
  explicit,
  implicit,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
} from "../../../src/x509/der-writer.ts";
import {
  authorityInfoAccessExtension,
  authorityKeyIdentifierExtension,
  basicConstraintsExtension,
  crlDistributionPointsExtension,
  crlNumberExtension,
  type Extension,
  extendedKeyUsageExtension,
  extension,
  keyUsageExtension,
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readCrlNumber,
  readExtendedKeyUsage,
  readExtensions,
  readKeyUsage,
  readSubjectAltName,
  readSubjectKeyIdentifier,
  subjectAltNameExtension,
  subjectKeyIdentifierExtension,
} from "../../../src/x509/extensions.ts";
import { dnsName, generalNames, uriName } from "../../../src/x509/general-name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { bytes, codeOf } from "./expectations.ts";

/** What our own writer wrote, read back. */
function only(der: Uint8Array): Extension {
  const [first] = readExtensions(readDer(sequence(der)));
  if (first === undefined) throw new Error("no extension");
  return first;
}

const plain = (last: number): Uint8Array => extension(`1.2.3.${last}`, false, nullValue());

describe("readExtensions()", () => {
  it("takes 32 and refuses 33, none, and one kind twice", () => {
    const list = (count: number): Uint8Array => sequence(...Array.from({ length: count }, (_, i) => plain(i)));
    expect(readExtensions(readDer(list(32)))).toHaveLength(32);
    for (const der of [list(33), list(0), sequence(plain(1), plain(2), plain(1))]) {
      expect(codeOf(() => readExtensions(readDer(der)))).toBe("bad_extension");
    }
  });

  it("refuses critical FALSE written out (X.690 11.5)", () => {
    const der = sequence(sequence(oid("1.2.3"), boolean(false), octetString(nullValue())));
    expect(codeOf(() => readExtensions(readDer(der)))).toBe("bad_extension");
  });

  it.each([
    ["a fourth element", sequence(oid("1.2.3"), boolean(true), octetString(nullValue()), nullValue())],
    ["no value", sequence(oid("1.2.3"), boolean(true))],
    ["a value that is no OCTET STRING", sequence(oid("1.2.3"), nullValue())],
  ])("refuses an extension with %s", (_what, der) => {
    expect(codeOf(() => readExtensions(readDer(sequence(der))))).toBe("bad_der");
  });
});

describe("keyUsage (RFC 5280 4.2.1.3)", () => {
  it("round-trips with the fewest octets", () => {
    expect(only(keyUsageExtension(["digitalSignature"])).value).toEqual(bytes("03020780"));
    const written = only(keyUsageExtension(["keyCertSign", "cRLSign"]));
    expect(written).toEqual({ oid: OID.keyUsage, critical: true, value: bytes("03020106") });
    expect([...readKeyUsage(written.value)]).toEqual(["keyCertSign", "cRLSign"]);
    expect([...readKeyUsage(only(keyUsageExtension(["decipherOnly"])).value)]).toEqual(["decipherOnly"]);
    expect(() => keyUsageExtension([])).toThrow(TypeError);
  });

  it.each([
    ["no bit", "030100"],
    ["zero bits alone", "03020700"],
    ["superfluous zero bits", "03020080"],
    ["a superfluous zero octet", "0303078000"],
    ["a tenth bit", "0303060040"],
    ["another type", "0500"],
  ])("readKeyUsage() refuses %s", (_what, hex) => {
    expect(codeOf(() => readKeyUsage(bytes(hex)))).toBe("bad_extension");
  });
});

describe("basicConstraints (RFC 5280 4.2.1.9)", () => {
  it.each([{ ca: false }, { ca: true }, { ca: true, pathLength: 0 }, { ca: true, pathLength: 300 }])(
    "round-trips %j",
    (constraints) => {
      expect(readBasicConstraints(only(basicConstraintsExtension(constraints)).value)).toEqual(constraints);
    },
  );

  it.each([
    ["cA FALSE written out", sequence(boolean(false))],
    ["a path length without cA", sequence(integer(0))],
    ["another type", nullValue()],
  ])("readBasicConstraints() refuses %s", (_what, der) => {
    expect(codeOf(() => readBasicConstraints(der))).toBe("bad_extension");
  });

  it.each([
    ["a negative path length", sequence(boolean(true), bytes("0201ff"))],
    ["a third element", sequence(boolean(true), integer(0), nullValue())],
  ])("readBasicConstraints() refuses %s", (_what, der) => {
    expect(codeOf(() => readBasicConstraints(der))).toBe("bad_der");
  });
});

describe("the other extensions", () => {
  it("round-trip", () => {
    const eku = only(extendedKeyUsageExtension([OID.serverAuth, OID.clientAuth]));
    expect(eku.critical).toBe(false);
    expect(readExtendedKeyUsage(eku.value)).toEqual([OID.serverAuth, OID.clientAuth]);
    expect(readSubjectKeyIdentifier(only(subjectKeyIdentifierExtension(bytes("0102"))).value)).toEqual(bytes("0102"));
    expect(readAuthorityKeyIdentifier(only(authorityKeyIdentifierExtension(bytes("0102"))).value)).toEqual({
      keyId: bytes("0102"),
    });
    expect(readCrlNumber(only(crlNumberExtension(2n ** 64n)).value)).toBe(2n ** 64n);
    const san = only(subjectAltNameExtension([uriName("spiffe://a/b"), dnsName("a.test")], true));
    expect(san.critical).toBe(true);
    expect(readSubjectAltName(san.value).map((name) => name.value)).toEqual(["spiffe://a/b", "a.test"]);
  });

  it("crlDistributionPointsExtension() and authorityInfoAccessExtension() write the address in its place", () => {
    const url = "http://ca.test/crl/1";
    const point = sequence(sequence(explicit(0, implicit(0, generalNames([uriName(url)])))));
    expect(only(crlDistributionPointsExtension(url)).value).toEqual(point);
    const access = only(authorityInfoAccessExtension({ ocsp: "http://o.test", caIssuers: "http://c.test" }));
    expect(access.value).toEqual(
      sequence(
        sequence(oid("1.3.6.1.5.5.7.48.1"), uriName("http://o.test")),
        sequence(oid("1.3.6.1.5.5.7.48.2"), uriName("http://c.test")),
      ),
    );
    expect(() => authorityInfoAccessExtension({})).toThrow(TypeError);
  });

  it.each([
    ["an empty extendedKeyUsage", () => readExtendedKeyUsage(sequence())],
    ["33 purposes", () => readExtendedKeyUsage(sequence(...new Array<Uint8Array>(33).fill(oid(OID.serverAuth))))],
    ["an empty subjectKeyIdentifier", () => readSubjectKeyIdentifier(octetString(new Uint8Array(0)))],
    ["a subjectKeyIdentifier of 65 octets", () => readSubjectKeyIdentifier(octetString(new Uint8Array(65)))],
    [
      "an issuer without a serial",
      () => readAuthorityKeyIdentifier(sequence(implicit(1, generalNames([dnsName("a")])))),
    ],
    ["a serial without an issuer", () => readAuthorityKeyIdentifier(sequence(implicit(2, integer(1))))],
    ["a cRLNumber of 21 octets", () => readCrlNumber(integer(new Uint8Array(21).fill(1)))],
  ])("refuse %s", (_what, read) => {
    expect(codeOf(read)).toBe("bad_extension");
  });

  it.each([
    ["octets behind a subjectAltName", () => readSubjectAltName(bytes("3003820161 00"))],
    ["an authorityKeyIdentifier in another order", () => readAuthorityKeyIdentifier(bytes("3006 820101 800101"))],
    ["a negative cRLNumber", () => readCrlNumber(bytes("0201ff"))],
    ["bits in place of a purpose", () => readExtendedKeyUsage(sequence(bitString(bytes("00"))))],
  ])("refuse %s", (_what, read) => {
    expect(codeOf(read)).toBe("bad_der");
  });
});
