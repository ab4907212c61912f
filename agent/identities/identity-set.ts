// What stands in an identity directory: bytes only, no files.
import { bundleJson, type TrustBundle } from "../../src/spiffe/bundle.ts";
import { type DenyList, denyListJson } from "../../src/spiffe/deny.ts";
import { identityJson } from "../../src/spiffe/identity-file.ts";
import { encodePem } from "../../src/x509/pem.ts";
import type { HeldIdentity } from "./held-identity.ts";

export interface SetFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** True for what holds the private key. */
  readonly secret: boolean;
}

/** What every verifier needs beside its own identity. */
export interface TrustFiles {
  readonly bundle: TrustBundle;
  readonly denyList: DenyList;
  readonly crlsDer: readonly Uint8Array[];
}

/** Names of all files of a set, as INTERFACE lists them, without the staple. */
export const setNames = [
  "tls.crt",
  "tls.key",
  "tls.pem",
  "ca.crt",
  "crl.pem",
  "bundle.json",
  "denied.json",
  "identity.json",
] as const;

/** Builds one set. Each PEM ends in a line break; chains are leaf first, without the root. */
export function identitySet(held: HeldIdentity, trust: TrustFiles): readonly SetFile[] {
  const key = encodePem("PRIVATE KEY", held.keyDer);
  const chain = held.chainDer.map((der) => encodePem("CERTIFICATE", der)).join("");
  const text: Readonly<Record<(typeof setNames)[number], string>> = {
    "tls.crt": chain,
    "tls.key": key,
    "tls.pem": key + chain,
    "ca.crt": trust.bundle.roots.map((root) => encodePem("CERTIFICATE", root.raw)).join(""),
    "crl.pem": trust.crlsDer.map((der) => encodePem("X509 CRL", der)).join(""),
    "bundle.json": bundleJson(trust.bundle),
    "denied.json": denyListJson(trust.denyList),
    "identity.json": identityJson({
      spiffeId: held.spiffeId,
      serialHex: held.serialHex,
      notBefore: held.notBefore,
      notAfter: held.notAfter,
      ttlSeconds: held.ttlSeconds,
      obtainedAt: held.obtainedAt,
      renewAt: held.renewAt,
      authority: held.authority,
      bundleSequence: trust.bundle.sequence,
      deniedSequence: trust.denyList.sequence,
    }),
  };
  const encoder = new TextEncoder();
  return setNames.map((name) => ({
    name,
    bytes: encoder.encode(text[name]),
    secret: name === "tls.key" || name === "tls.pem",
  }));
}
