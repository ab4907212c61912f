// PEM (RFC 7468): one linear scan over lines, no regular expression over the text.

import { X509Error } from "./errors.ts";

/** Characters of a PEM text when the caller names no other limit. */
const DEFAULT_MAX_CHARACTERS = 1024 * 1024;

export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

export interface PemOptions {
  /** Labels that may occur; any other block refuses the text. */
  readonly labels: readonly string[];
  /** Blocks at most; at least one is always demanded. */
  readonly max: number;
  /** Characters of the whole text at most; 1 MiB by default. */
  readonly maxCharacters?: number;
}

/** PEM text of one block: lines of 64 characters and a final line break. */
export function encodePem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString("base64");
  let body = "";
  for (let at = 0; at < base64.length; at += 64) body += `${base64.slice(at, at + 64)}\n`;
  return `-----BEGIN ${label}-----\n${body}-----END ${label}-----\n`;
}

/**
 * Reads all blocks of a text in order. Text around blocks, CRLF, blanks at line ends and lines of any length are fine;
 * foreign labels, a boundary that is not a line of its own, headers and any fault of the base64 refuse the whole text.
 * Throws "bad_pem", and "too_large" before reading. RFC 7468 2, 3.
 */
export function decodePem(text: string, options: PemOptions): readonly PemBlock[] {
  const maxCharacters = options.maxCharacters ?? DEFAULT_MAX_CHARACTERS;
  if (text.length > maxCharacters) {
    throw new X509Error("too_large", `PEM text has ${text.length} characters, at most ${maxCharacters}`);
  }
  if (text.startsWith("\ufeff")) throw new X509Error("bad_pem", "PEM text begins with a byte order mark");
  const blocks: PemBlock[] = [];
  let label: string | undefined;
  let body: string[] = [];
  let lineNumber = 0;
  for (let at = 0; at < text.length; ) {
    const end = lineEnd(text, at);
    const line = withoutBlanks(text, at, end);
    lineNumber++;
    at = end + (text.startsWith("\r\n", end) ? 2 : 1);
    if (label === undefined) {
      label = beginLabel(line, lineNumber, options.labels);
      if (label !== undefined && blocks.length === options.max) {
        throw new X509Error("bad_pem", `more than ${options.max} PEM ${options.max === 1 ? "block" : "blocks"}`);
      }
    } else if (line === `-----END ${label}-----`) {
      blocks.push({ label, der: decodeBase64(body.join("")) });
      label = undefined;
      body = [];
    } else if (line.startsWith("-----")) {
      throw new X509Error("bad_pem", `line ${lineNumber} is not the END of the ${label} before it`);
    } else {
      body.push(line);
    }
  }
  if (label !== undefined) throw new X509Error("bad_pem", `the END line of the ${label} is missing`);
  if (blocks.length === 0) throw new X509Error("bad_pem", `no PEM block with the label ${options.labels.join(" or ")}`);
  return blocks;
}

function lineEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === 0x0a || unit === 0x0d) return at;
  }
  return text.length;
}

function withoutBlanks(text: string, start: number, end: number): string {
  let last = end;
  while (last > start && (text.charCodeAt(last - 1) === 0x20 || text.charCodeAt(last - 1) === 0x09)) last--;
  return text.slice(start, last);
}

/** The label that a line outside of blocks begins; undefined for other text. */
function beginLabel(line: string, lineNumber: number, labels: readonly string[]): string | undefined {
  for (const label of labels) if (line === `-----BEGIN ${label}-----`) return label;
  if (line.startsWith("-----BEGIN ") && line.endsWith("-----")) {
    throw new X509Error("bad_pem", `line ${lineNumber} begins another block than ${labels.join(" or ")}`);
  }
  if (line.includes("-----BEGIN") || line.includes("-----END")) {
    throw new X509Error("bad_pem", `line ${lineNumber} is not a whole boundary line`);
  }
  return undefined;
}

/** Values of the base64 characters by their code; 255 for others. RFC 4648 4. */
const BASE64_VALUES: Uint8Array = base64Values();

function base64Values(): Uint8Array {
  const values = new Uint8Array(128).fill(255);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (let i = 0; i < 64; i++) values[alphabet.charCodeAt(i)] = i;
  return values;
}

function decodeBase64(text: string): Uint8Array {
  const size = text.length;
  if (size === 0) throw new X509Error("bad_pem", "PEM block is empty");
  if (size % 4 !== 0) throw new X509Error("bad_pem", `base64 of a PEM block has ${size} characters, no multiple of 4`);
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const octets = new Uint8Array((size / 4) * 3 - padding);
  let bits = 0;
  let written = 0;
  for (let at = 0; at < size - padding; at++) {
    const value = BASE64_VALUES[text.charCodeAt(at)] ?? 255;
    if (value === 255) throw new X509Error("bad_pem", `character ${at + 1} of a PEM block is not base64`);
    bits = ((bits << 6) | value) & 0xffffff;
    if (at % 4 > 0) octets[written++] = (bits >> (6 - 2 * (at % 4))) & 0xff;
  }
  const spare = padding === 0 ? 0 : bits & (padding === 1 ? 0x03 : 0x0f);
  if (spare !== 0) throw new X509Error("bad_pem", "base64 of a PEM block has bits left over");
  return octets;
}
