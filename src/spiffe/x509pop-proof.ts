import type { TrustDomain } from "./id.ts";
import { transcriptOf } from "./transcript.ts";

export interface X509PopFields {
  readonly trustDomain: TrustDomain;
  readonly serverNonce: Uint8Array;
  readonly clientNonce: Uint8Array;
  /** SHA-256 of the DER of the CSR that carries the key to be certified. */
  readonly csrSha256: Uint8Array;
}

/**
 * The octets that the key of a factory certificate signs to join: the label `signet-x509pop-v1` and each field, as
 * transcriptOf() writes them.
 */
export function x509popTranscript(fields: X509PopFields): Uint8Array {
  const { trustDomain, serverNonce, clientNonce, csrSha256 } = fields;
  return transcriptOf("signet-x509pop-v1", [trustDomain, serverNonce, clientNonce, csrSha256]);
}
