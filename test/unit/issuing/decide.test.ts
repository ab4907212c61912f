import fc from "fast-check";
import { expect, test } from "vitest";
import { decide, explain } from "../../../src/issuing/policy/decide.ts";
import type { Facts } from "../../../src/issuing/policy/facts.ts";
import { type RuleName, rules } from "../../../src/issuing/policy/rules.ts";
import { parseSpiffeId } from "../../../src/spiffe/id.ts";
import { type ParsedCsr, parseCsr } from "../../../src/x509/csr.ts";
import { sequence } from "../../../src/x509/der-writer.ts";
import {
  basicConstraintsExtension,
  extendedKeyUsageExtension,
  keyUsageExtension,
  subjectAltNameExtension,
} from "../../../src/x509/extensions.ts";
import { OID } from "../../../src/x509/oid.ts";
import { after, buildCa } from "../../fakes/build-ca.ts";
import { extensionRequest, requestOf, unknownExtension } from "../x509/build-request.ts";
import { testKey } from "../x509/signers.ts";
import { agentOne, authority, csrFor, csrWith, entryOf, factsOf, nodeOf, now, profile, svcA } from "./facts.ts";

const id = parseSpiffeId;
const short = buildCa({ intermediateSeconds: 1000 }).intermediate;

interface Case {
  readonly what: string;
  readonly facts?: Partial<Facts>;
  readonly csr?: ParsedCsr;
  readonly denied: { readonly rule: RuleName; readonly value: string; readonly limit?: string; readonly cure?: string };
}

const agentCaller = (name: string): Facts["caller"] => ({
  kind: "agent",
  id: id(`spiffe://prod.example/agent/${name}`),
  serialHex: "",
  authorityKeyId: "",
});

const spaces = {
  workload: "spiffe://prod.example with anything but /signet/*, /agent/*, /device/*",
  agent: "spiffe://prod.example with /agent/NAME",
  server: "spiffe://prod.example with /signet/server",
};

const outOfSpace = (path: string, name: keyof typeof spaces = "workload"): Case => ({
  what: `the profile ${name} for ${path}`,
  facts: { id: id(path), profile: profile(name), entry: entryOf({ spiffeId: path }) },
  denied: { rule: "name_space", value: path, limit: spaces[name] },
});

const cases: readonly Case[] = [
  outOfSpace("spiffe://prod.example/signet/server"),
  outOfSpace("spiffe://prod.example/signet/admin/alice"),
  outOfSpace("spiffe://prod.example/signet/anything"),
  outOfSpace("spiffe://prod.example/agent/two"),
  outOfSpace("spiffe://prod.example/agent/x509pop/ab"),
  outOfSpace("spiffe://prod.example/agent"),
  outOfSpace("spiffe://prod.example/device/printer/77"),
  outOfSpace("spiffe://prod.example/device"),
  outOfSpace("spiffe://other.example/svc/a"),
  outOfSpace("spiffe://prod.example.evil/svc/a"),
  outOfSpace("spiffe://prod.example/svc/a", "agent"),
  outOfSpace("spiffe://prod.example/signet/server", "agent"),
  outOfSpace("spiffe://prod.example/agent/x509pop", "agent"),
  outOfSpace("spiffe://other.example/agent/one", "agent"),
  outOfSpace("spiffe://prod.example/agent/one", "server"),
  outOfSpace("spiffe://other.example/signet/server", "server"),
  {
    what: "a workload that asks by itself",
    facts: { caller: { kind: "workload", id: svcA, serialHex: "", authorityKeyId: "" } },
    denied: { rule: "not_parent", value: svcA, limit: "an agent's certificate" },
  },
  {
    what: "nobody",
    facts: { caller: { kind: "anonymous" } },
    denied: { rule: "not_parent", value: "anonymous", limit: "an agent's certificate" },
  },
  {
    what: "an agent that asks for another agent's entry",
    facts: { caller: agentCaller("two"), entry: undefined, entryOfOther: entryOf().value },
    denied: {
      rule: "not_parent",
      value: "spiffe://prod.example/agent/two",
      limit: agentOne,
      cure: "signet entry create --id /svc/a --agent two",
    },
  },
  {
    what: "an agent that asks for another agent's own certificate",
    facts: { profile: profile("agent"), id: id("spiffe://prod.example/agent/two"), entry: undefined },
    denied: { rule: "not_parent", value: agentOne, limit: "spiffe://prod.example/agent/two" },
  },
  {
    what: "a node that proved to be another",
    facts: {
      profile: profile("agent"),
      caller: { kind: "attested", by: "recover", id: id("spiffe://prod.example/agent/two") },
      id: agentOne,
      entry: undefined,
    },
    denied: { rule: "not_parent", value: "spiffe://prod.example/agent/two", limit: agentOne },
  },
  {
    what: "an agent that asks for the server's certificate",
    facts: { profile: profile("server"), id: id("spiffe://prod.example/signet/server"), entry: undefined },
    denied: { rule: "not_parent", value: agentOne, limit: "spiffe://prod.example/signet/server" },
  },
  {
    what: "a node that proved who it is and asks for an identity",
    facts: { caller: { kind: "attested", by: "join_string", id: agentOne } },
    denied: { rule: "not_parent", value: agentOne, limit: "an agent's certificate" },
  },
  {
    what: "no entry",
    facts: { entry: undefined },
    denied: { rule: "no_entry", value: svcA, cure: "signet entry create --id /svc/a --agent one" },
  },
  {
    what: "a node without a record",
    facts: { node: undefined },
    denied: { rule: "node_unknown", value: agentOne, cure: "signet token create --agent one" },
  },
  {
    what: "an evicted node",
    facts: { node: nodeOf({ state: "evicted" }) },
    denied: { rule: "node_unknown", value: agentOne, cure: "signet token create --agent one" },
  },
  {
    what: "a banned node",
    facts: { node: nodeOf({ state: "banned" }) },
    denied: { rule: "node_banned", value: agentOne },
  },
  {
    what: "an agent whose certificate was revoked after it was let in",
    facts: { node: nodeOf({ revoked: [{ serialHex: "55".repeat(16), notAfter: 0 }] }) },
    denied: { rule: "certificate_revoked", value: "55".repeat(16) },
  },
  {
    what: "a device that is not registered",
    facts: {
      profile: profile("device"),
      id: id("spiffe://prod.example/device/sensor/7"),
      caller: { kind: "attested", id: id("spiffe://prod.example/device/sensor/7"), by: "x509pop" },
      entry: undefined,
      node: undefined,
    },
    denied: {
      rule: "device_unknown",
      value: "spiffe://prod.example/device/sensor/7",
      cure: "signet device add --from CSV",
    },
  },
  {
    what: "an agent that asks for a device's certificate",
    facts: { profile: profile("device"), id: id("spiffe://prod.example/device/sensor/7"), entry: undefined },
    denied: { rule: "not_parent", value: agentOne, limit: "spiffe://prod.example/device/sensor/7" },
  },
  {
    what: "a CSR for a CA",
    csr: csrWith(basicConstraintsExtension({ ca: true })),
    denied: { rule: "csr_asks_more", value: "a CA certificate", limit: "a leaf" },
  },
  {
    what: "a CSR for certificate signing",
    csr: csrWith(keyUsageExtension(["digitalSignature", "keyCertSign"])),
    denied: { rule: "csr_asks_more", value: "the key usage keyCertSign", limit: "digitalSignature" },
  },
  {
    what: "a CSR for keyEncipherment on an EC key",
    csr: csrWith(keyUsageExtension(["keyEncipherment"])),
    denied: { rule: "csr_asks_more", value: "the key usage keyEncipherment", limit: "digitalSignature" },
  },
  {
    what: "a CSR for code signing",
    csr: csrWith(extendedKeyUsageExtension(["1.3.6.1.5.5.7.3.3"])),
    denied: {
      rule: "csr_asks_more",
      value: "the extended key usage 1.3.6.1.5.5.7.3.3",
      limit: "serverAuth, clientAuth",
    },
  },
  {
    what: "an agent's CSR for a server's purpose",
    facts: { profile: profile("agent"), id: agentOne, entry: undefined },
    csr: csrWith(extendedKeyUsageExtension([OID.serverAuth])),
    denied: { rule: "csr_asks_more", value: `the extended key usage ${OID.serverAuth}`, limit: "clientAuth" },
  },
  {
    what: "a CSR with an unknown critical extension",
    csr: csrWith(unknownExtension(5, true)),
    denied: {
      rule: "csr_asks_more",
      value: "the critical extension 1.3.6.1.4.1.99999.5",
      limit: "none that is not known",
    },
  },
  {
    what: "a CSR with an e-mail address",
    csr: csrWith(subjectAltNameExtension([emailName("a@prod.example")], true)),
    denied: { rule: "name_not_allowed", value: "email", limit: "uri, dns, ip" },
  },
  {
    what: "a CSR with a directory name",
    csr: csrWith(subjectAltNameExtension([Uint8Array.from([0xa4, 2, ...sequence()])], true)),
    denied: { rule: "name_not_allowed", value: "directory", limit: "uri, dns, ip" },
  },
  {
    what: "a CSR with another URI",
    csr: csrFor({ uris: ["spiffe://prod.example/svc/b"] }),
    denied: { rule: "id_not_in_entry", value: "spiffe://prod.example/svc/b", limit: svcA },
  },
  {
    what: "a CSR with a second URI",
    csr: csrFor({ uris: [svcA, "https://prod.example/"] }),
    denied: { rule: "id_not_in_entry", value: "https://prod.example/", limit: svcA },
  },
  {
    what: "a CSR with a DNS name beyond the entry",
    csr: csrFor({ dns: ["a.prod.example", "b.prod.example"] }),
    denied: {
      rule: "dns_not_in_entry",
      value: "b.prod.example",
      limit: "a.prod.example",
      cure: "signet entry update e-1 --add-dns b.prod.example",
    },
  },
  {
    what: "a CSR with a wildcard beyond the entry",
    csr: csrFor({ dns: ["*.prod.example"] }),
    denied: {
      rule: "dns_not_in_entry",
      value: "*.prod.example",
      limit: "a.prod.example",
      cure: "signet entry update e-1 --add-dns *.prod.example",
    },
  },
  {
    what: "a CSR with an address beyond the entry",
    csr: csrFor({ ips: ["192.0.2.8"] }),
    denied: {
      rule: "ip_not_in_entry",
      value: "192.0.2.8",
      limit: "192.0.2.7",
      cure: "signet entry update e-1 --ip 192.0.2.7 --ip 192.0.2.8",
    },
  },
  {
    what: "an agent's CSR with a DNS name",
    facts: { profile: profile("agent"), id: agentOne, entry: undefined },
    csr: csrFor({ dns: ["one.prod.example"] }),
    denied: { rule: "dns_not_in_entry", value: "one.prod.example", limit: "none" },
  },
  {
    what: "an entry with the server's DNS name",
    facts: { entry: entryOf({ dnsNames: ["a.prod.example", "ca.prod.example"] }) },
    denied: {
      rule: "server_name",
      value: "ca.prod.example",
      cure: "signet entry update e-1 --remove-dns ca.prod.example",
    },
  },
  {
    what: "an entry with a wildcard over the server's DNS name",
    facts: { entry: entryOf({ dnsNames: ["*.prod.example"] }) },
    denied: {
      rule: "server_name",
      value: "*.prod.example",
      cure: "signet entry update e-1 --remove-dns *.prod.example",
    },
  },
  {
    what: "an entry with the server's address",
    facts: { entry: entryOf({ ipAddresses: ["192.0.2.100"] }) },
    denied: { rule: "server_name", value: "192.0.2.100" },
  },
  {
    what: "a life longer than the entry's",
    facts: { ttlSeconds: 3601 },
    denied: { rule: "ttl_over_profile", value: "3601 s", limit: "3600 s", cure: "signet entry update e-1 --ttl 3601s" },
  },
  {
    what: "a life longer than the profile's, without an entry",
    facts: { profile: profile("agent"), id: agentOne, entry: undefined, ttlSeconds: 86_401 },
    denied: { rule: "ttl_over_profile", value: "86401 s", limit: "86400 s" },
  },
  {
    what: "a key of which a certificate was revoked",
    facts: { keyRevoked: true },
    denied: { rule: "key_revoked", value: "the CSR's key" },
  },
  {
    what: "no active authority",
    facts: { issuer: undefined },
    denied: { rule: "no_authority", value: "services", cure: "signet authority list" },
  },
  {
    what: "an authority that ends before half of the life",
    facts: { issuer: authority(short), now: after(now, 1), entry: entryOf({ ttlSeconds: 2000 }) },
    denied: { rule: "authority_ends", value: "2000 s", limit: "999 s", cure: "signet authority rotate" },
  },
  {
    what: "an authority that has ended",
    facts: { issuer: authority(short), now: after(now, 5000) },
    denied: { rule: "authority_ends", value: "3600 s", limit: "0 s", cure: "signet authority rotate" },
  },
];

test.each(cases)("decide() denies $what by $denied.rule", ({ facts, csr = csrFor(), denied }) => {
  const decision = decide(csr, factsOf(facts));
  expect(decision).toMatchObject({ allow: false, ...denied });
  if (decision.allow) return;
  expect(decision.limit).toBe(denied.limit);
  expect(decision.cure).toBe(denied.cure);
  expect(decision.detail).toMatch(/^[^\n]{10,400}[^.]$/);
});

test("every rule of decide() has a case that denies by it", () => {
  expect(new Set(cases.map(({ denied }) => denied.rule))).toEqual(new Set(rules.map(({ name }) => name)));
});

test("decide() lets the first rule that objects decide, in the order of the list", () => {
  const all: Partial<Facts>[] = [
    { id: id("spiffe://prod.example/agent/two") },
    { caller: { kind: "anonymous" } },
    { entry: undefined },
    { node: undefined },
    { keyRevoked: true },
    { issuer: undefined },
  ];
  const order = ["name_space", "not_parent", "no_entry", "node_unknown", "key_revoked", "no_authority"];
  for (const [at, rule] of order.entries()) {
    const facts = Object.assign({}, ...all.slice(at)) as Partial<Facts>;
    expect(decide(csrFor(), factsOf(facts))).toMatchObject({ allow: false, rule });
  }
});

test("decide() grants the entry's names and life to a CSR that names nothing", () => {
  const decision = decide(csrFor(), factsOf());
  if (!decision.allow) throw new Error(decision.detail);
  expect(decision.allowed).toMatchObject({
    id: svcA,
    dnsNames: ["a.prod.example"],
    ipAddresses: ["192.0.2.7"],
    ttlSeconds: 3600,
    limitedBy: undefined,
    notBefore: after(now, -60),
    notAfter: after(now, 3600),
  });
});

test("decide() grants the same to a CSR that names a part of them, and keyEncipherment where the key is RSA", () => {
  expect(decide(csrFor({ uris: [svcA], dns: ["a.prod.example"], ips: ["192.0.2.7"] }), factsOf()).allow).toBe(true);
  const rsa = requestOf({
    key: testKey("rsa-2048"),
    attributes: [extensionRequest(keyUsageExtension(["digitalSignature", "keyEncipherment"]), unknownExtension(1))],
  });
  expect(decide(parseCsr(rsa), factsOf()).allow).toBe(true);
});

test("decide() grants loopback names though the server has them", () => {
  const entry = entryOf({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1", "::1"] });
  expect(decide(csrFor(), factsOf({ entry })).allow).toBe(true);
});

test("decide() lets no wildcard object to a server name two labels down, and no suffix without a dot", () => {
  const serverNames = new Set(["ca.eu.prod.example", "evilprod.example"]);
  expect(decide(csrFor(), factsOf({ serverNames, entry: entryOf({ dnsNames: ["*.prod.example"] }) })).allow).toBe(true);
});

test("decide() never yields a name outside the entry, whatever CSR and entry say", () => {
  const dns = fc.constantFrom("a.prod.example", "b.prod.example", "*.prod.example", "c.test", "localhost");
  const ip = fc.constantFrom("192.0.2.7", "192.0.2.8", "2001:db8::1", "127.0.0.1");
  const uri = fc.constantFrom(
    svcA as string,
    "spiffe://prod.example/svc/b",
    "spiffe://prod.example/signet/server",
    "https://a.prod.example/",
  );
  let granted = 0;
  fc.assert(
    fc.property(
      fc.record({
        uris: fc.array(uri, { maxLength: 2 }),
        dns: fc.array(dns, { maxLength: 3 }),
        ips: fc.array(ip, { maxLength: 2 }),
      }),
      fc.record({ dnsNames: fc.uniqueArray(dns, { maxLength: 3 }), ipAddresses: fc.uniqueArray(ip, { maxLength: 2 }) }),
      (asked, held) => {
        const decision = decide(csrFor(asked), factsOf({ entry: entryOf(held) }));
        const inside =
          asked.uris.every((each) => each === svcA) &&
          asked.dns.every((each) => held.dnsNames.includes(each)) &&
          asked.ips.every((each) => held.ipAddresses.includes(each));
        if (!decision.allow) return !inside || decision.rule === "server_name";
        granted++;
        expect(decision.allowed.id).toBe(svcA);
        expect(decision.allowed.dnsNames).toEqual(held.dnsNames);
        expect(decision.allowed.ipAddresses).toEqual(held.ipAddresses);
        return inside;
      },
    ),
    { numRuns: 300 },
  );
  expect(granted).toBeGreaterThan(5);
});

test("explain() says what every rule would say, also after the first that objects", () => {
  const steps = explain(csrFor({ dns: ["b.test"] }), factsOf({ node: undefined, keyRevoked: true }));
  expect(steps.map(({ rule }) => rule)).toEqual(rules.map(({ name }) => name));
  const failed = steps.filter(({ passed }) => !passed).map(({ rule }) => rule);
  expect(failed).toEqual(["node_unknown", "dns_not_in_entry", "key_revoked"]);
});

test.each([
  { rule: "name_space", facts: { id: id("spiffe://prod.example/agent/two") } },
  { rule: "not_parent", facts: { caller: { kind: "anonymous" } } },
  { rule: "no_entry", facts: { entry: undefined } },
] as const)("explain() ends at $rule, after which nothing has a meaning", ({ rule, facts }) => {
  const steps = explain(csrFor(), factsOf({ ...facts, keyRevoked: true }));
  expect(steps.at(-1)).toMatchObject({ rule, passed: false });
  expect(steps.slice(0, -1).every(({ passed }) => passed)).toBe(true);
});

test("explain() without a CSR lets the rules about it pass and says what holds", () => {
  const steps = explain(undefined, factsOf());
  expect(steps.every(({ passed, detail, cure }) => passed && detail !== "" && cure === undefined)).toBe(true);
});

function emailName(text: string): Uint8Array {
  const octets = new TextEncoder().encode(text);
  return Uint8Array.from([0x81, octets.length, ...octets]);
}
