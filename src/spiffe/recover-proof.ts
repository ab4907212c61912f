import type { SpiffeId, TrustDomain } from "./id.ts";

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
 * The octets that the key of the last certificate signs to come back: the label `signet-recover-v1` and each field, all
 * of them as length (4 octets, big-endian) and octets, so no two sets of fields give the same octets.
 */
export function recoverTranscript(fields: RecoverFields): Uint8Array {
  const text = new TextEncoder();
  const parts = [
    text.encode("signet-recover-v1"),
    text.encode(fields.trustDomain),
    text.encode(fields.id),
    text.encode(fields.serialHex),
    fields.clientNonce,
    fields.serverNonce,
    fields.csrSha256,
  ];
  const transcript = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  const view = new DataView(transcript.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.length);
    transcript.set(part, at + 4);
    at += 4 + part.length;
  }
  return transcript;
}
