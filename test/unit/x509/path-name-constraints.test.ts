import { describe, expect, it } from "vitest";

import type { Certificate } from "../../../src/x509/certificate.ts";
import { ascii, encode, explicit, integer, octetString, sequence } from "../../../src/x509/der-writer.ts";
import { extension } from "../../../src/x509/extensions.ts";
import { writeName } from "../../../src/x509/name.ts";
import { parseNameConstraints } from "../../../src/x509/name-constraints.ts";
import { OID } from "../../../src/x509/oid.ts";
import { validatePath } from "../../../src/x509/path.ts";
import { type CertificateFields, certificate, leafCertificate } from "../../fakes/build-ca.ts";
import { codeOf } from "./expectations.ts";
import { testKey } from "./signers.ts";

const at = new Date("2026-11-24T12:00:00Z");
const rootKey = testKey("ec-p256");
const caKey = testKey("ec-p256");
const root = certificate({ key: rootKey, signer: rootKey, subject: "root" });

const email = (text: string) => encode(0x81, ascii(text));
const dns = (text: string) => encode(0x82, ascii(text));
const uri = (text: string) => encode(0x86, ascii(text));
const ip = (...octets: number[]) => encode(0x87, Uint8Array.from(octets));
const other = encode(0xa0, encode(0x06, Uint8Array.of(0x2a, 0x03)), explicit(0, encode(0x0c, ascii("x"))));
const directory = (...names: string[]) =>
  encode(0xa4, writeName(names.map((value) => ({ oid: OID.commonName, value }))));

function constraints(permitted: readonly Uint8Array[], excluded: readonly Uint8Array[] = []): Uint8Array {
  const trees = (tag: number, names: readonly Uint8Array[]) =>
    names.length === 0 ? [] : [encode(tag, ...names.map((name) => sequence(name)))];
  return sequence(...trees(0xa0, permitted), ...trees(0xa1, excluded));
}

function judge(value: Uint8Array, leaf: Partial<CertificateFields>): string {
  const extensions = [extension(OID.nameConstraints, true, value)];
  const ca = certificate({ key: caKey, signer: rootKey, extensions });
  return validated(leafCertificate({ signer: caKey, ...leaf }), [ca]);
}

function validated(leaf: Certificate, intermediates: readonly Certificate[]): string {
  const verdict = validatePath(leaf, { intermediates, roots: [root], at, purpose: "server" });
  return verdict.ok ? "ok" : verdict.reason;
}

const id = uri("spiffe://prod.example/svc/a");

describe("validatePath() under name constraints (RFC 5280 4.2.1.10)", () => {
  it.each<[string, readonly Uint8Array[], readonly Uint8Array[], readonly Uint8Array[], string]>([
    ["the host of a URI", [uri("prod.example")], [], [id], "ok"],
    ["the host in capitals", [uri("PROD.example")], [], [id], "ok"],
    ["another host", [uri("stage.example")], [], [id], "name_not_permitted"],
    ["hosts below", [uri(".example")], [], [id], "ok"],
    ["not the host itself with a leading dot", [uri(".prod.example")], [], [id], "name_not_permitted"],
    ["not a host below without one", [uri("example")], [], [id], "name_not_permitted"],
    ["not the tail of a label", [uri(".d.example")], [], [id], "name_not_permitted"],
    ["an excluded host", [], [uri("prod.example")], [id], "name_not_permitted"],
    ["excluded before permitted", [uri("prod.example")], [uri(".example")], [id], "name_not_permitted"],
    ["another excluded host", [], [uri("evil.test")], [id], "ok"],
    ["a URI without host", [uri("prod.example")], [], [uri("urn:a")], "name_not_permitted"],
    [
      "a URI without host, also when only something is excluded",
      [],
      [uri("x.test")],
      [uri("urn:a")],
      "name_not_permitted",
    ],
    ["a URI with an address", [], [uri("x.test")], [uri("spiffe://10.0.0.1/a")], "name_not_permitted"],
    ["port and user of a URI", [uri("prod.example")], [], [uri("https://u@prod.example:443/")], "ok"],
    ["a DNS name", [dns("prod.example")], [], [id, dns("prod.example")], "ok"],
    ["a DNS name below", [dns("prod.example")], [], [id, dns("a.PROD.example")], "ok"],
    ["every DNS name", [dns("")], [], [id, dns("a.test")], "ok"],
    ["no DNS name at all", [], [dns("")], [id, dns("a.test")], "name_not_permitted"],
    ["a DNS name outside", [dns("prod.example")], [], [id, dns("aprod.example")], "name_not_permitted"],
    ["no form but its own", [dns("prod.example")], [], [id], "ok"],
    ["a wildcard inside", [dns("prod.example")], [], [id, dns("*.prod.example")], "ok"],
    [
      "a wildcard over an excluded name",
      [],
      [dns("a.prod.example")],
      [id, dns("*.prod.example")],
      "name_not_permitted",
    ],
    ["a wildcard over another name", [], [dns("a.test")], [id, dns("*.prod.example")], "ok"],
    ["an address inside", [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], [id, ip(10, 1, 2, 3)], "ok"],
    ["an address outside", [ip(10, 0, 0, 0, 255, 0, 0, 0)], [], [id, ip(11, 1, 2, 3)], "name_not_permitted"],
    [
      "an address of the other version",
      [ip(10, 0, 0, 0, 255, 0, 0, 0)],
      [],
      [id, ip(...new Array<number>(16).fill(0))],
      "name_not_permitted",
    ],
    ["an excluded address", [], [ip(10, 0, 0, 0, 255, 0, 0, 0)], [id, ip(10, 1, 2, 3)], "name_not_permitted"],
    ["a mail host", [email("prod.example")], [], [id, email("jo@Prod.example")], "ok"],
    ["a mail host below", [email(".example")], [], [id, email("jo@prod.example")], "ok"],
    ["one mail address", [email("jo@prod.example")], [], [id, email("jo@PROD.example")], "ok"],
    ["another local part", [email("jo@prod.example")], [], [id, email("Jo@prod.example")], "name_not_permitted"],
    ["a form that is not understood", [other], [], [id, other], "name_not_permitted"],
    ["a form that is not understood and not there", [other], [], [id], "ok"],
  ])("decides by %s", (_, permitted, excluded, names, expected) => {
    expect(judge(constraints(permitted, excluded), { names })).toBe(expected);
  });

  it("compares the subject with directory names, folded", () => {
    const inside = { subject: "Team", names: [id] };
    expect(judge(constraints([directory("team")]), inside)).toBe("ok");
    expect(judge(constraints([directory("other")]), inside)).toBe("name_not_permitted");
    expect(judge(constraints([], [directory("TEAM")]), inside)).toBe("name_not_permitted");
    expect(judge(constraints([directory("team", "deeper")]), inside)).toBe("name_not_permitted");
    expect(judge(constraints([directory("team")]), { names: [id, directory("other")] })).toBe("name_not_permitted");
    expect(judge(constraints([directory("team")]), { names: [id] })).toBe("ok");
  });

  it("adds up over all CAs above, the root among them, and does not bind a CA that issues itself", () => {
    const only = (name: string) => [extension(OID.nameConstraints, true, constraints([uri(name)]))];
    const [upperKey, lowerKey] = [testKey("ec-p256"), testKey("ec-p256")];
    const upper = certificate({ key: upperKey, signer: rootKey, subject: "upper", extensions: only("prod.example") });
    const lower = certificate({
      key: lowerKey,
      signer: upperKey,
      subject: "lower",
      issuer: "upper",
      extensions: only(".example"),
    });
    const leaf = (name: string) => leafCertificate({ signer: lowerKey, issuer: "lower", names: [uri(name)] });
    expect(validated(leaf("spiffe://prod.example/a"), [upper, lower])).toBe("ok");
    expect(validated(leaf("spiffe://stage.example/a"), [upper, lower])).toBe("name_not_permitted");
    const named = { key: testKey("ec-p256"), signer: upperKey, names: [uri("spiffe://stage.example")] };
    const below = (issuer: string) => leafCertificate({ signer: named.key, issuer });
    expect(validated(below("x"), [upper, certificate({ ...named, subject: "x", issuer: "upper" })])).toBe(
      "name_not_permitted",
    );
    expect(validated(below("upper"), [upper, certificate({ ...named, subject: "upper", issuer: "upper" })])).toBe("ok");
  });
});

describe("parseNameConstraints()", () => {
  const tree = (...parts: Uint8Array[]) => sequence(encode(0xa0, sequence(...parts)));
  it.each<[string, Uint8Array]>([
    ["nothing in it", sequence()],
    ["an empty list", sequence(encode(0xa0))],
    ["the lists in the wrong order", sequence(encode(0xa1, sequence(dns("a"))), encode(0xa0, sequence(dns("a"))))],
    ["something else in it", sequence(encode(0xa2, sequence(dns("a"))))],
    ["a subtree without a name", tree()],
    ["a minimum", tree(dns("a"), encode(0x80, Uint8Array.of(1)))],
    ["a maximum", tree(dns("a"), encode(0x81, Uint8Array.of(1)))],
    ["a whole URI", tree(uri("spiffe://prod.example"))],
    ["an empty URI host", tree(uri(""))],
    ["a DNS name with a dot at its end", tree(dns("a.test."))],
    ["a wildcard", tree(dns("*.test"))],
    ["a mail address without local part", tree(email("@a.test"))],
    ["an address range of 4 octets", tree(ip(10, 0, 0, 0))],
    ["a mask with a gap", tree(ip(10, 0, 0, 0, 255, 0, 255, 0))],
    ["a directory name that is no name", tree(encode(0xa4, integer(1)))],
    ["no SEQUENCE", octetString(Uint8Array.of(1))],
    ["101 subtrees", constraints(new Array<Uint8Array>(101).fill(dns("a")))],
  ])("refuses %s", (_, value) => {
    expect(["bad_extension", "bad_der"]).toContain(codeOf(() => parseNameConstraints(value)));
  });
});
