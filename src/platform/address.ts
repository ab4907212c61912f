// host:port, as listeners, join strings and settings write it.
import { isIPv4, isIPv6 } from "node:net";

/** A text that is no address. The message names the text and says what is missing. */
export class AddressError extends Error {
  override readonly name = "AddressError";
}

export interface Address {
  /** A DNS name, or an IP address without brackets; never empty. */
  readonly host: string;
  /** 0 to 65535; 0 = any free one. */
  readonly port: number;
}

/** Reads `host:port`, an IPv6 address in brackets. Throws AddressError. */
export function parseAddress(text: string): Address {
  const shown = JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
  const fail = (why: string): AddressError => new AddressError(`${shown} ${why}`);
  if (text.length > 300) throw fail("is too long for an address");
  if (isIPv6(text)) throw fail(`has no port, or its host lacks brackets: write it as [${text}]:7443`);
  if (isIPv6(text.replace(/^\[|\]$/g, ""))) throw fail("has no port: write it as [::1]:7443");
  const colon = text.lastIndexOf(":");
  if (colon < 0) throw fail("has no port: write it as host:port, such as 127.0.0.1:7443");
  const host = hostOf(text.slice(0, colon), fail);
  const digits = text.slice(colon + 1);
  if (digits === "") throw fail("has no port after the colon");
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port > 65_535) throw fail("has a port that is not a number from 0 to 65535");
  return { host, port };
}

function hostOf(written: string, fail: (why: string) => AddressError): string {
  if (written === "") throw fail("has no host: write 127.0.0.1 for this machine only, 0.0.0.0 for all its addresses");
  if (written.startsWith("[") && written.endsWith("]")) {
    const inside = written.slice(1, -1);
    if (!isIPv6(inside) || inside.includes("%")) throw fail("has no IPv6 address in its brackets");
    return inside;
  }
  if (written.includes(":")) throw fail("has several colons: an IPv6 address stands in brackets, [::1]:7443");
  if (!isHostName(written)) throw fail("has a host that is neither a DNS name nor an IP address");
  return written;
}

/** True for an IPv4 address or a DNS name of letters, digits, dash and underscore (RFC 1123, and what people use). */
export function isHostName(host: string): boolean {
  if (isIPv4(host)) return true;
  if (
    host.length > 253 ||
    !/^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i.test(host)
  ) {
    return false;
  }
  // Ends in a number but is no IPv4 address: 300.1.1.1, or 127.1, which resolvers read in ways of their own.
  return !/(^|\.)(\d+|0x[0-9a-f]*)$/i.test(host);
}

/** `host:port`, brackets around an IPv6 address. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (name === "localhost" || name.endsWith(".localhost")) return true;
  if (isIPv4(host)) return host.startsWith("127.");
  return isIPv6(host) && (expandedIpv6(host) === "0:0:0:0:0:0:0:1" || /^::ffff:127\./i.test(host));
}

/** True for the addresses that mean all addresses of this machine. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || (isIPv6(host) && expandedIpv6(host) === "0:0:0:0:0:0:0:0");
}

function expandedIpv6(host: string): string {
  const [head = "", tail] = host.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => "0");
  return [...before, ...zeros, ...after].map((group) => group.replace(/^0+(?=.)/, "").toLowerCase()).join(":");
}
