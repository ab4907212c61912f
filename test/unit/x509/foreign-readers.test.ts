// Requests that we build, read by programs that share no code with us: openssl and @peculiar/x509.
import "reflect-metadata";
import { execFileSync } from "node:child_process";
import { Crypto } from "@peculiar/webcrypto";
import { cryptoProvider, Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { beforeAll, describe, expect, it } from "vitest";
import { buildCsr } from "../../../src/x509/csr.ts";
import { encodePem } from "../../../src/x509/pem.ts";
import type { PublicKeyType } from "../../../src/x509/spki.ts";
import { testKey } from "./signers.ts";

const names = {
  uris: ["spiffe://prod.example/svc/web"],
  dnsNames: ["web.prod.example"],
  ipAddresses: ["10.0.0.1", "2001:db8::1"],
};
const types: readonly PublicKeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];

function openssl(args: readonly string[], input: string): string {
  return execFileSync("openssl", args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
}

function hasOpenssl(): boolean {
  try {
    return openssl(["version"], "").startsWith("OpenSSL");
  } catch {
    return false;
  }
}

describe.skipIf(!hasOpenssl())("openssl req -verify", () => {
  it.each(types)("takes a buildCsr() of %s and shows its names", async (type) => {
    const pem = encodePem("CERTIFICATE REQUEST", await buildCsr(testKey(type), names));
    const text = openssl(["req", "-verify", "-noout", "-text"], pem);
    expect(text).toContain("X509v3 Subject Alternative Name: critical");
    expect(text).toContain(
      "URI:spiffe://prod.example/svc/web, DNS:web.prod.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1",
    );
  });

  it("takes a buildCsr() without names", async () => {
    const pem = encodePem("CERTIFICATE REQUEST", await buildCsr(testKey("ec-p256")));
    expect(openssl(["req", "-verify", "-noout", "-subject"], pem)).toMatch(/subject\s*=?\s*$/m);
  });
});

describe("@peculiar/x509", () => {
  const webcrypto = new Crypto();
  beforeAll(() => cryptoProvider.set(webcrypto));

  it.each(types)("verifies a buildCsr() of %s and reads its names", async (type) => {
    const request = new Pkcs10CertificateRequest(await buildCsr(testKey(type), names));
    const san = request.extensions.find((each) => each instanceof SubjectAlternativeNameExtension);
    expect(request.subject).toBe("");
    expect(san?.critical).toBe(true);
    expect(san?.names.toJSON()).toEqual([
      { type: "url", value: "spiffe://prod.example/svc/web" },
      { type: "dns", value: "web.prod.example" },
      { type: "ip", value: "10.0.0.1" },
      { type: "ip", value: "2001:db8::1" },
    ]);
    expect(await request.verify(webcrypto)).toBe(true);
  });
});
