import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

import { parseCertificate } from "../../x509/certificate.ts";
import { encodePem } from "../../x509/pem.ts";
import { serialFromRandom } from "../../x509/serial.ts";
import { signatureAlgorithmDer } from "../../x509/signature.ts";
import { assemble, fillLeaf, leafTemplate, rootTbs } from "../../x509/template.ts";
import type { KnockIdentity } from "./knock.ts";

const hourMs = 3_600_000;

/** A leaf with the SPIFFE ID of somebody else, by a CA that nobody here trusts, though it says the same trust domain. */
export function foreignIdentity(
  spiffeId: string,
  options: { readonly trustDomain: string; readonly now: Date },
): KnockIdentity {
  const ca = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const leaf = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const validity = {
    notBefore: new Date(options.now.getTime() - hourMs),
    notAfter: new Date(options.now.getTime() + hourMs),
  };
  const root = signed(
    rootTbs({
      ...validity,
      serial: serialFromRandom(randomBytes(16)),
      trustDomain: options.trustDomain,
      name: "root-1",
      spkiDer: spkiOf(ca.publicKey),
    }),
    ca.privateKey,
  );
  const template = leafTemplate({
    issuer: parseCertificate(root),
    extendedKeyUsage: "both",
    publicKeyType: "ec-p256",
  });
  const certificate = signed(
    fillLeaf(template, {
      ...validity,
      serial: serialFromRandom(randomBytes(16)),
      spkiDer: spkiOf(leaf.publicKey),
      uri: spiffeId,
      dnsNames: [],
      ipAddresses: [],
    }),
    ca.privateKey,
  );
  return {
    chainPem: encodePem("CERTIFICATE", certificate),
    keyPem: leaf.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function signed(tbs: Uint8Array, key: KeyObject): Uint8Array {
  return assemble(tbs, signatureAlgorithmDer("ec-p256"), sign("sha256", tbs, key));
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ type: "spki", format: "der" }));
}
