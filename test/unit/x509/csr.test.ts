import { describe, expect, it } from "vitest";
import { buildCsr, csrDerFromPem, parseCsr } from "../../../src/x509/csr.ts";
import {
  explicit,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  set,
  utf8String,
} from "../../../src/x509/der-writer.ts";
import {
  basicConstraintsExtension,
  extendedKeyUsageExtension,
  extension,
  keyUsageExtension,
  subjectAltNameExtension,
} from "../../../src/x509/extensions.ts";
import { dnsName } from "../../../src/x509/general-name.ts";
import { writeName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { signatureAlgorithmDer } from "../../../src/x509/signature.ts";
import type { PublicKeyType } from "../../../src/x509/spki.ts";
import { extensionRequest, goodSan, requestOf, unknownExtension } from "./build-request.ts";
import { codeOf } from "./expectations.ts";
import { testKey } from "./signers.ts";

const challenge = sequence(oid(OID.challengePassword), set(utf8String("s3cret")));
const repeated = (count: number, make: (i: number) => Uint8Array): readonly Uint8Array[] =>
  Array.from({ length: count }, (_, i) => make(i));

describe("buildCsr()", () => {
  it.each<PublicKeyType>(["ec-p256", "ec-p384", "rsa-2048", "ed25519"])(
    "makes what parseCsr() takes, with a key of %s",
    async (type) => {
      const key = testKey(type);
      const der = await buildCsr(key, {
        uris: ["spiffe://prod.example/svc/web"],
        dnsNames: ["web.prod.example"],
        ipAddresses: ["10.0.0.1", "2001:db8:0::1"],
      });
      const csr = parseCsr(der);
      expect(csr.publicKey.type).toBe(type);
      expect(csr.spkiDer).toEqual(key.spkiDer);
      expect(csr.names.map(({ kind, value }) => `${kind} ${value}`)).toEqual([
        "uri spiffe://prod.example/svc/web",
        "dns web.prod.example",
        "ip 10.0.0.1",
        "ip 2001:db8::1",
      ]);
      expect(csr.unknownExtensions).toEqual([]);
      expect("keyUsage" in csr || "extendedKeyUsage" in csr || "basicConstraints" in csr).toBe(false);
    },
  );

  it("writes no extensionRequest when no name is asked for", async () => {
    const csr = parseCsr(await buildCsr(testKey("ec-p256")));
    expect(csr.names).toEqual([]);
  });

  it("takes a signer that answers later", async () => {
    const key = testKey("ec-p256");
    const later = { spkiDer: key.spkiDer, sign: async (octets: Uint8Array) => key.sign(octets) };
    expect(parseCsr(await buildCsr(later)).spkiDer).toEqual(key.spkiDer);
  });

  it("refuses names that cannot be written", async () => {
    await expect(buildCsr(testKey("ec-p256"), { dnsNames: ["a b"] })).rejects.toMatchObject({ code: "bad_name" });
  });
});

describe("parseCsr() reads what is asked for", () => {
  it("key usage, purposes, basicConstraints and the kinds of other extensions", () => {
    const attributes = [
      extensionRequest(
        goodSan,
        keyUsageExtension(["digitalSignature", "keyEncipherment"]),
        extendedKeyUsageExtension([OID.serverAuth]),
        basicConstraintsExtension({ ca: true, pathLength: 1 }),
        unknownExtension(1),
        unknownExtension(2, true),
      ),
    ];
    const csr = parseCsr(requestOf({ attributes }));
    expect([...(csr.keyUsage ?? [])]).toEqual(["digitalSignature", "keyEncipherment"]);
    expect(csr.extendedKeyUsage).toEqual([OID.serverAuth]);
    expect(csr.basicConstraints).toEqual({ ca: true, pathLength: 1 });
    expect(csr.unknownExtensions).toEqual([
      { oid: "1.3.6.1.4.1.99999.1", critical: false },
      { oid: "1.3.6.1.4.1.99999.2", critical: true },
    ]);
  });

  it("and ignores the subject and foreign attributes", () => {
    const subject = writeName([{ oid: OID.commonName, value: "spiffe://prod.example/admin" }]);
    const unstructured = sequence(oid("1.2.840.113549.1.9.2"), set(utf8String("a"), utf8String("b")));
    const csr = parseCsr(requestOf({ subject, attributes: [unstructured, challenge] }));
    expect(csr.names).toEqual([]);
  });
});

describe("parseCsr() refuses", () => {
  const extras = (...attributes: readonly Uint8Array[]): Uint8Array => requestOf({ attributes });

  it.each([
    ["bad_csr", "version 1", () => requestOf({ version: integer(1) })],
    ["bad_der", "a version of another type", () => requestOf({ version: nullValue() })],
    ["bad_csr", "the same foreign attribute twice", () => extras(challenge, challenge)],
    ["bad_csr", "two extensionRequests", () => extras(extensionRequest(goodSan), extensionRequest(goodSan))],
    [
      "bad_der",
      "an extensionRequest with two values",
      () => extras(sequence(oid(OID.extensionRequest), set(sequence(goodSan), sequence(goodSan)))),
    ],
    ["bad_der", "an attribute without values", () => extras(sequence(oid("1.2.3"), set()))],
    [
      "bad_der",
      "an attribute whose values are a SEQUENCE",
      () => extras(sequence(oid("1.2.3"), sequence(nullValue()))),
    ],
    ["bad_der", "a third element in an attribute", () => extras(sequence(oid("1.2.3"), set(nullValue()), nullValue()))],
    [
      "bad_der",
      "attributes in the wrong order",
      () => extras(sequence(oid("1.2.4"), set(nullValue())), sequence(oid("1.2.3"), set(nullValue()))),
    ],
    ["bad_der", "an element after the attributes", () => requestOf({ afterAttributes: nullValue() })],
    ["bad_der", "attributes twice", () => requestOf({ afterAttributes: explicit(0) })],
    [
      "bad_extension",
      "an extensionRequest that is a SET",
      () => extras(sequence(oid(OID.extensionRequest), set(set(goodSan)))),
    ],
    ["bad_extension", "an extensionRequest without extensions", () => extras(extensionRequest())],
    ["bad_extension", "33 extensions", () => extras(extensionRequest(...repeated(33, (i) => unknownExtension(i))))],
    ["bad_extension", "a SAN twice", () => extras(extensionRequest(goodSan, goodSan))],
    [
      "bad_name",
      "101 names",
      () =>
        extras(
          extensionRequest(
            subjectAltNameExtension(
              repeated(101, (i) => dnsName(`${i}.test`)),
              true,
            ),
          ),
        ),
    ],
    [
      "bad_extension",
      "a malformed keyUsage",
      () => extras(extensionRequest(extension(OID.keyUsage, false, nullValue()))),
    ],
    [
      "bad_der",
      "octets behind a SAN",
      () => extras(extensionRequest(extension(OID.subjectAltName, false, Buffer.from("3003820161ff", "hex")))),
    ],
    ["bad_name", "a subject that is malformed", () => requestOf({ subject: sequence(set()) })],
    [
      "bad_key",
      "a key that breaks the rules",
      () => requestOf({ spki: sequence(sequence(oid(OID.ed25519)), nullValue()) }),
    ],
    ["bad_signature", "another key than the one that signed", () => requestOf({ spki: testKey("ec-p256").spkiDer })],
    ["bad_signature", "an algorithm for other keys", () => requestOf({ algorithm: signatureAlgorithmDer("rsa-2048") })],
    [
      "bad_signature",
      "an algorithm with another hash",
      () => requestOf({ algorithm: signatureAlgorithmDer("ec-p384") }),
    ],
    ["bad_signature", "a signature with unused bits", () => requestOf({ unusedSignatureBits: 3 })],
  ] as const)("with %s: %s", (code, _what, build) => {
    expect(codeOf(() => parseCsr(build()))).toBe(code);
  });

  it("by size before anything else", () => {
    expect(codeOf(() => parseCsr(new Uint8Array(16_385)))).toBe("too_large");
    expect(codeOf(() => parseCsr(new Uint8Array(16_384)))).toBe("bad_der");
  });

  it("without a word of the challenge password", () => {
    const attributes = [challenge, extensionRequest(extension(OID.keyUsage, false, octetString(new Uint8Array(0))))];
    expect(() => parseCsr(requestOf({ attributes }))).toThrow(/^keyUsage is not a BIT STRING$/);
  });
});

describe("csrDerFromPem()", () => {
  const der = requestOf();

  it.each(["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])("takes the label %s", (label) => {
    expect(csrDerFromPem(encodePem(label, der))).toEqual(der);
  });

  it("refuses other labels, two requests, a key beside it, and both limits", () => {
    const good = encodePem("CERTIFICATE REQUEST", der);
    expect(codeOf(() => csrDerFromPem(encodePem("CERTIFICATE", der)))).toBe("bad_pem");
    expect(codeOf(() => csrDerFromPem(good + good))).toBe("bad_pem");
    expect(codeOf(() => csrDerFromPem(good + encodePem("PRIVATE KEY", der)))).toBe("bad_pem");
    expect(codeOf(() => csrDerFromPem(encodePem("CERTIFICATE REQUEST", new Uint8Array(16_385))))).toBe("too_large");
    expect(codeOf(() => csrDerFromPem(`${"x".repeat(65_536)}\n${good}`))).toBe("too_large");
  });
});
