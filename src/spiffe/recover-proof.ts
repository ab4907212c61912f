import type { SpiffeId, TrustDomain } from "./id.ts";
import { transcriptOf } from "./transcript.ts";

export interface RecoverFields {
  readonly trustDomain: TrustDomain;
  readonly id: SpiffeId;
  /** Serial of the last certificate, lower-case hex. */
  readonly serialHex: string;
  readonly clientNonce: Uint8Array;
  readonly serverNonce: Uint8Array;
  /** SHA-256 of the DER of the CSR that carries the new key. */
  readonly csrSha256: Uint8Array;
}

/**
 * The octets that the key of the last certificate signs to come back: the label `signet-recover-v1` and each field, as
 * transcriptOf() writes them.
 */
export function recoverTranscript(fields: RecoverFields): Uint8Array {
  const { trustDomain, id, serialHex, clientNonce, serverNonce, csrSha256 } = fields;
  return transcriptOf("signet-recover-v1", [trustDomain, id, serialHex, clientNonce, serverNonce, csrSha256]);
}
