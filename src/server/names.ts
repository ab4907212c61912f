import { isIP } from "node:net";
import { isLoopback, isWildcard, parseAddress } from "../platform/address.ts";
import { checkNames } from "../registry/names.ts";
import type { ServerConfig } from "./config.ts";

/**
 * DNS names and addresses of the api certificate: `names` and the host of `advertise`, else localhost and the loopback; and
 * the address that is listened on.
 */
export function serverNames(config: Pick<ServerConfig, "names" | "advertise" | "listen">): {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
} {
  const advertised = config.advertise === undefined ? [] : [parseAddress(config.advertise).host];
  const given = [...(config.names ?? []), ...advertised];
  const bound = parseAddress(config.listen.api).host;
  const boundName = isIP(bound) !== 0 && !isLoopback(bound) && !isWildcard(bound) ? [bound] : [];
  const all = [...(given.length === 0 ? ["localhost", "127.0.0.1", "::1"] : given), ...boundName];
  return checkNames(
    all.filter((name) => isIP(name) === 0),
    all.filter((name) => isIP(name) !== 0),
  );
}
