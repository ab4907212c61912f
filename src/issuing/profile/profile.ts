// Certificate profiles: what a kind of leaf may be. Each kind owns a name space, whatever an entry or order says.

import type { CaErrorFacts } from "../../registry/ca-error.ts";
import type { SpiffeId } from "../../spiffe/id.ts";
import { kindOf } from "../../spiffe/kind.ts";
import type { Serves } from "../../store/collections/authorities.ts";
import type { DeviceClassRecord } from "../../store/collections/device-classes.ts";

export type ProfileName = "server" | "agent" | "workload" | "device";

export interface Profile {
  readonly name: ProfileName;
  readonly extendedKeyUsage: "server" | "client" | "both";
  /** Which authorities sign it. */
  readonly serves: Serves;
  /** The longest life, seconds; an entry may give less. */
  readonly ttlSeconds: number;
}

/** Says whether an ID is in the name space of a profile. */
export function inNameSpace(profile: ProfileName, id: SpiffeId): boolean {
  return kindOf(id) === profile;
}

/** The life of a device's certificate when its class names none, seconds. */
export const deviceTtlSeconds: number = 30 * 86_400;

/** The profile of a device, as its class has it. */
export function deviceProfile(deviceClass: Pick<DeviceClassRecord, "ttlSeconds" | "serverAuth">): Profile {
  const { ttlSeconds, serverAuth } = deviceClass;
  return { name: "device", extendedKeyUsage: serverAuth ? "both" : "client", serves: "devices", ttlSeconds };
}

/** The profiles with their configured lifetimes, seconds. */
export function profiles(lifetimes: {
  readonly serverSeconds: number;
  readonly agentSeconds: number;
  readonly workloadSeconds: number;
}): { readonly [name in ProfileName]: Profile } {
  return {
    server: { name: "server", extendedKeyUsage: "server", serves: "services", ttlSeconds: lifetimes.serverSeconds },
    agent: { name: "agent", extendedKeyUsage: "client", serves: "services", ttlSeconds: lifetimes.agentSeconds },
    device: deviceProfile({ ttlSeconds: deviceTtlSeconds, serverAuth: false }),
    workload: { name: "workload", extendedKeyUsage: "both", serves: "services", ttlSeconds: lifetimes.workloadSeconds },
  };
}

/**
 * The longest ttl under an authority that lives so long: a quarter of it. A profile above that is refused when it is
 * loaded (`ttl_over_authority`).
 */
export function maxTtlSeconds(authorityLifeSeconds: number): number {
  return Math.floor(authorityLifeSeconds / 4);
}

/** Why these profiles cannot be loaded under an authority of this life; undefined when they can. */
export function ttlOverAuthority(
  all: readonly Profile[],
  authorityLifeSeconds: number,
): (CaErrorFacts & { readonly detail: string }) | undefined {
  const limit = maxTtlSeconds(authorityLifeSeconds);
  // Devices have an intermediate of their own.
  const over = all.find((profile) => profile.serves === "services" && profile.ttlSeconds > limit);
  if (over === undefined) return undefined;
  return {
    rule: "ttl_over_authority",
    detail: `lifetimes.${over.name} is ${over.ttlSeconds} s, over a quarter of the intermediate's ${authorityLifeSeconds} s`,
    value: `${over.ttlSeconds} s`,
    limit: `${limit} s`,
    cure: `set lifetimes: {${over.name}: ${limit}s} in server.yaml, or a longer --intermediate-ttl`,
  };
}
