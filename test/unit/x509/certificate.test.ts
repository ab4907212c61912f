import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";

import {
  certificateDersFromPem,
  certificatesFromPem,
  MAX_CERTIFICATE_BYTES,
  parseCertificate,
} from "../../../src/x509/certificate.ts";
import {
  bitString,
  encode,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  time,
  utf8String,
} from "../../../src/x509/der-writer.ts";
import { extension } from "../../../src/x509/extensions.ts";
import { emptyName, writeName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { signatureAlgorithmDer } from "../../../src/x509/signature.ts";
import { buildCa, certificate } from "../../fakes/build-ca.ts";
import { bytes, codeOf } from "./expectations.ts";
import { testKey } from "./signers.ts";

const built = buildCa();
const { leaf } = built.issue({ dnsNames: ["a.prod.example"], ipAddresses: ["10.0.0.1"] });
const key = testKey("ec-p256");
const algorithm = signatureAlgorithmDer("ec-p256");
const cn = (text: string) => writeName([{ oid: OID.commonName, value: text }]);

/** A certificate of good parts but those that are given. Its signature is none: parsing does not look at it. */
function assembled(parts: Partial<Record<PartName, Uint8Array | readonly Uint8Array[]>>): Uint8Array {
  const good: Record<PartName, Uint8Array | readonly Uint8Array[]> = {
    version: explicit(0, integer(2)),
    serial: integer(7),
    inner: algorithm,
    issuer: cn("ca"),
    validity: sequence(time(built.at), time(built.at)),
    subject: cn("a"),
    key: key.spkiDer,
    extensions: [],
    outer: algorithm,
    signature: bitString(Uint8Array.of(1)),
    trailing: [],
  };
  const all = { ...good, ...parts };
  const octets = (name: PartName) => (all[name] instanceof Uint8Array ? [all[name]] : all[name]);
  const tbs = tbsParts.flatMap(octets);
  return sequence(sequence(...tbs), ...octets("outer"), ...octets("signature"), ...octets("trailing"));
}

const tbsParts = ["version", "serial", "inner", "issuer", "validity", "subject", "key", "extensions"] as const;
type PartName = (typeof tbsParts)[number] | "outer" | "signature" | "trailing";

const extensionList = (...list: Uint8Array[]) => explicit(3, sequence(...list));

describe("parseCertificate()", () => {
  it("reads what a template wrote", () => {
    expect(leaf).toMatchObject({
      subjectText: "",
      sanCritical: true,
      subjectName: [],
      basicConstraints: { ca: false },
      keyUsage: new Set(["digitalSignature"]),
      extendedKeyUsage: [OID.serverAuth, OID.clientAuth],
      authorityKeyId: built.intermediate.subjectKeyId,
      criticalUnknown: [],
      nameConstraints: undefined,
    });
    expect(leaf.names.map(({ kind, value }) => [kind, value])).toEqual([
      ["uri", "spiffe://prod.example/svc/a"],
      ["dns", "a.prod.example"],
      ["ip", "10.0.0.1"],
    ]);
    expect(built.intermediate.basicConstraints).toEqual({ ca: true, pathLength: 0 });
    expect(built.root.subjectText).toMatch(/^O=prod\.example, CN=root-1, serialNumber=[0-9a-f]{40}$/);
  });

  it("agrees with node:crypto about serial, names and times", () => {
    for (const own of [leaf, built.intermediate, built.root]) {
      const theirs = new X509Certificate(own.raw);
      expect(theirs.serialNumber.toLowerCase()).toBe(own.serialHex);
      expect(theirs.validFromDate).toEqual(own.notBefore);
      expect(theirs.validToDate).toEqual(own.notAfter);
      expect(theirs.ca).toBe(own.basicConstraints?.ca === true);
      expect(new Uint8Array(theirs.publicKey.export({ type: "spki", format: "der" }))).toEqual(own.publicKey.der);
    }
  });

  it("keeps its values when the buffer that it was read from changes", () => {
    const buffer = Uint8Array.from(leaf.raw);
    const own = parseCertificate(buffer);
    buffer.fill(0);
    expect(own.raw).toEqual(leaf.raw);
    expect(own.publicKey.der).toEqual(leaf.publicKey.der);
  });

  it("takes the good parts that the refusals below vary", () => {
    expect(parseCertificate(assembled({})).serialHex).toBe("07");
  });

  it("writes a serial with the high bit without its sign octet, as node:crypto does", () => {
    const own = certificate({ key, signer: key, serial: Uint8Array.of(0x80, 1) });
    expect(own.serialHex).toBe("8001");
    expect(new X509Certificate(own.raw).serialNumber).toBe("8001");
  });

  it.each<[string, Parameters<typeof assembled>[0], string]>([
    ["version 1", { version: [] }, "bad_certificate"],
    ["version 2", { version: explicit(0, integer(1)) }, "bad_certificate"],
    ["version 4", { version: explicit(0, integer(3)) }, "bad_certificate"],
    ["two versions in one", { version: explicit(0, integer(2), integer(2)) }, "bad_der"],
    ["serial 0", { serial: integer(0) }, "bad_certificate"],
    ["a negative serial", { serial: bytes("0201ff") }, "bad_certificate"],
    ["a serial of 21 octets", { serial: integer(new Uint8Array(21).fill(1)) }, "bad_certificate"],
    ["a padded serial", { serial: bytes("02020001") }, "bad_der"],
    ["another inner algorithm", { inner: signatureAlgorithmDer("ec-p384") }, "bad_certificate"],
    ["an empty issuer", { issuer: emptyName() }, "bad_certificate"],
    ["a malformed issuer", { issuer: sequence(sequence()) }, "bad_name"],
    ["a malformed subject", { subject: sequence(encode(0x31)) }, "bad_name"],
    ["one time only", { validity: sequence(time(built.at)) }, "bad_der"],
    ["three times", { validity: sequence(time(built.at), time(built.at), time(built.at)) }, "bad_der"],
    ["a text as time", { validity: sequence(utf8String("now"), time(built.at)) }, "bad_der"],
    ["a key that is none", { key: sequence() }, "bad_key"],
    ["unique identifiers", { extensions: encode(0x81, Uint8Array.of(0, 1)) }, "bad_der"],
    ["an empty list of extensions", { extensions: extensionList() }, "bad_extension"],
    ["an extension twice", { extensions: extensionList(san("a.test"), san("b.test")) }, "bad_extension"],
    [
      "33 extensions",
      { extensions: extensionList(...Array.from({ length: 33 }, (_, i) => other(i))) },
      "bad_extension",
    ],
    [
      "an empty list of names",
      { extensions: extensionList(extension(OID.subjectAltName, true, sequence())) },
      "bad_name",
    ],
    [
      "a key usage without bits",
      { extensions: extensionList(extension(OID.keyUsage, true, bytes("030100"))) },
      "bad_extension",
    ],
    [
      "octets behind a value",
      { extensions: extensionList(extension(OID.basicConstraints, true, bytes("300000"))) },
      "bad_der",
    ],
    ["a signature with unused bits", { signature: bitString(Uint8Array.of(0x80), 1) }, "bad_signature"],
    ["something behind the signature", { trailing: integer(1) }, "bad_der"],
    ["no signature", { signature: [] }, "bad_der"],
  ])("refuses %s (RFC 5280 4.1)", (_, parts, code) => {
    expect(codeOf(() => parseCertificate(assembled(parts)))).toBe(code);
  });

  it("says bad_key only when all the rest is in order", () => {
    expect(codeOf(() => parseCertificate(assembled({ key: sequence(), version: [] })))).toBe("bad_certificate");
    const broken = extensionList(extension(OID.basicConstraints, true, integer(1)));
    expect(codeOf(() => parseCertificate(assembled({ key: sequence(), extensions: broken })))).toBe("bad_extension");
  });

  it("lists critical extensions that nothing acts upon", () => {
    const strange = certificate({ key, signer: key, extensions: [extension("1.2.3", true, utf8String("x"))] });
    expect(strange.criticalUnknown).toEqual(["1.2.3"]);
    const policy = sequence(sequence(oid("2.5.29.32.0")));
    const policies = certificate({ key, signer: key, extensions: [extension(OID.certificatePolicies, true, policy)] });
    expect(policies.criticalUnknown).toEqual([]);
  });

  it("refuses what is too large before it reads", () => {
    expect(codeOf(() => parseCertificate(new Uint8Array(MAX_CERTIFICATE_BYTES + 1)))).toBe("too_large");
  });
});

describe("certificatesFromPem()", () => {
  const pem = encodePem("CERTIFICATE", leaf.raw);
  const chain = pem + encodePem("CERTIFICATE", built.intermediate.raw);

  it("reads certificates in their order, with text, CRLF and a private key around", () => {
    const text = `a comment\r\n${encodePem("PRIVATE KEY", Uint8Array.of(1))}${chain.replaceAll("\n", "\r\n")}`;
    expect(certificatesFromPem(text).map(({ serialHex }) => serialHex)).toEqual([
      leaf.serialHex,
      built.intermediate.serialHex,
    ]);
  });

  it.each([
    ["nothing", ""],
    ["a key alone", encodePem("PRIVATE KEY", Uint8Array.of(1))],
    ["a block of another kind", encodePem("X509 CRL", Uint8Array.of(1)) + pem],
    ["a block without end", chain.slice(0, -10)],
    ["two blocks glued together", pem.trimEnd() + pem],
  ])("refuses %s", (_, text) => {
    expect(codeOf(() => certificatesFromPem(text))).toBe("bad_pem");
  });

  it("refuses a block that is no certificate, which certificateDersFromPem() leaves to its caller", () => {
    const text = encodePem("CERTIFICATE", Uint8Array.of(5, 0));
    expect(codeOf(() => certificatesFromPem(text))).toBe("bad_certificate");
    expect(certificateDersFromPem(text)).toEqual([Uint8Array.of(5, 0)]);
  });
});

function san(name: string): Uint8Array {
  return extension(OID.subjectAltName, false, sequence(encode(0x82, new TextEncoder().encode(name))));
}

function other(i: number): Uint8Array {
  return sequence(oid(`1.2.3.${i}`), octetString(integer(1)));
}
