// IP addresses as octets and as their one canonical text (RFC 5952 for version 6).

import { X509Error } from "./errors.ts";

/** Canonical text of 4 or 16 octets. Throws "bad_name" for another count. RFC 5952 4. */
export function ipText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join(".");
  if (octets.length !== 16) throw new X509Error("bad_name", `IP address has ${octets.length} octets, must be 4 or 16`);
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((octets[i] ?? 0) * 256 + (octets[i + 1] ?? 0));
  const mapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (mapped) return `::ffff:${octets.subarray(12).join(".")}`;
  const gap = longestZeros(groups);
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return gap === undefined ? hex(0, 8) : `${hex(0, gap.start)}::${hex(gap.end, 8)}`;
}

/** First of the longest runs of two or more zero groups. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly end: number } | undefined {
  let best: { readonly start: number; readonly end: number } | undefined;
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start >= 2 && (best === undefined || end - start > best.end - best.start)) best = { start, end };
    if (end > start) start = end;
  }
  return best;
}

/** Octets of an address in any valid text form (no zone, no leading zeros in version 4). Throws "bad_name". */
export function ipOctets(text: string): Uint8Array {
  const octets = text.length > 45 ? undefined : text.includes(":") ? octets6(text) : octets4(text);
  if (octets === undefined) throw new X509Error("bad_name", "text is not an IP address");
  return Uint8Array.from(octets);
}

function octets4(text: string): readonly number[] | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part))) return undefined;
  const octets = parts.map(Number);
  return octets.every((octet) => octet <= 255) ? octets : undefined;
}

function octets6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => groupOctets(half, i === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...new Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function groupOctets(text: string, last: boolean): readonly number[] | undefined {
  if (text === "") return [];
  const octets: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const number = Number.parseInt(group, 16);
      octets.push(number >> 8, number & 0xff);
      continue;
    }
    const dotted = last && i === groups.length - 1 ? octets4(group) : undefined;
    if (dotted === undefined) return undefined;
    octets.push(...dotted);
  }
  return octets;
}
