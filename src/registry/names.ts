// DNS names and addresses that an entry may hold.
import { isIP } from "node:net";
import { ipOctets, ipText } from "../x509/ip-address.ts";
import { CaError } from "./ca-error.ts";

const maxNames = 99; // With the SPIFFE ID that makes the 100 names of DESIGN section 10.

/** Checks and puts in one form: names in lower case, addresses as RFC 5952 writes them. Throws "bad_request". */
export function checkNames(
  dnsNames: readonly string[],
  ipAddresses: readonly string[],
): { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } {
  if (dnsNames.length + ipAddresses.length > maxNames) {
    throw new CaError(
      "bad_request",
      `an entry has at most ${maxNames} names, got ${dnsNames.length + ipAddresses.length}`,
    );
  }
  return {
    dnsNames: [...new Set(dnsNames.map(checkDnsName))],
    ipAddresses: [...new Set(ipAddresses.map(checkIpAddress))],
  };
}

/** RFC 1034 3.5 with the digits of RFC 1123 2.1; a wildcard is the left label alone (RFC 6125 6.4.3). */
function checkDnsName(text: string): string {
  const name = text.toLowerCase();
  const labels = (name.startsWith("*.") ? name.slice(2) : name).split(".");
  const wellFormed =
    name.length <= 253 &&
    labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) &&
    isIP(name) === 0;
  const allDigits = /^[0-9.]+$/.test(name);
  if (!wellFormed || allDigits)
    throw new CaError("bad_request", `not a DNS name: ${JSON.stringify(text.slice(0, 64))}`);
  return name;
}

function checkIpAddress(text: string): string {
  try {
    return ipText(ipOctets(text));
  } catch (error) {
    throw new CaError("bad_request", `not an IP address: ${JSON.stringify(text.slice(0, 64))}`, { cause: error });
  }
}

/** Whether a name is one of these, or a wildcard that stands for one of them (RFC 6125 6.4.3: one label). */
export function coversOneOf(names: ReadonlySet<string>, name: string): boolean {
  if (names.has(name)) return true;
  const above = (each: string): string => each.slice(each.indexOf("."));
  if (name.startsWith("*.")) return [...names].some((each) => isIP(each) === 0 && above(each) === name.slice(1));
  return isIP(name) === 0 && names.has(`*${above(name)}`);
}

/** localhost and the loopback addresses. */
export function isLoopbackName(name: string): boolean {
  return name === "localhost" || name.endsWith(".localhost") || name === "::1" || name.startsWith("127.");
}
