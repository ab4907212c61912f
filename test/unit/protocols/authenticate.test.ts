import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { type AuthenticateDeps, authenticate, type Session } from "../../../src/protocols/authenticate.ts";
import type { DenyList } from "../../../src/spiffe/deny.ts";
import { certificates } from "../../../src/store/collections/certificates.ts";
import { putIfAbsent } from "../../../src/store/store.ts";
import { parseCertificate } from "../../../src/x509/certificate.ts";
import { assemble, fillLeaf, type LeafUsage, leafTemplate } from "../../../src/x509/template.ts";
import { buildServer, type TestServer } from "../../fakes/build-server.ts";
import { testKey } from "../../unit/x509/signers.ts";

function depsOf(server: TestServer): AuthenticateDeps {
  const { store, clock, state } = server;
  return { store, clock, state, denied: async () => ({ sequence: 0n, denied: [] }) };
}

/** A certificate of `/agent/one` by our own authority, recorded, for the usage that is said. */
async function recordedFor(server: TestServer, usage: LeafUsage): Promise<Uint8Array> {
  const { recorded } = await server.join();
  const { issuer } = recorded;
  const key = testKey("ec-p256");
  const template = leafTemplate({
    issuer: issuer.certificate,
    extendedKeyUsage: usage,
    publicKeyType: "ec-p256",
  });
  const tbs = fillLeaf(template, {
    serial: new Uint8Array(randomBytes(16)).fill(0x44, 0, 1),
    notBefore: new Date(recorded.record.notBefore),
    notAfter: new Date(recorded.record.notAfter),
    spkiDer: key.spkiDer,
    uri: server.agent("one"),
    dnsNames: [],
    ipAddresses: [],
  });
  const signer = await server.keys.open(issuer.record.name);
  const der = assemble(tbs, template.signatureAlgorithmDer, await signer.sign(tbs));
  const { serialHex } = parseCertificate(der);
  await server.store.commit([putIfAbsent(certificates, { ...recorded.record, serialHex, der })]);
  return der;
}

// OpenSSL refuses the last two as well; this is our own judgement, without it.
test.each([
  ["client", "agent"],
  ["both", "agent"],
  ["server", "anonymous"],
] as const)("authenticate() of a recorded agent certificate for the usage %s is %s", async (usage, kind) => {
  const server = await buildServer();
  const leafDer = await recordedFor(server, usage);
  expect((await authenticate(depsOf(server), { address: "192.0.2.1:1", leafDer })).kind).toBe(kind);
});

test("authenticate() of a session without a certificate is anonymous", async () => {
  const server = await buildServer();
  expect(await authenticate(depsOf(server), { address: "192.0.2.1:1", leafDer: undefined })).toEqual({
    kind: "anonymous",
  });
});

test.each(["the certificate", "its authority"] as const)(
  "authenticate() of a certificate on the deny list is anonymous: %s",
  async (what) => {
    const server = await buildServer();
    const { recorded } = await server.join();
    const leafDer = recorded.record.der;
    const entry = {
      authorityKeyId: recorded.record.authorityKeyId,
      serialHex: what === "the certificate" ? recorded.record.serialHex : "*",
    };
    const deps = { ...depsOf(server), denied: async () => ({ sequence: 5n, denied: [entry] }) };
    expect((await authenticate(deps, { address: "192.0.2.1:1", leafDer })).kind).toBe("anonymous");
  },
);

test("authenticate() of a session that was good is anonymous once its certificate is on the deny list, and stays so", async () => {
  const server = await buildServer();
  const { recorded } = await server.join();
  const { der: leafDer, authorityKeyId, serialHex } = recorded.record;
  let denied: DenyList = { sequence: 1n, denied: [] };
  const deps = { ...depsOf(server), denied: async () => denied };
  const session: Session = { address: "192.0.2.1:1", leafDer };
  expect((await authenticate(deps, session)).kind).toBe("agent");
  denied = { sequence: 2n, denied: [{ authorityKeyId, serialHex: "40aa" }] };
  expect((await authenticate(deps, session)).kind).toBe("agent");
  denied = { sequence: 3n, denied: [{ authorityKeyId, serialHex }] };
  for (let call = 0; call < 2; call++) expect((await authenticate(deps, session)).kind).toBe("anonymous");
});
