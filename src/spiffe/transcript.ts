/**
 * Octets to sign: a label and fields, all of them as length (4 octets, big-endian) and octets, so no two lists of fields
 * give the same octets. Text is UTF-8.
 */
export function transcriptOf(label: string, fields: readonly (string | Uint8Array)[]): Uint8Array {
  const text = new TextEncoder();
  const parts = [label, ...fields].map((field) => (typeof field === "string" ? text.encode(field) : field));
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
