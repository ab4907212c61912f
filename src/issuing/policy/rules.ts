// The rules of the issuing line, in their order. Each is pure and looks at one thing; the first that objects decides.

import { coversOneOf } from "../../registry/names.ts";
import { isRevokedOf } from "../../registry/nodes.ts";
import { pathOf, trustDomainOf } from "../../spiffe/id.ts";
import type { ParsedCsr } from "../../x509/csr.ts";
import type { GeneralName } from "../../x509/general-name.ts";
import { OID } from "../../x509/oid.ts";
import { callerName } from "../caller.ts";
import { inNameSpace } from "../profile/profile.ts";
import type { Facts } from "./facts.ts";
import { lifeOf } from "./life.ts";

/** Closed list of what the line may object to. */
export type RuleName =
  | "name_space"
  | "not_parent"
  | "no_entry"
  | "node_unknown"
  | "node_banned"
  | "certificate_revoked"
  | "device_unknown"
  | "csr_asks_more"
  | "name_not_allowed"
  | "id_not_in_entry"
  | "dns_not_in_entry"
  | "ip_not_in_entry"
  | "server_name"
  | "ttl_over_profile"
  | "key_revoked"
  | "no_authority"
  | "authority_ends";

/** What a rule objects to: one sentence, what was asked, what would be allowed, and a command that would allow it. */
export interface Objection {
  readonly detail: string;
  readonly value: string;
  readonly limit?: string;
  readonly cure?: string;
}

export interface Rule {
  readonly name: RuleName;
  /** What holds when the rule does not object, for `explain`. */
  readonly holds: string;
  /** The rule is about the CSR: without one, as `explain` may be asked, it has no say. */
  readonly needsCsr?: true;
  judge(facts: Facts, csr: ParsedCsr | undefined): Objection | undefined;
}

export const rules: readonly Rule[] = [
  {
    name: "name_space",
    holds: "the ID is in the name space of its kind",
    judge: ({ id, profile, trustDomain }) => {
      if (trustDomainOf(id) === trustDomain && inNameSpace(profile.name, id)) return undefined;
      const space = {
        server: "/signet/server",
        agent: "/agent/NAME",
        workload: "anything but /signet/*, /agent/*, /device/*",
        device: "/device/CLASS/SERIAL",
      };
      return {
        detail: `${id} is not in the name space of the profile ${profile.name}`,
        value: id,
        limit: `spiffe://${trustDomain} with ${space[profile.name]}`,
      };
    },
  },
  {
    name: "not_parent",
    holds: "the caller may ask for it",
    judge: ({ caller, profile, id, entry, entryOfOther }) => {
      const who = callerName(caller);
      if (profile.name === "workload") {
        if (caller.kind !== "agent")
          return { detail: `${who} is not an agent`, value: who, limit: "an agent's certificate" };
        if (entry !== undefined || entryOfOther === undefined) return undefined;
        return {
          detail: `${entryOfOther.entryId} gives ${id} to ${entryOfOther.agentId}, not to ${who}`,
          value: who,
          limit: entryOfOther.agentId,
          cure: `signet entry create --id ${pathOf(id)} --agent ${agentName(who)}`,
        };
      }
      const itself =
        profile.name === "server"
          ? caller.kind === "server"
          : caller.kind === profile.name || caller.kind === "attested";
      if (itself && who === (caller.kind === "server" ? "server" : id)) return undefined;
      return { detail: `${who} asks for the certificate of ${id}`, value: who, limit: id };
    },
  },
  {
    name: "no_entry",
    holds: "an entry gives it",
    judge: ({ profile, entry, id, caller }) =>
      profile.name !== "workload" || entry !== undefined
        ? undefined
        : {
            detail: `no entry gives ${id} to ${callerName(caller)}`,
            value: id,
            cure: `signet entry create --id ${pathOf(id)} --agent ${agentName(callerName(caller))}`,
          },
  },
  {
    name: "node_unknown",
    holds: "the node has joined",
    judge: ({ node, caller }) => {
      if (caller.kind !== "agent" || (node !== undefined && node.value.state !== "evicted")) return undefined;
      return {
        detail: `${caller.id} has not joined`,
        value: caller.id,
        cure: `signet token create --agent ${agentName(caller.id)}`,
      };
    },
  },
  {
    name: "node_banned",
    holds: "the node is not banned",
    judge: ({ node, caller }) =>
      caller.kind === "agent" && node?.value.state === "banned"
        ? { detail: `${caller.id} is banned`, value: caller.id }
        : undefined,
  },
  {
    name: "certificate_revoked",
    holds: "the certificate that asks was not revoked",
    judge: ({ node, caller }) =>
      caller.kind === "agent" && node !== undefined && isRevokedOf(node.value, caller.serialHex)
        ? { detail: "the certificate that asks was revoked", value: caller.serialHex }
        : undefined,
  },
  {
    name: "device_unknown",
    holds: "the device is registered",
    judge: ({ profile, device, id }) =>
      profile.name !== "device" || device !== undefined
        ? undefined
        : { detail: `${id} is not registered`, value: id, cure: "signet device add --from CSV" },
  },
  {
    name: "csr_asks_more",
    holds: "the CSR asks for nothing that the profile does not give",
    needsCsr: true,
    judge: (facts, csr) => (csr === undefined ? undefined : asksMore(facts, csr)),
  },
  {
    name: "name_not_allowed",
    holds: "the CSR names only URIs, DNS names and addresses",
    needsCsr: true,
    judge: (_facts, csr) => {
      const other = csr?.names.find((name) => name.kind !== "uri" && name.kind !== "dns" && name.kind !== "ip");
      return (
        other && {
          detail: `the CSR asks for a name of the kind ${other.kind}`,
          value: other.kind,
          limit: "uri, dns, ip",
        }
      );
    },
  },
  {
    name: "id_not_in_entry",
    holds: "the CSR's URI is the ID",
    needsCsr: true,
    judge: ({ id }, csr) => {
      const other = csr?.names.find((name) => name.kind === "uri" && name.value !== id);
      return other && { detail: `the CSR asks for ${other.value}, allowed is ${id}`, value: other.value, limit: id };
    },
  },
  {
    name: "dns_not_in_entry",
    holds: "the CSR's DNS names are the entry's",
    needsCsr: true,
    judge: (facts, csr) => outside(facts, csr, "dns", facts.entry?.value.dnsNames ?? facts.ownDnsNames),
  },
  {
    name: "ip_not_in_entry",
    holds: "the CSR's addresses are the entry's",
    needsCsr: true,
    judge: (facts, csr) => outside(facts, csr, "ip", facts.entry?.value.ipAddresses ?? facts.ownIpAddresses),
  },
  {
    name: "server_name",
    holds: "no name is the server's own",
    judge: ({ profile, entry, serverNames }) => {
      if (profile.name !== "workload" || entry === undefined) return undefined;
      const taken = [...entry.value.dnsNames, ...entry.value.ipAddresses].find((name) =>
        coversOneOf(serverNames, name),
      );
      return taken === undefined
        ? undefined
        : {
            detail: `${taken} is a name of the server itself`,
            value: taken,
            ...(entry.value.dnsNames.includes(taken)
              ? { cure: `signet entry update ${entry.value.entryId} --remove-dns ${taken}` }
              : {}),
          };
    },
  },
  {
    name: "ttl_over_profile",
    holds: "the life is within the entry's",
    judge: (facts) => {
      const limit = facts.entry?.value.ttlSeconds ?? facts.profile.ttlSeconds;
      const asked = facts.ttlSeconds ?? limit;
      if (asked <= limit) return undefined;
      return {
        detail: `a life of ${asked} s is longer than the ${limit} s allowed`,
        value: `${asked} s`,
        limit: `${limit} s`,
        ...(facts.entry === undefined
          ? {}
          : { cure: `signet entry update ${facts.entry.value.entryId} --ttl ${asked}s` }),
      };
    },
  },
  {
    name: "key_revoked",
    holds: "no certificate over this key was revoked",
    needsCsr: true,
    judge: ({ keyRevoked }) =>
      keyRevoked
        ? { detail: "a certificate over this key was revoked: make a new key", value: "the CSR's key" }
        : undefined,
  },
  {
    name: "no_authority",
    holds: "an active authority signs it",
    judge: ({ issuer, profile }) =>
      issuer === undefined
        ? {
            detail: `no active authority serves ${profile.serves}`,
            value: profile.serves,
            cure: profile.serves === "devices" ? "signet device class list" : "signet authority list",
          }
        : undefined,
  },
  {
    name: "authority_ends",
    holds: "its authority lives long enough",
    judge: (facts) => {
      const life = lifeOf(facts);
      if (life === undefined || life.grantedSeconds * 2 >= life.wantedSeconds) return undefined;
      return {
        detail: `${facts.issuer?.record.name ?? "the authority"} ends in ${life.grantedSeconds} s, under half of the ${life.wantedSeconds} s wanted`,
        value: `${life.wantedSeconds} s`,
        limit: `${life.grantedSeconds} s`,
        cure: facts.profile.serves === "devices" ? "signet authority rotate --devices" : "signet authority rotate",
      };
    },
  },
];

function asksMore({ profile }: Facts, csr: ParsedCsr): Objection | undefined {
  const objection = (value: string, limit: string): Objection => ({
    detail: `the CSR asks for ${value}`,
    value,
    limit,
  });
  if (csr.basicConstraints?.ca === true) return objection("a CA certificate", "a leaf");
  const usages = csr.publicKey.type.startsWith("rsa-") ? ["digitalSignature", "keyEncipherment"] : ["digitalSignature"];
  const usage = [...(csr.keyUsage ?? [])].find((each) => !usages.includes(each));
  if (usage !== undefined) return objection(`the key usage ${usage}`, usages.join(", "));
  const purposes: readonly string[] = {
    server: [OID.serverAuth],
    client: [OID.clientAuth],
    both: [OID.serverAuth, OID.clientAuth],
  }[profile.extendedKeyUsage];
  const purpose = csr.extendedKeyUsage?.find((each) => !purposes.includes(each));
  if (purpose !== undefined) {
    const limit = { server: "serverAuth", client: "clientAuth", both: "serverAuth, clientAuth" }[
      profile.extendedKeyUsage
    ];
    return objection(`the extended key usage ${purpose}`, limit);
  }
  const unknown = csr.unknownExtensions.find((each) => each.critical);
  return unknown && objection(`the critical extension ${unknown.oid}`, "none that is not known");
}

function outside(
  facts: Facts,
  csr: ParsedCsr | undefined,
  kind: GeneralName["kind"],
  allowed: readonly string[],
): Objection | undefined {
  const other = csr?.names.find((name) => name.kind === kind && !allowed.includes(name.value));
  if (other === undefined) return undefined;
  const entryId = facts.entry?.value.entryId;
  // --ip replaces the whole list.
  const flags =
    kind === "dns" ? `--add-dns ${other.value}` : [...allowed, other.value].map((ip) => `--ip ${ip}`).join(" ");
  return {
    detail: `the CSR asks for ${other.value}, ${entryId ?? `the profile ${facts.profile.name}`} allows ${allowed.join(", ") || "none"}`,
    value: other.value,
    limit: allowed.join(", ") || "none",
    ...(entryId === undefined ? {} : { cure: `signet entry update ${entryId} ${flags}` }),
  };
}

function agentName(id: string): string {
  return id.replace(/^spiffe:\/\/[^/]*\/agent\//, "");
}
