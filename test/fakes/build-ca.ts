// Certificates for tests: whole CAs from good defaults, and single certificates of any shape.
import { createHash, randomBytes } from "node:crypto";

import type { TrustBundle } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/id.ts";
import { type Certificate, parseCertificate } from "../../src/x509/certificate.ts";
import { explicit, integer, sequence, time } from "../../src/x509/der-writer.ts";
import {
  authorityKeyIdentifierExtension,
  basicConstraintsExtension,
  extendedKeyUsageExtension,
  type KeyUsageName,
  keyUsageExtension,
  subjectAltNameExtension,
  subjectKeyIdentifierExtension,
} from "../../src/x509/extensions.ts";
import { uriName } from "../../src/x509/general-name.ts";
import { writeName } from "../../src/x509/name.ts";
import { OID } from "../../src/x509/oid.ts";
import { serialFromRandom } from "../../src/x509/serial.ts";
import { signatureAlgorithmDer } from "../../src/x509/signature.ts";
import type { PublicKeyType } from "../../src/x509/spki.ts";
import {
  assemble,
  fillLeaf,
  intermediateTbs,
  type LeafFields,
  type LeafTemplateFields,
  leafTemplate,
  rootTbs,
} from "../../src/x509/template.ts";
import { type TestKey, testKey } from "../unit/x509/signers.ts";

export interface CaOptions {
  readonly trustDomain?: string;
  readonly keyType?: PublicKeyType;
  /** The moment of all issuing; certificates begin a minute before. */
  readonly at?: Date;
  readonly rootSeconds?: number;
  readonly intermediateSeconds?: number;
}

export interface LeafOptions extends Partial<LeafFields>, Partial<LeafTemplateFields> {
  readonly key?: TestKey;
}

export interface IssuedLeaf {
  readonly key: TestKey;
  readonly leaf: Certificate;
  /** Leaf, then intermediate: what a peer sends. */
  readonly chainDer: readonly Uint8Array[];
}

export interface TestCa {
  readonly at: Date;
  readonly root: Certificate;
  readonly rootKey: TestKey;
  readonly intermediate: Certificate;
  readonly intermediateKey: TestKey;
  readonly bundle: TrustBundle;
  /** A workload leaf of `/svc/a` for an hour, with what is said otherwise. */
  issue(options?: LeafOptions): IssuedLeaf;
}

/** A root, an intermediate and the bundle, made by the product's own templates. */
export function buildCa(options: CaOptions = {}): TestCa {
  const { trustDomain = "prod.example", keyType = "ec-p256", at = new Date("2026-11-24T12:00:00Z") } = options;
  const rootKey = testKey(keyType);
  const intermediateKey = testKey(keyType);
  const notBefore = after(at, -60);
  const root = signedBy(
    rootKey,
    rootTbs({
      serial: testSerial(),
      trustDomain,
      name: "root-1",
      spkiDer: rootKey.spkiDer,
      notBefore,
      notAfter: after(at, options.rootSeconds ?? 3650 * 86_400),
    }),
  );
  const intermediate = signedBy(
    rootKey,
    intermediateTbs({
      issuer: root,
      serial: testSerial(),
      trustDomain,
      name: "int-1",
      spkiDer: intermediateKey.spkiDer,
      notBefore,
      notAfter: after(at, options.intermediateSeconds ?? 30 * 86_400),
    }),
  );
  const issue = (leaf: LeafOptions = {}): IssuedLeaf => {
    const key = leaf.key ?? testKey("ec-p256");
    const template = leafTemplate({ issuer: intermediate, extendedKeyUsage: "both", publicKeyType: key.type, ...leaf });
    const tbs = fillLeaf(template, {
      serial: testSerial(),
      notBefore,
      notAfter: after(at, 3600),
      spkiDer: key.spkiDer,
      uri: `spiffe://${trustDomain}/svc/a`,
      dnsNames: [],
      ipAddresses: [],
      ...leaf,
    });
    const certificate = signedBy(intermediateKey, tbs);
    return { key, leaf: certificate, chainDer: [certificate.raw, intermediate.raw] };
  };
  const bundle = { trustDomain: parseTrustDomain(trustDomain), sequence: 1n, refreshHintSeconds: 300, roots: [root] };
  return { at, root, rootKey, intermediate, intermediateKey, bundle, issue };
}

export function after(at: Date, seconds: number): Date {
  return new Date(at.getTime() + seconds * 1000);
}

export function testSerial(): Uint8Array {
  return serialFromRandom(new Uint8Array(randomBytes(16)));
}

/** Signs a TBS as our keys of this type do and reads the certificate back. */
export function signedBy(key: TestKey, tbs: Uint8Array): Certificate {
  return parseCertificate(signedDer(key, tbs));
}

export function signedDer(key: TestKey, tbs: Uint8Array): Uint8Array {
  return assemble(tbs, signatureAlgorithmDer(key.type), key.sign(tbs) as Uint8Array);
}

export interface CertificateFields {
  readonly key: TestKey;
  readonly signer: TestKey;
  /** Common names; empty: an empty subject. */
  readonly subject: string;
  readonly issuer: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly serial: Uint8Array;
  readonly ca: boolean;
  readonly pathLength?: number | undefined;
  readonly keyUsage: readonly KeyUsageName[] | undefined;
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** GeneralNames, encoded. */
  readonly names: readonly Uint8Array[];
  /** Further extensions, encoded. */
  readonly extensions: readonly Uint8Array[];
}

/** One certificate of any shape: an intermediate of CN=ca under CN=root, with what is said otherwise. */
export function certificate(
  fields: Pick<CertificateFields, "key" | "signer"> & Partial<CertificateFields>,
): Certificate {
  const made: CertificateFields = {
    subject: "ca",
    issuer: "root",
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2027-01-01T00:00:00Z"),
    serial: testSerial(),
    ca: true,
    keyUsage: ["keyCertSign", "cRLSign"],
    extendedKeyUsage: undefined,
    names: [],
    extensions: [],
    ...fields,
  };
  const extensions = [
    ...(made.ca ? [basicConstraintsExtension(pathLimit(made.pathLength))] : []),
    ...(made.keyUsage === undefined ? [] : [keyUsageExtension(made.keyUsage)]),
    ...(made.extendedKeyUsage === undefined ? [] : [extendedKeyUsageExtension(made.extendedKeyUsage)]),
    subjectKeyIdentifierExtension(shortHash(made.key.spkiDer)),
    authorityKeyIdentifierExtension(shortHash(made.signer.spkiDer)),
    ...(made.names.length === 0 ? [] : [subjectAltNameExtension(made.names, made.subject === "")]),
    ...made.extensions,
  ];
  return signedBy(
    made.signer,
    sequence(
      explicit(0, integer(2)),
      integer(made.serial),
      signatureAlgorithmDer(made.signer.type),
      commonName(made.issuer),
      sequence(time(made.notBefore), time(made.notAfter)),
      commonName(made.subject),
      made.key.spkiDer,
      explicit(3, sequence(...extensions)),
    ),
  );
}

/** A leaf of CN=ca for spiffe://prod.example/svc/a, with what is said otherwise. */
export function leafCertificate(fields: Pick<CertificateFields, "signer"> & Partial<CertificateFields>): Certificate {
  return certificate({
    key: testKey("ec-p256"),
    subject: "",
    issuer: "ca",
    ca: false,
    keyUsage: ["digitalSignature"],
    extendedKeyUsage: [OID.serverAuth, OID.clientAuth],
    names: [uriName("spiffe://prod.example/svc/a")],
    ...fields,
  });
}

function pathLimit(pathLength: number | undefined): { ca: true; pathLength?: number } {
  return pathLength === undefined ? { ca: true } : { ca: true, pathLength };
}

function commonName(text: string): Uint8Array {
  return writeName(text === "" ? [] : [{ oid: OID.commonName, value: text }]);
}

function shortHash(octets: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(octets).digest().subarray(0, 20));
}
