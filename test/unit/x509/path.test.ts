import { describe, expect, it } from "vitest";

import type { Certificate } from "../../../src/x509/certificate.ts";
import { boolean, octetString, oid, sequence, utf8String } from "../../../src/x509/der-writer.ts";
import { extension } from "../../../src/x509/extensions.ts";
import { OID } from "../../../src/x509/oid.ts";
import { maxPathCas, type PathOptions, validatePath } from "../../../src/x509/path.ts";
import { after, buildCa, type CertificateFields, certificate, leafCertificate } from "../../fakes/build-ca.ts";
import { type TestKey, testKey } from "./signers.ts";

const at = new Date("2026-11-24T12:00:00Z");
const rootKey = testKey("ec-p256");
const caKey = testKey("ec-p256");
const root = certificate({ key: rootKey, signer: rootKey, subject: "root" });
const ca = certificate({ key: caKey, signer: rootKey });
const leaf = leafCertificate({ signer: caKey });

function verdict(of: Certificate, intermediates: readonly Certificate[], options: Partial<PathOptions> = {}): string {
  const result = validatePath(of, { intermediates, roots: [root], at, purpose: "server", ...options });
  return result.ok ? "ok" : result.reason;
}

/** A chain of so many CAs below the root, and a leaf of the last one. */
function ladder(count: number, fields: (i: number) => Partial<CertificateFields> = () => ({})): Certificate[] {
  const cas: Certificate[] = [];
  let signer = rootKey;
  for (let i = 0; i < count; i++) {
    const key: TestKey = testKey("ec-p256");
    cas.push(certificate({ key, signer, subject: `ca-${i}`, issuer: i === 0 ? "root" : `ca-${i - 1}`, ...fields(i) }));
    signer = key;
  }
  return [leafCertificate({ signer, issuer: `ca-${count - 1}` }), ...cas];
}

describe("validatePath()", () => {
  it("answers the path from leaf to root", () => {
    const result = validatePath(leaf, { intermediates: [ca], roots: [root], at, purpose: "server" });
    expect(result).toEqual({ ok: true, path: [leaf, ca, root] });
  });

  it.each(["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"] as const)(
    "takes our own chains of %s",
    (keyType) => {
      const built = buildCa({ keyType });
      const { leaf: own } = built.issue();
      for (const purpose of ["server", "client", "any"] as const) {
        expect(verdict(own, [built.intermediate], { roots: [built.root], at: built.at, purpose })).toBe("ok");
      }
    },
  );

  it("does not mind order, duplicates, strangers and the root among what came along", () => {
    const [deep, ...cas] = ladder(3);
    const stranger = certificate({ key: testKey("ec-p256"), signer: testKey("ec-p256"), subject: "x", issuer: "y" });
    expect(deep && verdict(deep, [stranger, root, ...cas.reverse(), ...cas, leaf])).toBe("ok");
  });

  it("finds the right one among issuers of one name", () => {
    const twin = certificate({ key: testKey("ec-p256"), signer: rootKey });
    expect(verdict(leaf, [twin, ca])).toBe("ok");
  });

  it("compares names without case and string type (RFC 5280 7.1)", () => {
    const other = leafCertificate({ signer: caKey, issuer: "CA" });
    expect(verdict(other, [ca])).toBe("ok");
  });

  it.each([
    ["is inside at notBefore", 0, "ok"],
    ["is inside at notAfter", 60, "ok"],
    ["is before a second earlier", -1, "not_yet_valid"],
    ["is over a second later", 61, "expired"],
  ])("%s of the leaf (RFC 5280 4.1.2.5)", (_, seconds, expected) => {
    const short = leafCertificate({ signer: caKey, notBefore: at, notAfter: after(at, 60) });
    expect(verdict(short, [ca], { at: after(at, seconds) })).toBe(expected);
  });

  it("judges the time of intermediates and of the root", () => {
    const early = { notAfter: after(at, -1) };
    expect(verdict(leaf, [certificate({ key: caKey, signer: rootKey, ...early })])).toBe("expired");
    const old = certificate({ key: rootKey, signer: rootKey, subject: "root", ...early });
    expect(verdict(leaf, [ca], { roots: [old] })).toBe("expired");
    expect(verdict(leaf, [ca], { roots: [old, root] })).toBe("ok");
  });

  it("says unknown_issuer, not expired, of an expired chain of a foreign CA", () => {
    const foreign = testKey("ec-p256");
    const theirs = certificate({ key: foreign, signer: foreign, subject: "theirs", issuer: "theirs" });
    const expired = leafCertificate({ signer: foreign, issuer: "theirs", notAfter: after(at, -1) });
    expect(verdict(expired, [theirs])).toBe("unknown_issuer");
  });

  it("says bad_signature when a foreign CA uses the name of our root", () => {
    const foreign = testKey("ec-p256");
    const theirs = certificate({ key: foreign, signer: foreign, subject: "root" });
    const fake = leafCertificate({ signer: foreign, issuer: "root" });
    expect(verdict(fake, [theirs])).toBe("bad_signature");
  });

  it("trusts nothing without roots and takes no self-signed leaf", () => {
    expect(verdict(leaf, [ca], { roots: [] })).toBe("unknown_issuer");
    const key = testKey("ec-p256");
    const own = leafCertificate({ key, signer: key, subject: "me", issuer: "me" });
    expect(verdict(own, [own])).toBe("unknown_issuer");
  });

  it.each<[string, Partial<CertificateFields>, string]>([
    ["without the CA bit", { ca: false }, "not_a_ca"],
    ["without certificate signing", { keyUsage: ["cRLSign"] }, "not_a_ca"],
    ["for clients only", { extendedKeyUsage: [OID.clientAuth] }, "wrong_purpose"],
    ["for any purpose", { extendedKeyUsage: [OID.anyExtendedKeyUsage] }, "ok"],
    ["without key usage", { keyUsage: undefined }, "ok"],
  ])("judges an intermediate %s (RFC 5280 6.1.4)", (_, fields, expected) => {
    expect(verdict(leaf, [certificate({ key: caKey, signer: rootKey, ...fields })])).toBe(expected);
  });

  it("judges a root like other CAs", () => {
    const noCa = certificate({ key: rootKey, signer: rootKey, subject: "root", ca: false });
    expect(verdict(leaf, [ca], { roots: [noCa] })).toBe("not_a_ca");
  });

  it.each([
    ["server", [OID.clientAuth], "wrong_purpose"],
    ["client", [OID.serverAuth], "wrong_purpose"],
    ["any", [OID.codeSigning], "ok"],
    ["server", [OID.codeSigning], "wrong_purpose"],
    ["server", undefined, "ok"],
  ] as const)("as %s judges a leaf with extended key usage %j", (purpose, extendedKeyUsage, expected) => {
    expect(verdict(leafCertificate({ signer: caKey, extendedKeyUsage }), [ca], { purpose })).toBe(expected);
  });

  it("counts CAs below a path length, and not those that issue themselves (RFC 5280 6.1.4 (l))", () => {
    const limit = (length: number) => (i: number) => (i === 0 ? { pathLength: length } : {});
    const judged = ([deep, ...cas]: Certificate[]) => deep && verdict(deep, cas);
    expect(judged(ladder(2, limit(0)))).toBe("not_a_ca");
    expect(judged(ladder(2, limit(1)))).toBe("ok");
    expect(judged(ladder(3, limit(1)))).toBe("not_a_ca");
    const next = testKey("ec-p256");
    const upper = certificate({ key: caKey, signer: rootKey, pathLength: 0 });
    const rollOver = certificate({ key: next, signer: caKey, issuer: "ca" });
    expect(verdict(leafCertificate({ signer: next }), [upper, rollOver])).toBe("ok");
  });

  it("holds the root's own path length", () => {
    const tight = certificate({ key: rootKey, signer: rootKey, subject: "root", pathLength: 0 });
    expect(verdict(leaf, [ca], { roots: [tight] })).toBe("not_a_ca");
  });

  it("refuses unknown critical extensions anywhere (RFC 5280 4.2)", () => {
    const unknown = [extension("1.3.6.1.4.1.55555.1", true, utf8String("x"))];
    expect(verdict(leafCertificate({ signer: caKey, extensions: unknown }), [ca])).toBe("unknown_extension");
    const strange = certificate({ key: caKey, signer: rootKey, extensions: unknown });
    expect(verdict(leaf, [strange])).toBe("unknown_extension");
    const harmless = [sequence(oid("1.3.6.1.4.1.55555.1"), octetString(boolean(true)))];
    expect(verdict(leafCertificate({ signer: caKey, extensions: harmless }), [ca])).toBe("ok");
  });

  it("goes on to another path when the first does not hold", () => {
    const expired = certificate({ key: caKey, signer: rootKey, notAfter: after(at, -1) });
    const noCa = certificate({ key: caKey, signer: rootKey, ca: false });
    expect(verdict(leaf, [expired, noCa, ca])).toBe("ok");
  });

  it("goes over a cross-certificate, and past an expired one", () => {
    const newKey = testKey("ec-p256");
    const newRoot = certificate({ key: newKey, signer: newKey, subject: "new", issuer: "new" });
    const cross = certificate({ key: newKey, signer: rootKey, subject: "new" });
    const old = certificate({ key: newKey, signer: rootKey, subject: "new", notAfter: after(at, -1) });
    const below = certificate({ key: caKey, signer: newKey, issuer: "new" });
    expect(verdict(leaf, [below, cross])).toBe("ok");
    expect(verdict(leaf, [below, old])).toBe("expired");
    expect(verdict(leaf, [below, old, cross])).toBe("ok");
    expect(verdict(leaf, [below, old], { roots: [root, newRoot] })).toBe("ok");
  });

  it("ends in a loop of CAs that sign each other, and finds the way out of it", () => {
    const [a, b] = [testKey("ec-p256"), testKey("ec-p256")];
    const aByB = certificate({ key: a, signer: b, subject: "a", issuer: "b" });
    const bByA = certificate({ key: b, signer: a, subject: "b", issuer: "a" });
    const below = leafCertificate({ signer: a, issuer: "a" });
    expect(verdict(below, [aByB, bByA])).toBe("unknown_issuer");
    const out = certificate({ key: b, signer: rootKey, subject: "b" });
    expect(verdict(below, [aByB, bByA, out])).toBe("ok");
  });

  it(`takes ${maxPathCas} CAs in a row and no more`, () => {
    const [high, ...some] = ladder(maxPathCas - 1);
    expect(high && verdict(high, some)).toBe("ok");
    const [higher, ...many] = ladder(maxPathCas);
    expect(higher && verdict(higher, many)).toBe("too_complex");
  });

  it("stops at its bound of signature checks", () => {
    const twins = Array.from({ length: 20 }, () => certificate({ key: testKey("ec-p256"), signer: rootKey }));
    expect(verdict(leaf, twins, { maxSignatureChecks: 10 })).toBe("too_complex");
    expect(verdict(leaf, [...twins, ca], { maxSignatureChecks: 30 })).toBe("ok");
  });

  it("does bounded work in a mesh of CAs of one name", () => {
    const keys = Array.from({ length: 6 }, () => testKey("ec-p256"));
    const mesh = keys.flatMap((key) =>
      keys.map((signer) => certificate({ key, signer, subject: "mesh", issuer: "mesh" })),
    );
    const below = keys[0] && leafCertificate({ signer: keys[0], issuer: "mesh" });
    expect(below && verdict(below, mesh)).toBe("too_complex");
  });

  it("asks the caller's rule about each path that holds", () => {
    const twin = certificate({ key: caKey, signer: rootKey, subject: "ca" });
    const seen: number[] = [];
    const rule = (path: readonly Certificate[]) => {
      seen.push(path.length);
      return path.includes(ca) ? "not this one" : undefined;
    };
    expect(verdict(leaf, [ca], { rule })).toBe("rule");
    expect(verdict(leaf, [ca, twin], { rule })).toBe("ok");
    expect(seen).toEqual([3, 3, 3]);
  });

  it("validates an intermediate as the end of a path, as an import does", () => {
    expect(verdict(ca, [], { purpose: "any" })).toBe("ok");
  });
});
