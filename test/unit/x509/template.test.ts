// What we build, read by programs that share no code with us: node:crypto, openssl and @peculiar/x509.
import "reflect-metadata";
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Crypto } from "@peculiar/webcrypto";
import * as peculiar from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { lintCa, lintLeaf } from "../../../src/x509/lint.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import { keyIdentifier, type PublicKeyType } from "../../../src/x509/spki.ts";
import {
  authorityName,
  fillLeaf,
  intermediateTbs,
  type LeafFields,
  leafTemplate,
  rootTbs,
} from "../../../src/x509/template.ts";
import { after, buildCa, signedBy, testSerial } from "../../fakes/build-ca.ts";
import { codeOf } from "./expectations.ts";
import { hasOpenssl } from "./openssl.ts";
import { testKey } from "./signers.ts";

const types: readonly PublicKeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];
const urls = {
  crlUrl: "http://ca.prod.example/crl/00",
  aiaUrl: "http://ca.prod.example/ca/00",
  ocspUrl: "http://ca.prod.example/ocsp/00",
};
const kinds = [
  ["workload", { extendedKeyUsage: "both", dnsNames: ["a.prod.example"], ipAddresses: ["10.0.0.1", "2001:db8::1"] }],
  ["agent", { extendedKeyUsage: "client", uri: "spiffe://prod.example/agent/one" }],
  [
    "server",
    { extendedKeyUsage: "server", uri: "spiffe://prod.example/signet/server", dnsNames: ["localhost"], ...urls },
  ],
] as const;

describe.each(types)("rootTbs(), intermediateTbs() and fillLeaf() with %s", (type) => {
  const built = buildCa({ keyType: type, at: new Date() });

  it("keep the invariants of lintCa() and lintLeaf()", () => {
    expect(lintCa(built.root, { issuer: built.root })).toEqual([]);
    expect(lintCa(built.intermediate, { issuer: built.root })).toEqual([]);
    for (const [, fields] of kinds) {
      const { leaf } = built.issue({ key: testKey(type), ...fields });
      const { extendedKeyUsage } = fields;
      expect(lintLeaf(leaf, { issuer: built.intermediate, extendedKeyUsage })).toEqual([]);
    }
  });

  it("make certificates that node:crypto verifies", () => {
    const { leaf } = built.issue({ key: testKey(type) });
    const [theirs, intermediate, root] = [leaf, built.intermediate, built.root].map(
      (own) => new X509Certificate(own.raw),
    );
    if (theirs === undefined || intermediate === undefined || root === undefined) throw new Error("three were made");
    expect(theirs.verify(intermediate.publicKey)).toBe(true);
    expect(intermediate.verify(root.publicKey)).toBe(true);
    expect(root.verify(root.publicKey)).toBe(true);
    expect(theirs.checkIssued(intermediate)).toBe(true);
    expect(intermediate.checkIssued(root)).toBe(true);
    expect(theirs.subjectAltName).toBe("URI:spiffe://prod.example/svc/a");
  });

  it("make certificates that @peculiar/x509 verifies", async () => {
    const webcrypto = new Crypto();
    peculiar.cryptoProvider.set(webcrypto);
    const { leaf } = built.issue({ key: testKey(type) });
    const theirs = new peculiar.X509Certificate(leaf.raw);
    const issuer = new peculiar.X509Certificate(built.intermediate.raw);
    expect(await theirs.verify({ publicKey: issuer.publicKey, signatureOnly: true }, webcrypto)).toBe(true);
    const names = theirs.extensions.find((each) => each instanceof peculiar.SubjectAlternativeNameExtension);
    expect(names?.critical).toBe(true);
    expect(names?.names.toJSON()).toEqual([{ type: "url", value: "spiffe://prod.example/svc/a" }]);
    expect(theirs.subject).toBe("");
  });

  describe.skipIf(!hasOpenssl())("openssl verify -x509_strict", () => {
    const dir = mkdtempSync(join(tmpdir(), "signet-template-"));
    const file = (name: string, der: Uint8Array) => {
      const path = join(dir, name);
      writeFileSync(path, encodePem("CERTIFICATE", der));
      return path;
    };
    const root = file("root.pem", built.root.raw);
    const intermediate = file("int.pem", built.intermediate.raw);
    afterAll(() => rmSync(dir, { recursive: true }));

    const verify = (leaf: string, purpose: string, untrusted: readonly string[]) =>
      execFileSync(
        "openssl",
        [
          "verify",
          "-no-CApath",
          "-no-CAstore",
          "-x509_strict",
          "-purpose",
          purpose,
          "-CAfile",
          root,
          ...untrusted,
          leaf,
        ],
        { encoding: "utf8", stdio: "pipe" },
      );

    it.each(kinds)("takes a %s leaf for its purpose, and not without the intermediate", (kind, fields) => {
      const leaf = file(`${kind}.pem`, built.issue({ key: testKey(type), ...fields }).leaf.raw);
      const purposes = { both: ["sslserver", "sslclient"], client: ["sslclient"], server: ["sslserver"] };
      for (const purpose of purposes[fields.extendedKeyUsage]) {
        expect(verify(leaf, purpose, ["-untrusted", intermediate])).toContain("OK");
        expect(() => verify(leaf, purpose, [])).toThrow();
      }
      if (kind === "agent") expect(() => verify(leaf, "sslserver", ["-untrusted", intermediate])).toThrow();
    });
  });
});

describe("authorityName()", () => {
  const key = testKey("ec-p256");

  it("differs between two keys of one name", () => {
    const name = { trustDomain: "prod.example", name: "root-1" };
    expect(authorityName({ ...name, spkiDer: key.spkiDer })).not.toEqual(
      authorityName({ ...name, spkiDer: testKey("ec-p256").spkiDer }),
    );
  });

  it("leaves out a trust domain that is too long for an organization, which the URI still holds", () => {
    const trustDomain = "a".repeat(255);
    const built = buildCa({ trustDomain });
    expect(built.root.subjectText).toMatch(/^CN=root-1, serialNumber=/);
    expect(built.root.names.map(({ value }) => value)).toEqual([`spiffe://${trustDomain}`]);
  });

  it("refuses a name of 65 characters", () => {
    expect(codeOf(() => authorityName({ trustDomain: "a", name: "a".repeat(65), spkiDer: key.spkiDer }))).toBe(
      "bad_certificate",
    );
  });
});

describe("rootTbs() and intermediateTbs()", () => {
  const built = buildCa();
  const key = testKey("ec-p256");
  const fields = {
    serial: testSerial(),
    trustDomain: "prod.example",
    name: "int-2",
    spkiDer: key.spkiDer,
    notBefore: built.at,
    notAfter: after(built.at, 60),
  };

  it("cut times to whole seconds and write GeneralizedTime from 2050 on", () => {
    const notBefore = new Date("2049-12-31T23:59:59.999Z");
    const notAfter = new Date("2050-01-01T00:00:00.999Z");
    const root = signedBy(key, rootTbs({ ...fields, notBefore, notAfter }));
    expect(root.notBefore).toEqual(new Date("2049-12-31T23:59:59Z"));
    expect(root.notAfter).toEqual(new Date("2050-01-01T00:00:00Z"));
    const text = Buffer.from(root.tbs).toString("latin1");
    expect(text).toContain("\x17\x0d491231235959Z\x18\x0f20500101000000Z");
  });

  it("take another path length", () => {
    const upper = intermediateTbs({ ...fields, issuer: built.root, pathLength: 1 });
    expect(signedBy(built.rootKey, upper).basicConstraints).toEqual({ ca: true, pathLength: 1 });
  });

  it.each([
    ["a short serial", { serial: new Uint8Array(8).fill(0x41) }],
    ["a serial with the high bit", { serial: new Uint8Array(16).fill(0x80) }],
    ["an end before the beginning", { notAfter: after(built.at, -1) }],
    ["a time that is none", { notAfter: new Date(Number.NaN) }],
  ])("refuse %s", (_, wrong) => {
    expect(codeOf(() => rootTbs({ ...fields, ...wrong }))).toBe("bad_certificate");
    expect(codeOf(() => intermediateTbs({ ...fields, ...wrong, issuer: built.root }))).toBe("bad_certificate");
  });

  it("refuse a key that is not taken", () => {
    expect(codeOf(() => rootTbs({ ...fields, spkiDer: Uint8Array.of(0x30, 0) }))).toBe("bad_key");
  });
});

describe("fillLeaf()", () => {
  const built = buildCa();
  const keyType = "ec-p256";
  const key = testKey(keyType);
  const template = leafTemplate({ issuer: built.intermediate, extendedKeyUsage: "both", publicKeyType: keyType });
  const fields = {
    serial: testSerial(),
    notBefore: built.at,
    notAfter: after(built.at, 60),
    spkiDer: key.spkiDer,
    uri: "spiffe://prod.example/svc/a",
    dnsNames: [],
    ipAddresses: [],
  };
  const filled = (own: Partial<LeafFields> = {}) =>
    signedBy(built.intermediateKey, fillLeaf(template, { ...fields, ...own }));

  it("writes the key identifier that keyIdentifier() computes", () => {
    const leaf = filled();
    expect(leaf.subjectKeyId).toBe(Buffer.from(keyIdentifier(leaf.publicKey)).toString("hex"));
  });

  it.each([1, 60, 90, 100, 127, 128, 200, 255, 256, 2048])("writes lengths right with %i octets of URI", (length) => {
    const uri = `spiffe://a/${"b".repeat(Math.max(length - 11, 1))}`;
    expect(filled({ uri }).names[0]?.value).toBe(uri);
  });

  it("writes 100 names", () => {
    const dnsNames = Array.from({ length: 99 }, (_, i) => `${"n".repeat(i + 1)}.prod.example`);
    expect(filled({ dnsNames }).names.map(({ value }) => value)).toEqual([fields.uri, ...dnsNames]);
  });

  it("writes GeneralizedTime from 2050 on", () => {
    const far = buildCa({ at: new Date("2049-12-31T23:59:30Z") });
    const { leaf } = far.issue();
    expect(leaf.notBefore).toEqual(new Date("2049-12-31T23:58:30Z"));
    expect(leaf.notAfter).toEqual(new Date("2050-01-01T00:59:30Z"));
    expect(new X509Certificate(leaf.raw).validToDate).toEqual(leaf.notAfter);
  });

  it.each([
    ["a serial of 15 octets", { serial: new Uint8Array(15).fill(0x41) }],
    ["a serial with the high bit", { serial: new Uint8Array(16).fill(0x80) }],
    ["a serial that could be shorter", { serial: new Uint8Array(16) }],
    ["a key of another kind", { spkiDer: testKey("ec-p384").spkiDer }],
    ["a key that is cut", { spkiDer: key.spkiDer.subarray(1) }],
    ["an end before the beginning", { notAfter: after(built.at, -1) }],
    ["an end behind the issuer's", { notAfter: after(built.intermediate.notAfter, 1) }],
    ["a beginning before the issuer's", { notBefore: after(built.intermediate.notBefore, -1) }],
    ["a time that is none", { notAfter: new Date(Number.NaN) }],
    ["no URI", { uri: "" }],
    ["a URI with a line break", { uri: "spiffe://a/b\n" }],
    ["a DNS name beyond ASCII", { dnsNames: ["ä.test"] }],
    ["an empty DNS name", { dnsNames: [""] }],
  ])("refuses %s", (_, wrong) => {
    expect(codeOf(() => fillLeaf(template, { ...fields, ...wrong }))).toBe("bad_certificate");
  });

  it("refuses a text that is no address", () => {
    expect(codeOf(() => fillLeaf(template, { ...fields, ipAddresses: ["10.0.0"] }))).toBe("bad_name");
  });
});

describe("lintLeaf() and lintCa()", () => {
  const built = buildCa();
  const names = (findings: readonly { readonly name: string }[]) => findings.map(({ name }) => name);

  it("name what is wrong with a leaf of another profile or issuer", () => {
    const { leaf } = built.issue({ extendedKeyUsage: "client" });
    expect(names(lintLeaf(leaf, { issuer: built.intermediate, extendedKeyUsage: "both" }))).toEqual([
      "leaf_extended_key_usage",
    ]);
    expect(names(lintLeaf(leaf, { issuer: buildCa().intermediate, extendedKeyUsage: "client" }))).toEqual([
      "issuer_is_subject_of_issuer",
      "authority_key_id_is_issuers",
    ]);
  });

  it("name what makes a CA no leaf and a leaf no CA", () => {
    expect(names(lintLeaf(built.intermediate, { issuer: built.root, extendedKeyUsage: "both" }))).toEqual([
      "leaf_no_subject_critical_names",
      "leaf_one_spiffe_id_with_path",
      "leaf_is_no_ca",
      "leaf_key_usage",
      "leaf_extended_key_usage",
    ]);
    const { leaf } = built.issue();
    expect(names(lintCa(leaf, { issuer: built.intermediate }))).toEqual([
      "ca_bit",
      "ca_path_length",
      "ca_key_usage",
      "ca_subject",
      "ca_names_its_trust_domain",
    ]);
  });
});

beforeAll(() => peculiar.cryptoProvider.set(new Crypto()));
