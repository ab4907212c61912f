import { describe, expect, it } from "vitest";

import { parseSpiffeId } from "../../../src/spiffe/id.ts";
import { judgeSvid, type SvidJudgement } from "../../../src/spiffe/svid.ts";
import { encode } from "../../../src/x509/der-writer.ts";
import { uriName } from "../../../src/x509/general-name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { after, buildCa, type CertificateFields, certificate, leafCertificate } from "../../fakes/build-ca.ts";
import { testKey } from "../x509/signers.ts";

const built = buildCa();
const issued = built.issue();
const id = parseSpiffeId("spiffe://prod.example/svc/a");

function judge(chainDer: readonly Uint8Array[], judgement: Partial<SvidJudgement> = {}): string {
  const verdict = judgeSvid(chainDer, { bundle: built.bundle, at: built.at, purpose: "client", ...judgement });
  if (!verdict.ok) expect(verdict.detail).toMatch(/^[a-z].*[^.]$/);
  return verdict.ok ? verdict.id : verdict.reason;
}

describe("judgeSvid()", () => {
  it("answers id, leaf and path", () => {
    const verdict = judgeSvid(issued.chainDer, { bundle: built.bundle, at: built.at, purpose: "server" });
    if (!verdict.ok) throw new Error(verdict.detail);
    expect(verdict.id).toBe(id);
    expect(verdict.leaf.raw).toEqual(issued.leaf.raw);
    expect(verdict.path.map(({ serialHex }) => serialHex)).toEqual(
      [issued.leaf, built.intermediate, built.root].map(({ serialHex }) => serialHex),
    );
  });

  it("refuses a peer without certificate", () => {
    expect(judge([])).toBe("no_certificate");
  });

  it("refuses what cannot be read, in the leaf and behind it", () => {
    expect(judge([Uint8Array.of(1, 2, 3)])).toBe("malformed");
    expect(judge([...issued.chainDer, Uint8Array.of(0x30, 0)])).toBe("malformed");
  });

  it("refuses 33 certificates without reading them", () => {
    expect(judge(new Array<Uint8Array>(33).fill(issued.leaf.raw))).toBe("bad_chain");
  });

  it("refuses every foreign CA as issuer_unknown: another domain, our names, expired or not", () => {
    const foreign = buildCa();
    expect(judge(foreign.issue().chainDer)).toBe("issuer_unknown");
    expect(judge([...foreign.issue().chainDer, foreign.root.raw])).toBe("issuer_unknown");
    expect(judge(foreign.issue({ notAfter: after(built.at, -1) }).chainDer)).toBe("issuer_unknown");
    expect(judge(buildCa({ trustDomain: "other.example" }).issue().chainDer)).toBe("issuer_unknown");
    const key = testKey("ec-p256");
    const self = leafCertificate({ key, signer: key, subject: "int-1", issuer: "int-1" });
    expect(judge([self.raw])).toBe("issuer_unknown");
  });

  it("refuses a leaf without its intermediate", () => {
    expect(judge([issued.leaf.raw])).toBe("issuer_unknown");
  });

  it("trusts nothing when the bundle is empty", () => {
    expect(judge(issued.chainDer, { bundle: { ...built.bundle, roots: [] } })).toBe("issuer_unknown");
  });

  it("asks for the bundle of the leaf's own trust domain and for no other", () => {
    const other = buildCa({ trustDomain: "other.example" });
    const asked: string[] = [];
    const bundle = (name: string) => {
      asked.push(name);
      return name === "prod.example" ? built.bundle : undefined;
    };
    expect(judge(issued.chainDer, { bundle })).toBe(id);
    expect(judge(other.issue().chainDer, { bundle })).toBe("issuer_unknown");
    expect(judge(issued.chainDer, { bundle: () => other.bundle })).toBe("issuer_unknown");
    expect(asked).toEqual(["prod.example", "other.example"]);
  });

  it("does not let an id of another trust domain in under our roots", () => {
    const stray = built.issue({ uri: "spiffe://prod.example.evil.test/svc/a" });
    expect(judge(stray.chainDer)).toBe("issuer_unknown");
  });

  it("judges times, both ends inside", () => {
    const { chainDer, leaf } = issued;
    expect(judge(chainDer, { at: leaf.notAfter })).toBe(id);
    expect(judge(chainDer, { at: after(leaf.notAfter, 1) })).toBe("expired");
    expect(judge(chainDer, { at: leaf.notBefore })).toBe(id);
    expect(judge(chainDer, { at: after(leaf.notBefore, -1) })).toBe("not_yet_valid");
  });

  it("judges the purpose of the leaf", () => {
    const agent = built.issue({ extendedKeyUsage: "client" });
    expect(judge(agent.chainDer, { purpose: "client" })).toBe(id);
    expect(judge(agent.chainDer, { purpose: "server" })).toBe("bad_chain");
    expect(judge(agent.chainDer, { purpose: "any" })).toBe(id);
  });

  const denied = (authorityKeyId: string | undefined, serialHex: string): Partial<SvidJudgement> => ({
    denied: { sequence: 1n, denied: [{ authorityKeyId: authorityKeyId ?? "", serialHex }] },
  });

  it("refuses a chain with any certificate on the deny list", () => {
    const { leaf, chainDer } = issued;
    const { intermediate, root } = built;
    expect(judge(chainDer, { denied: { sequence: 1n, denied: [] } })).toBe(id);
    expect(judge(chainDer, denied(leaf.authorityKeyId, leaf.serialHex))).toBe("revoked");
    expect(judge(chainDer, denied(intermediate.authorityKeyId, intermediate.serialHex))).toBe("revoked");
    expect(judge(chainDer, denied(intermediate.subjectKeyId, "*"))).toBe("revoked");
    expect(judge(chainDer, denied(root.subjectKeyId, "*"))).toBe("revoked");
    expect(judge(chainDer, denied(root.subjectKeyId, leaf.serialHex))).toBe(id);
  });

  it("says expired of a certificate that is revoked and over", () => {
    const { leaf, chainDer } = issued;
    const judgement = { ...denied(leaf.authorityKeyId, leaf.serialHex), at: after(leaf.notAfter, 1) };
    expect(judge(chainDer, judgement)).toBe("expired");
  });

  it("asks the authorizer last", () => {
    const asked: string[] = [];
    const allow = (who: string) => asked.push(who) > 1;
    expect(judge(issued.chainDer, { allow })).toBe("id_not_allowed");
    expect(judge(issued.chainDer, { allow })).toBe(id);
    expect(judge(buildCa().issue().chainDer, { allow })).toBe("issuer_unknown");
    expect(asked).toEqual([id, id]);
  });

  const caKey = testKey("ec-p256");
  const ca = certificate({ key: caKey, signer: built.rootKey, names: [uriName("spiffe://prod.example")] });
  const rootOfCa = certificate({ key: built.rootKey, signer: built.rootKey, subject: "root" });
  const bundle = { ...built.bundle, roots: [rootOfCa] };
  const dns = encode(0x82, new TextEncoder().encode("a.test"));

  it.each<[string, Partial<CertificateFields>, string]>([
    ["as it must be", {}, id],
    ["with a subject and names that are not critical", { subject: "a" }, id],
    ["with DNS names beside", { names: [dns, uriName(id)] }, id],
    ["without extended key usage", { extendedKeyUsage: undefined }, id],
    ["without a URI", { names: [dns] }, "not_an_svid"],
    ["without names, the id in its subject", { names: [], subject: id }, "not_an_svid"],
    ["with two URIs", { names: [uriName(id), uriName(`${id}b`)] }, "not_an_svid"],
    ["with a second URI of another scheme", { names: [uriName(id), uriName("https://a.test")] }, "not_an_svid"],
    ["with the id of a trust domain", { names: [uriName("spiffe://prod.example")] }, "not_an_svid"],
    ["with an escaped id", { names: [uriName("spiffe://prod.example/svc/%61")] }, "not_an_svid"],
    ["that is a CA", { ca: true }, "not_an_svid"],
    ["without key usage", { keyUsage: undefined }, "not_an_svid"],
    ["that may sign certificates", { keyUsage: ["digitalSignature", "keyCertSign"] }, "not_an_svid"],
    ["that may sign CRLs", { keyUsage: ["digitalSignature", "cRLSign"] }, "not_an_svid"],
    ["that may not sign", { keyUsage: ["keyEncipherment"] }, "bad_chain"],
    ["for code signing", { extendedKeyUsage: [OID.codeSigning] }, "bad_chain"],
  ])("judges a leaf %s (X509-SVID 2 to 5)", (_, fields, expected) => {
    const leaf = leafCertificate({ signer: caKey, ...fields });
    expect(judge([leaf.raw, ca.raw], { bundle })).toBe(expected);
  });

  it("judges the key usage of a leaf for which no purpose is asked", () => {
    const leaf = leafCertificate({ signer: caKey, keyUsage: ["keyEncipherment"] });
    expect(judge([leaf.raw, ca.raw], { bundle, purpose: "any" })).toBe("not_an_svid");
  });

  it.each<[string, Partial<CertificateFields>]>([
    ["without key usage", { keyUsage: undefined }],
    ["with an id that has a path", { names: [uriName("spiffe://prod.example/ca")] }],
  ])("refuses a signing certificate %s, and goes past it (X509-SVID 3.2, 4.3)", (_, fields) => {
    const bad = certificate({ key: caKey, signer: built.rootKey, ...fields });
    const leaf = leafCertificate({ signer: caKey });
    expect(judge([leaf.raw, bad.raw], { bundle })).toBe("bad_chain");
    expect(judge([leaf.raw, bad.raw, ca.raw], { bundle })).toBe(id);
  });
});
