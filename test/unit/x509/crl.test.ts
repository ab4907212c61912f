import "reflect-metadata";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Crypto } from "@peculiar/webcrypto";
import * as peculiar from "@peculiar/x509";
import { describe, expect, it } from "vitest";

import { type CrlFields, crlTbs, parseCrl, verifyCrl } from "../../../src/x509/crl.ts";
import {
  bitString,
  boolean,
  encode,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  time,
} from "../../../src/x509/der-writer.ts";
import { extension } from "../../../src/x509/extensions.ts";
import { writeName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { signatureAlgorithmDer } from "../../../src/x509/signature.ts";
import { after, buildCa, certificate, signedDer } from "../../fakes/build-ca.ts";
import { bytes, codeOf } from "./expectations.ts";
import { hasOpenssl } from "./openssl.ts";
import { testKey } from "./signers.ts";

const built = buildCa();
const { at, intermediate, intermediateKey } = built;
const revoked = [
  { serialHex: "40aa", at, reason: "keyCompromise" },
  { serialHex: "80", at: after(at, -5), reason: "superseded" },
  { serialHex: "41", at, reason: undefined },
] as const;

function tbs(fields: Partial<CrlFields> = {}): Uint8Array {
  return crlTbs({
    issuer: intermediate,
    number: 1n,
    thisUpdate: at,
    nextUpdate: after(at, 86_400),
    revoked: [],
    ...fields,
  });
}

const crl = (fields: Partial<CrlFields> = {}) => parseCrl(signedDer(intermediateKey, tbs(fields)));

describe("crlTbs() and parseCrl()", () => {
  it("go round", () => {
    const own = crl({ number: 2n ** 64n, revoked });
    expect(own).toMatchObject({
      number: 2n ** 64n,
      authorityKeyId: intermediate.subjectKeyId,
      issuerDer: intermediate.subjectDer,
      thisUpdate: at,
      nextUpdate: after(at, 86_400),
      criticalUnknown: [],
    });
    expect(own.revoked).toEqual(revoked);
    expect(verifyCrl(own, intermediate)).toBe(true);
  });

  it("write no list at all when nothing is revoked (RFC 5280 5.1.2.6)", () => {
    const own = crl();
    expect(own.revoked).toEqual([]);
    expect(Buffer.from(own.tbs).includes(Buffer.from([0x30, 0x00]))).toBe(false);
  });

  it("write whole seconds, UTCTime until 2049 and GeneralizedTime from then on", () => {
    const own = crl({
      thisUpdate: new Date("2049-12-31T23:59:59.999Z"),
      nextUpdate: new Date("2050-01-01T00:00:00.5Z"),
    });
    expect(Buffer.from(own.tbs).toString("latin1")).toContain("\x17\x0d491231235959Z\x18\x0f20500101000000Z");
    expect(own.thisUpdate.getMilliseconds()).toBe(0);
  });

  it.each<[string, Partial<CrlFields>]>([
    ["a negative number", { number: -1n }],
    ["a number of 21 octets", { number: 2n ** 160n }],
    ["an end before the beginning", { nextUpdate: at }],
    ["a serial that is no hex", { revoked: [{ serialHex: "4", at }] }],
    ["a serial of 21 octets", { revoked: [{ serialHex: "40".repeat(21), at }] }],
  ])("crlTbs() refuses %s", (_, fields) => {
    expect(codeOf(() => tbs(fields))).toBe("bad_crl");
  });

  const algorithm = signatureAlgorithmDer("ec-p256");
  const issuer = writeName([{ oid: OID.commonName, value: "ca" }]);
  const entry = (...more: Uint8Array[]) => sequence(sequence(integer(1), time(at), ...more));
  const listExtensions = (...list: Uint8Array[]) => explicit(0, sequence(...list));
  const assembled = (...parts: Uint8Array[]) => sequence(sequence(...parts), algorithm, bitString(Uint8Array.of(1)));
  const good = [integer(1), algorithm, issuer, time(at)];

  it("parseCrl() takes a list without nextUpdate and without extensions", () => {
    expect(parseCrl(assembled(...good))).toMatchObject({ nextUpdate: undefined, revoked: [] });
  });

  it.each<[string, Uint8Array]>([
    ["version 1", assembled(algorithm, issuer, time(at))],
    ["version 3", assembled(integer(2), algorithm, issuer, time(at))],
    ["an empty issuer", assembled(integer(1), algorithm, sequence(), time(at))],
    ["another inner algorithm", assembled(integer(1), signatureAlgorithmDer("ed25519"), issuer, time(at))],
    ["an empty list of the revoked", assembled(...good, sequence())],
    ["an entry with a negative serial", assembled(...good, sequence(sequence(bytes("0201ff"), time(at))))],
    ["an entry without time", assembled(...good, sequence(sequence(integer(1))))],
    ["an entry that goes on", assembled(...good, entry(sequence(), integer(1)))],
    [
      "a reason that does not exist",
      assembled(...good, entry(sequence(extension(OID.crlReason, false, bytes("0a0107"))))),
    ],
    [
      "a reason that is no ENUMERATED",
      assembled(...good, entry(sequence(extension(OID.crlReason, false, integer(1))))),
    ],
    ["an extension twice", assembled(...good, listExtensions(number(1), number(2)))],
    ["something behind the extensions", assembled(...good, listExtensions(number(1)), integer(1))],
    ["a text", new TextEncoder().encode("-----BEGIN X509 CRL-----")],
    ["nothing", new Uint8Array()],
  ])("parseCrl() refuses %s", (_, der) => {
    expect(["bad_crl", "bad_der", "bad_extension"]).toContain(codeOf(() => parseCrl(der)));
  });

  it("parseCrl() lists critical extensions of the list and of entries", () => {
    const scope = sequence(oid(OID.issuingDistributionPoint), boolean(true), octetString(sequence()));
    const odd = extension("1.2.3", true, integer(1));
    const own = parseCrl(assembled(...good, entry(sequence(odd)), listExtensions(scope)));
    expect(own.criticalUnknown).toEqual(["1.2.3", OID.issuingDistributionPoint]);
  });

  it("parseCrl() refuses 16 MiB and more before it reads", () => {
    expect(codeOf(() => parseCrl(new Uint8Array(16 * 1024 * 1024 + 1)))).toBe("too_large");
  });
});

describe("verifyCrl()", () => {
  it("refuses another issuer, of the same name too", () => {
    expect(verifyCrl(crl(), built.root)).toBe(false);
    const key = testKey("ec-p256");
    const twin = { ...intermediate, publicKey: certificate({ key, signer: key }).publicKey };
    expect(verifyCrl(crl(), twin)).toBe(false);
  });

  it("refuses an issuer that may not sign CRLs or is no CA", () => {
    expect(verifyCrl(crl(), { ...intermediate, keyUsage: new Set(["keyCertSign"]) })).toBe(false);
    expect(verifyCrl(crl(), { ...intermediate, basicConstraints: undefined })).toBe(false);
  });

  it("refuses a list with something critical that is not understood", () => {
    expect(verifyCrl({ ...crl(), criticalUnknown: [OID.deltaCrlIndicator] }, intermediate)).toBe(false);
  });

  it("refuses any flipped bit of the signed part", () => {
    const own = crl({ revoked });
    for (let at = 0; at < own.tbs.length; at += 7) {
      const flipped = Uint8Array.from(own.tbs);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      expect(verifyCrl({ ...own, tbs: flipped }, intermediate)).toBe(false);
    }
  });
});

describe.each(["ec-p256", "ec-p384", "rsa-2048", "ed25519"] as const)("a CRL of %s", (keyType) => {
  const ca = buildCa({ keyType, at: new Date() });
  const der = signedDer(
    ca.intermediateKey,
    crlTbs({ issuer: ca.intermediate, number: 7n, thisUpdate: ca.at, nextUpdate: after(ca.at, 86_400), revoked }),
  );

  it.skipIf(!hasOpenssl())("is verified by openssl", () => {
    const dir = mkdtempSync(join(tmpdir(), "signet-crl-"));
    try {
      writeFileSync(join(dir, "ca.pem"), encodePem("CERTIFICATE", ca.intermediate.raw));
      const text = execFileSync("openssl", ["crl", "-CAfile", join(dir, "ca.pem"), "-noout", "-text"], {
        input: encodePem("X509 CRL", der),
        encoding: "utf8",
        stdio: ["pipe", "pipe", "pipe"],
      });
      expect(text).toMatch(/CRL Number:\s+7\s/);
      expect(text).toContain("Serial Number: 40AA");
      expect(text).toContain("Key Compromise");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("is verified by @peculiar/x509", async () => {
    const webcrypto = new Crypto();
    peculiar.cryptoProvider.set(webcrypto);
    const theirs = new peculiar.X509Crl(der);
    const publicKey = new peculiar.X509Certificate(ca.intermediate.raw).publicKey;
    expect(await theirs.verify({ publicKey }, webcrypto)).toBe(true);
    expect(theirs.entries.map(({ serialNumber }) => serialNumber)).toEqual(["40aa", "80", "41"]);
    expect(theirs.findRevoked("40aa")?.reason).toBe(peculiar.X509CrlReason.keyCompromise);
  });
});

function number(value: number): Uint8Array {
  return extension(OID.crlNumber, false, encode(0x02, Uint8Array.of(value)));
}
