// Factories for tests: CAs and factory certificates (IDevIDs) as their makers would make them, by @peculiar/x509, which
// shares no code with ours.
import "reflect-metadata";
import { createPrivateKey, type KeyObject, randomBytes, sign, webcrypto } from "node:crypto";
import * as peculiar from "@peculiar/x509";

peculiar.cryptoProvider.set(webcrypto as never);

const p256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
type KeyPair = webcrypto.CryptoKeyPair;
type Extensions = readonly peculiar.Extension[];

export interface FactoryCa {
  readonly certificate: peculiar.X509Certificate;
  readonly der: Uint8Array;
  readonly pem: string;
  readonly keys: KeyPair;
}

export interface CaWish {
  readonly name?: string;
  readonly by?: FactoryCa;
  readonly pathLength?: number;
  readonly notAfter?: Date;
  readonly extensions?: Extensions;
}

export interface FactoryDevice {
  /** Leaf, then what stands above it. */
  readonly chainDer: readonly Uint8Array[];
  readonly chainPem: string;
  readonly fingerprint: string;
  readonly key: KeyObject;
  /** Signs as the protocol wants it. */
  readonly sign: (octets: Uint8Array) => Uint8Array;
}

export interface DeviceWish {
  /** The serialNumber attribute of the subject; undefined: it has none. */
  readonly serial?: string | undefined;
  /** The whole subject, instead of one made of the serial. */
  readonly subject?: string;
  readonly chain?: readonly FactoryCa[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: Extensions;
  readonly keyType?: "ec-p256" | "ec-p384" | "rsa-2048" | "ed25519";
}

const begin = new Date("2020-01-01T00:00:00Z");
/** IEEE 802.1AR 8.9: an IDevID that never ends. */
const never: Date = new Date("9999-12-31T23:59:59Z");

async function makeKeys(algorithm: (typeof algorithms)[keyof typeof algorithms] = p256): Promise<KeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm as never, true, ["sign", "verify"])) as KeyPair;
}

/** A root of a factory, or what stands below another one. */
export async function buildFactoryCa(wish: CaWish = {}): Promise<FactoryCa> {
  const { name = "Acme Devices Root", by } = wish;
  const keys = await makeKeys();
  const fields = {
    serialNumber: randomBytes(12).toString("hex").replace(/^./, "4"),
    notBefore: begin,
    notAfter: wish.notAfter ?? never,
    extensions: [
      new peculiar.BasicConstraintsExtension(true, wish.pathLength, true),
      new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.keyCertSign | peculiar.KeyUsageFlags.cRLSign, true),
      await peculiar.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(wish.extensions ?? []),
    ],
  };
  const subject = `O=Acme, CN=${name}`;
  const certificate =
    by === undefined
      ? await peculiar.X509CertificateGenerator.createSelfSigned({
          ...fields,
          name: subject,
          keys,
          signingAlgorithm: p256,
        })
      : await peculiar.X509CertificateGenerator.create({
          ...fields,
          subject,
          issuer: by.certificate.subject,
          publicKey: keys.publicKey,
          signingKey: by.keys.privateKey,
          signingAlgorithm: p256,
        });
  return { certificate, der: new Uint8Array(certificate.rawData), pem: `${certificate.toString("pem")}\n`, keys };
}

/** A device as it leaves the factory: an IDevID that never ends, without an extended key usage. */
export async function buildFactoryDevice(by: FactoryCa, wish: DeviceWish = {}): Promise<FactoryDevice> {
  const keys = await makeKeys(algorithms[wish.keyType ?? "ec-p256"]);
  const serial = "serial" in wish ? wish.serial : "SN-001";
  const subject = wish.subject ?? `O=Acme, CN=Acme Sensor${serial === undefined ? "" : `, 2.5.4.5=${serial}`}`;
  const certificate = await peculiar.X509CertificateGenerator.create({
    serialNumber: randomBytes(12).toString("hex").replace(/^./, "4"),
    subject,
    issuer: by.certificate.subject,
    notBefore: wish.notBefore ?? begin,
    notAfter: wish.notAfter ?? never,
    publicKey: keys.publicKey,
    signingKey: by.keys.privateKey,
    signingAlgorithm: p256,
    extensions: [
      new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.digitalSignature, true),
      ...(wish.extensions ?? []),
    ],
  });
  const chain = [certificate, ...(wish.chain ?? []).map((ca) => ca.certificate)];
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return {
    chainDer: chain.map((each) => new Uint8Array(each.rawData)),
    chainPem: chain.map((each) => `${each.toString("pem")}\n`).join(""),
    fingerprint: Buffer.from(await webcrypto.subtle.digest("SHA-256", certificate.rawData)).toString("hex"),
    key,
    sign: (octets) => new Uint8Array(sign(key.asymmetricKeyType === "ed25519" ? null : "sha256", octets, key)),
  };
}

const algorithms = {
  "ec-p256": p256,
  "ec-p384": { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  "rsa-2048": {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
  ed25519: { name: "Ed25519" },
} as const;
