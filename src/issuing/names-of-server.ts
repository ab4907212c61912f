import { isLoopbackName } from "../registry/names.ts";

/** Names that no workload may have: the server's own, loopback exempt. */
export function reservedNames(dnsNames: readonly string[], ipAddresses: readonly string[]): ReadonlySet<string> {
  return new Set([...dnsNames, ...ipAddresses].filter((name) => !isLoopbackName(name)));
}
