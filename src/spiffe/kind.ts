import { parseSpiffeId, pathOf, SpiffeError, type SpiffeId, spiffeId, type TrustDomain } from "./id.ts";

/** Who an ID may belong to. Each kind owns a name space and an ID has one kind for ever. */
export type Kind = "server" | "agent" | "admin" | "device" | "workload" | "reserved";

/**
 * The kind of an ID by its path alone: `/signet/server`, `/signet/admin/NAME`, `/agent/NAME`, `/device/CLASS/SERIAL`;
 * what else lies at or below `/signet`, `/agent` and `/device` is reserved, like the ID of the trust domain itself;
 * all the rest is for workloads. `/agent/x509pop/SHA256` (lower-case hex) is an agent that proved itself by that factory
 * certificate and was not registered by name; what else is at or below `/agent/x509pop` is reserved.
 */
export function kindOf(id: SpiffeId): Kind {
  const [, first, second, third, ...rest] = pathOf(id).split("/");
  switch (first) {
    case undefined:
      return "reserved";
    case "signet":
      if (rest.length > 0) return "reserved";
      if (second === "server") return third === undefined ? "server" : "reserved";
      return second === "admin" && third !== undefined ? "admin" : "reserved";
    case "agent":
      if (second === "x509pop") return rest.length === 0 && /^[0-9a-f]{64}$/.test(third ?? "") ? "agent" : "reserved";
      return second !== undefined && third === undefined ? "agent" : "reserved";
    case "device":
      return third !== undefined && rest.length === 0 ? "device" : "reserved";
    default:
      return "workload";
  }
}

/** The ID of the server of a trust domain. */
export function serverId(trustDomain: TrustDomain): SpiffeId {
  return spiffeId(trustDomain, "/signet/server");
}

/** The ID of an agent. Throws SpiffeError "bad_id" when the name is not one segment or is reserved. */
export function agentId(trustDomain: TrustDomain, name: string): SpiffeId {
  return named(trustDomain, `/agent/${name}`, "agent");
}

/** The ID of an agent that proved itself by a factory certificate with this SHA-256 (hex), and has no name. */
export function x509popAgentId(trustDomain: TrustDomain, fingerprint: string): SpiffeId {
  return named(trustDomain, `/agent/x509pop/${fingerprint}`, "agent");
}

/** The ID of an admin. Throws SpiffeError "bad_id" when the name is not one segment. */
export function adminId(trustDomain: TrustDomain, name: string): SpiffeId {
  return named(trustDomain, `/signet/admin/${name}`, "admin");
}

/** The ID of a device. Throws SpiffeError "bad_id" when class or serial is not one segment. */
export function deviceId(trustDomain: TrustDomain, deviceClass: string, serial: string): SpiffeId {
  return named(trustDomain, `/device/${deviceClass}/${serial}`, "device");
}

/** The last segment of an ID: the name of an agent or admin, the serial number of a device. */
export function lastSegment(id: SpiffeId): string {
  const path = pathOf(id);
  return path.slice(path.lastIndexOf("/") + 1);
}

/**
 * Reads what a person types for an ID: a whole ID, or a path that begins with a slash. Throws SpiffeError "bad_id".
 */
export function parseIdOrPath(text: string, trustDomain: TrustDomain): SpiffeId {
  return text.startsWith("/") ? spiffeId(trustDomain, text) : parseSpiffeId(text);
}

function named(trustDomain: TrustDomain, path: string, kind: Kind): SpiffeId {
  const id = spiffeId(trustDomain, path);
  if (kindOf(id) !== kind) throw new SpiffeError("bad_id", `this is not the path of a SPIFFE ID of kind ${kind}`);
  return id;
}
