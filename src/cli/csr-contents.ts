// What a signing request asks for, read by @peculiar/x509: a second opinion beside the server's own reader. Loaded by
// `explain --csr` alone.
import { CliError, wrongUse } from "./failure.ts";

export interface CsrContents {
  readonly der: Uint8Array;
  readonly key: string;
  readonly subject: string;
  /** `DNS:a.prod.example`, `URI:spiffe://...`. */
  readonly names: readonly string[];
  readonly usages: readonly string[];
  /** OIDs of the extensions that are neither names nor usages. */
  readonly otherExtensions: readonly string[];
  readonly signatureValid: boolean;
}

/** Reads a PKCS#10 in PEM or DER. Throws CliError 2 when it is none. */
export async function readCsrContents(octets: Uint8Array, file: string): Promise<CsrContents> {
  await import("reflect-metadata");
  const [x509, { Crypto }] = await Promise.all([import("@peculiar/x509"), import("@peculiar/webcrypto")]);
  const crypto = new Crypto();
  const der = derOf(octets, file);
  try {
    const csr = new x509.Pkcs10CertificateRequest(der);
    const names: string[] = [];
    const usages: string[] = [];
    const otherExtensions: string[] = [];
    for (const extension of csr.extensions) {
      if (extension instanceof x509.SubjectAlternativeNameExtension) {
        names.push(...extension.names.items.map((name) => `${nameKinds[name.type] ?? name.type}:${name.value}`));
      } else if (extension instanceof x509.KeyUsagesExtension) {
        usages.push(...usageNames.filter(([bit]) => (Number(extension.usages) & bit) !== 0).map(([, name]) => name));
      } else if (extension instanceof x509.ExtendedKeyUsageExtension) {
        usages.push(...extension.usages.map((usage) => extendedUsages[String(usage)] ?? String(usage)));
      } else if (extension instanceof x509.BasicConstraintsExtension) {
        otherExtensions.push(extension.ca ? "basicConstraints with CA" : "basicConstraints without CA");
      } else {
        otherExtensions.push(`${extension.type}${extension.critical ? " (critical)" : ""}`);
      }
    }
    return {
      der,
      key: keyText(csr.publicKey.algorithm),
      subject: csr.subject,
      names,
      usages,
      otherExtensions,
      signatureValid: await csr.verify(crypto).catch(() => false),
    };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw wrongUse(`${file} is no signing request that can be read`, `openssl req -in ${file} -noout -text`, error);
  }
}

function derOf(octets: Uint8Array, file: string): Uint8Array<ArrayBuffer> {
  const text = Buffer.from(octets).toString("latin1");
  const start = text.indexOf("-----BEGIN ");
  if (start === -1) return Uint8Array.from(octets);
  const block = /^-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]*)-----END /.exec(text.slice(start));
  if (block?.[1] === undefined) {
    const label = /^-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(text.slice(start))?.[1] ?? "something else";
    throw wrongUse(`${file} holds ${label}, not CERTIFICATE REQUEST`);
  }
  return Uint8Array.from(Buffer.from(block[1], "base64"));
}

function keyText(algorithm: { readonly name: string }): string {
  const curve = "namedCurve" in algorithm ? String(algorithm.namedCurve) : undefined;
  if (curve !== undefined && algorithm.name.startsWith("EC")) return `EC ${curve}`;
  const bits = "modulusLength" in algorithm ? ` ${String(algorithm.modulusLength)}` : "";
  return algorithm.name.startsWith("RSA") ? `RSA${bits}` : algorithm.name;
}

const nameKinds: Readonly<Record<string, string>> = {
  dns: "DNS",
  url: "URI",
  ip: "IP",
  email: "email",
  dn: "directory",
};

// RFC 5280 4.2.1.3, in the order of its bits.
const usageNames = [
  "digitalSignature",
  "nonRepudiation",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
].map((name, index) => [1 << index, name] as const);

const extendedUsages: Readonly<Record<string, string>> = {
  "1.3.6.1.5.5.7.3.1": "serverAuth",
  "1.3.6.1.5.5.7.3.2": "clientAuth",
  "1.3.6.1.5.5.7.3.3": "codeSigning",
  "1.3.6.1.5.5.7.3.4": "emailProtection",
  "1.3.6.1.5.5.7.3.8": "timeStamping",
  "1.3.6.1.5.5.7.3.9": "OCSPSigning",
  "2.5.29.37.0": "anyExtendedKeyUsage",
};
