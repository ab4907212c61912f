import { CaError } from "../registry/ca-error.ts";
import type { AuthorityKind } from "../store/collections/authorities.ts";
import type { CrlRecord } from "../store/collections/crls.ts";
import type { Certificate } from "../x509/certificate.ts";
import { crlTbs, parseCrl, type RevokedCertificate, verifyCrl } from "../x509/crl.ts";
import { type Signer, signatureAlgorithmDer } from "../x509/signature.ts";
import { parseSpki } from "../x509/spki.ts";
import { assemble } from "../x509/template.ts";

export interface CrlContent {
  readonly number: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly RevokedCertificate[];
}

/** How long the first CRLs stand, seconds. */
export const firstCrlLifeSeconds: { readonly [kind in AuthorityKind]: number } = {
  intermediate: 7 * 86_400,
  root: 365 * 86_400,
};

/** Signs a CRL and reads it back: what does not verify is never kept. RFC 5280 5. */
export async function signCrl(
  issuer: { readonly name: string; readonly certificate: Certificate },
  signer: Signer,
  content: CrlContent,
): Promise<CrlRecord> {
  const tbs = crlTbs({ issuer: issuer.certificate, ...content });
  const algorithm = signatureAlgorithmDer(parseSpki(signer.spkiDer).type);
  const der = assemble(tbs, algorithm, await signer.sign(tbs));
  if (!verifyCrl(parseCrl(der), issuer.certificate)) {
    throw new CaError("internal", `the CRL of ${issuer.name} does not verify by its own key`);
  }
  return {
    authority: issuer.name,
    number: content.number,
    thisUpdate: content.thisUpdate.getTime(),
    nextUpdate: content.nextUpdate.getTime(),
    der,
  };
}
