// Device classes: whose factory certificates prove a device, and what its certificates are. A class is made once and does
// not change: what a device was let in by must not loosen behind its back.
import { type Actor, audited } from "../audit/audit.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { type DeviceClassRecord, deviceClasses } from "../store/collections/device-classes.ts";
import { type Op, putIfAbsent, type Store } from "../store/store.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { X509Error } from "../x509/errors.ts";
import { CaError } from "./ca-error.ts";
import { sha256Hex } from "./tokens.ts";

export interface DeviceClassDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
}

export interface DeviceClassWish {
  readonly name: string;
  readonly ttlSeconds: number;
  readonly graceSeconds: number;
  readonly serverAuth: boolean;
  readonly factoryCasDer: readonly Uint8Array[];
}

/** Factory CAs of one class, and classes: each CA is tried at each join by a factory certificate. */
const maxFactoryCas = 32;
const maxDeviceClasses = 256;
const leastTtlSeconds = 60;
const mostGraceSeconds: number = 365 * 86_400;

/** Checks what a class is to be. `maxTtlSeconds`: a quarter of its authority's life. Throws "bad_request", "denied". */
export function checkDeviceClass(
  wish: DeviceClassWish,
  limits: { readonly maxTtlSeconds: number; readonly now: Date },
): DeviceClassWish {
  const { name, ttlSeconds, graceSeconds } = wish;
  if (!/^[a-z0-9][a-z0-9._-]{0,31}$/.test(name)) {
    throw new CaError(
      "bad_request",
      "a device class is 1 to 32 lower-case letters, digits, dots, hyphens, underscores",
      {
        value: name.slice(0, 64),
      },
    );
  }
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < leastTtlSeconds) {
    throw new CaError("bad_request", `the ttl of a device is ${leastTtlSeconds} s or more, got ${ttlSeconds} s`);
  }
  if (ttlSeconds > limits.maxTtlSeconds) {
    throw new CaError("denied", `a life of ${ttlSeconds} s is over a quarter of that of the devices' intermediate`, {
      rule: "ttl_over_authority",
      value: `${ttlSeconds} s`,
      limit: `${limits.maxTtlSeconds} s`,
      cure: "a longer devices.intermediate_ttl in server.yaml, then: signet authority rotate --devices",
    });
  }
  if (!Number.isInteger(graceSeconds) || graceSeconds < 0 || graceSeconds > mostGraceSeconds) {
    throw new CaError("bad_request", `the grace of a device class is 0 to 365 d, got ${graceSeconds} s`);
  }
  const cas = distinct(wish.factoryCasDer);
  if (cas.length === 0) {
    throw new CaError("bad_request", "a device class has at least one factory CA", {
      cure: `signet device class create ${name} --ca FILE`,
    });
  }
  if (cas.length > maxFactoryCas) {
    throw new CaError("bad_request", `a device class has at most ${maxFactoryCas} factory CAs, got ${cas.length}`);
  }
  for (const der of cas) checkFactoryCa(der, limits.now);
  return { ...wish, factoryCasDer: cas };
}

/** A certificate that may stand as a factory CA now. Throws CaError "bad_request" with what is wrong. */
export function checkFactoryCa(der: Uint8Array, now: Date): Certificate {
  let certificate: Certificate;
  try {
    certificate = parseCertificate(der);
  } catch (error) {
    if (!(error instanceof X509Error)) throw error;
    throw new CaError("bad_request", `a factory CA cannot be read: ${error.message}`, { cause: error });
  }
  const bad = (why: string): CaError =>
    new CaError("bad_request", `${certificate.subjectText || "a certificate without a name"} is no factory CA: ${why}`);
  if (certificate.basicConstraints?.ca !== true) throw bad("it is not the certificate of a CA");
  if (certificate.keyUsage?.has("keyCertSign") === false)
    throw bad("its key usage does not allow to sign certificates");
  const [unknown] = certificate.criticalUnknown;
  if (unknown !== undefined) throw bad(`it has a critical extension that is not understood: ${unknown}`);
  if (now > certificate.notAfter) throw bad(`it ended at ${certificate.notAfter.toISOString()}`);
  return certificate;
}

/**
 * The ops that make a class, for the commit that may make its authority too. Throws "exists", and "bad_request" when
 * there are too many.
 */
export async function deviceClassOps(
  deps: DeviceClassDeps,
  wish: DeviceClassWish,
  actor: Actor,
): Promise<readonly Op[]> {
  const held = await deps.store.get(deviceClasses, wish.name);
  if (held !== undefined) {
    throw new CaError("exists", `there is a device class ${wish.name} already`, { cure: "signet device class list" });
  }
  const count = (await deps.store.stats()).counts[deviceClasses.name] ?? 0;
  if (count >= maxDeviceClasses) {
    throw new CaError("bad_request", `there are ${count} device classes, ${maxDeviceClasses} are the most`);
  }
  const now = deps.clock.now();
  const record: DeviceClassRecord = { ...wish, createdAt: now.getTime(), createdBy: actor.name };
  const { factoryCasDer, ...facts } = wish;
  const after = { ...facts, factoryCas: factoryCasDer.map(sha256Hex) };
  return [
    putIfAbsent(deviceClasses, record),
    audited(deps, actor, { at: now, action: "device_class.create", subject: wish.name, after }),
  ];
}

/** Throws "not_found". */
export async function getDeviceClass(store: Pick<Store, "get">, name: string): Promise<DeviceClassRecord> {
  const held = name === "" ? undefined : await store.get(deviceClasses, name.slice(0, 64));
  if (held !== undefined) return held.value;
  throw new CaError("not_found", `no device class ${JSON.stringify(name.slice(0, 64))}`, {
    cure: "signet device class list",
  });
}

/** All classes, in the order of their names. */
export async function allDeviceClasses(store: Pick<Store, "scan">): Promise<readonly DeviceClassRecord[]> {
  return Array.fromAsync(store.scan(deviceClasses, "key"), ({ value }) => value);
}

/** The longest life of a device's certificate, seconds; 0 without a class. */
export async function longestDeviceTtlSeconds(store: Pick<Store, "scan">): Promise<number> {
  for await (const { value } of store.scan(deviceClasses, "ttl", {}, { reverse: true, limit: 1 }))
    return value.ttlSeconds;
  return 0;
}

/** The longest grace of a class, seconds; 0 without a class. */
export async function longestGraceSeconds(store: Pick<Store, "scan">): Promise<number> {
  for await (const { value } of store.scan(deviceClasses, "grace", {}, { reverse: true, limit: 1 })) {
    return value.graceSeconds;
  }
  return 0;
}

function distinct(all: readonly Uint8Array[]): readonly Uint8Array[] {
  const seen = new Map(all.map((der) => [Buffer.from(der).toString("latin1"), der]));
  return [...seen.values()];
}
