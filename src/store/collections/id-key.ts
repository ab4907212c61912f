import { createHash } from "node:crypto";

/** A key that fits the store for texts of any length: the text itself, or its SHA-256 where it is longer than 200 octets. */
export function idKey(text: string): string {
  return text.length <= 200 ? text : `sha256:${createHash("sha256").update(text).digest("hex")}`;
}
