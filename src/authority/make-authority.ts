// Makes CA certificates. What leaves here was verified after signing.

import type { KeyHandle, KeyManager } from "../keys/key-manager.ts";
import { KeyError, type KeyType } from "../keys/key-manager.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { CaError } from "../registry/ca-error.ts";
import type { TrustDomain } from "../spiffe/id.ts";
import type { Certificate } from "../x509/certificate.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { sameOctets } from "../x509/der.ts";
import { serialFromRandom } from "../x509/serial.ts";
import { type Signer, signatureAlgorithmDer, verifySignature } from "../x509/signature.ts";
import { parseSpki } from "../x509/spki.ts";
import { assemble, intermediateTbs, rootTbs } from "../x509/template.ts";
import { backdateMs } from "./backdate.ts";

export interface MakeDeps {
  readonly clock: Clock;
  readonly random: Random;
}

export interface RootWish {
  readonly trustDomain: TrustDomain;
  readonly name: string;
  readonly lifeSeconds: number;
}

/** Makes a self-signed root over a key. RFC 5280 4. */
export async function makeRoot(deps: MakeDeps, signer: Signer, wish: RootWish): Promise<Certificate> {
  const now = deps.clock.now();
  const tbs = rootTbs({
    trustDomain: wish.trustDomain,
    name: wish.name,
    serial: serialFromRandom(deps.random.bytes(16)),
    notBefore: backdated(now, undefined),
    notAfter: after(now, wish.lifeSeconds),
    spkiDer: signer.spkiDer,
  });
  return signed(tbs, signer, undefined);
}

export interface IntermediateWish extends RootWish {
  readonly issuer: Certificate;
  readonly spkiDer: Uint8Array;
  /** Address of the issuer's CRL, when there is one. */
  readonly publicUrl?: string;
}

/** Makes an intermediate of path length 0, never longer than its issuer. Throws CaError "denied" `authority_ends`. */
export async function makeIntermediate(
  deps: MakeDeps,
  rootSigner: Signer,
  wish: IntermediateWish,
): Promise<Certificate> {
  const now = deps.clock.now();
  const notAfter = after(now, wish.lifeSeconds);
  if (notAfter > wish.issuer.notAfter) {
    throw new CaError(
      "denied",
      `the root ends at ${wish.issuer.notAfter.toISOString()}, before the new intermediate would`,
      {
        rule: "authority_ends",
        value: notAfter.toISOString(),
        limit: wish.issuer.notAfter.toISOString(),
      },
    );
  }
  const tbs = intermediateTbs({
    trustDomain: wish.trustDomain,
    name: wish.name,
    serial: serialFromRandom(deps.random.bytes(16)),
    notBefore: backdated(now, wish.issuer),
    notAfter,
    spkiDer: wish.spkiDer,
    issuer: wish.issuer,
  });
  return signed(tbs, rootSigner, wish.issuer);
}

/** Makes a key under a new name. A key of that name without an authority is left from a crash: nobody ever used it. */
export async function makeKey(keys: KeyManager, name: string, type: KeyType): Promise<KeyHandle> {
  try {
    return await keys.create(name, type);
  } catch (error) {
    if (!(error instanceof KeyError) || error.code !== "exists") throw error;
    await keys.destroy(name);
    return keys.create(name, type);
  }
}

async function signed(tbs: Uint8Array, signer: Signer, issuer: Certificate | undefined): Promise<Certificate> {
  if (issuer !== undefined && !sameOctets(signer.spkiDer, issuer.publicKey.der)) {
    throw new CaError("bad_request", "the key given is not that of the issuing certificate");
  }
  const key = parseSpki(signer.spkiDer);
  const certificate = parseCertificate(assemble(tbs, signatureAlgorithmDer(key.type), await signer.sign(tbs)));
  const issuerKey = issuer?.publicKey ?? certificate.publicKey;
  if (!verifySignature(issuerKey, certificate.signatureAlgorithmDer, certificate.tbs, certificate.signature)) {
    throw new CaError("internal", "what was signed does not verify by its own key");
  }
  return certificate;
}

function after(now: Date, seconds: number): Date {
  return new Date((Math.floor(now.getTime() / 1000) + seconds) * 1000);
}

function backdated(now: Date, issuer: Certificate | undefined): Date {
  const start = Math.floor((now.getTime() - backdateMs) / 1000) * 1000;
  return new Date(Math.max(start, issuer?.notBefore.getTime() ?? start));
}
