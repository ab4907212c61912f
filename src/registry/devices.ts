// Devices: registered before they join, found by their factory certificate when they do. Each change is one commit with
// its audit event.
//
// | killed                             | what a restart finds                                                     |
// | before the commit of a join        | the device as it was: it joins again                                     |
// | after it, before the reply         | device bound to its factory certificate, certificate recorded: the same  |
// |                                    | key gets the same certificate; another key another, the former is denied |
import { type Actor, audited } from "../audit/audit.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { parseSpiffeId, SpiffeError, type SpiffeId, type TrustDomain, trustDomainOf } from "../spiffe/id.ts";
import { deviceId, kindOf } from "../spiffe/kind.ts";
import type { DeviceClassRecord } from "../store/collections/device-classes.ts";
import {
  type DeviceCertificate,
  type DeviceRecord,
  devices,
  factoryCertificates,
} from "../store/collections/devices.ts";
import { idKey } from "../store/collections/id-key.ts";
import { revocationKey, revocations } from "../store/collections/revocations.ts";
import { expectRevision, type Op, putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import type { RevocationReason } from "../x509/crl.ts";
import { CaError } from "./ca-error.ts";
import { commit } from "./committed.ts";
import { getDeviceClass } from "./device-classes.ts";

export interface DeviceDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly trustDomain: TrustDomain;
}

/**
 * Expected: registered, has not joined. Live: with a certificate that has not ended. Asleep: it ended, and its key still
 * brings the device back. Gone: only its factory certificate does.
 */
export type DeviceState = "expected" | "live" | "asleep" | "gone";

export function deviceState(device: DeviceRecord, graceSeconds: number, now: Date): DeviceState {
  if (device.newest === undefined) return "expected";
  const ended = now.getTime() - device.newest.notAfter;
  if (ended <= 0) return "live";
  return ended <= graceSeconds * 1000 ? "asleep" : "gone";
}

export async function findDevice(store: Pick<Store, "get">, id: string): Promise<Stored<DeviceRecord> | undefined> {
  return store.get(devices, idKey(id));
}

/** Finds a device by CLASS/SERIAL, its path or its whole ID. Throws "not_found", "bad_request". */
export async function getDevice(
  deps: Pick<DeviceDeps, "store" | "trustDomain">,
  name: string,
): Promise<Stored<DeviceRecord>> {
  const id = deviceIdOf(deps.trustDomain, name);
  const held = await findDevice(deps.store, id);
  if (held !== undefined) return held;
  throw new CaError("not_found", `no device ${id} is registered`, { cure: "signet device list" });
}

function deviceIdOf(trustDomain: TrustDomain, name: string): SpiffeId {
  try {
    if (name.startsWith("spiffe://")) return ownDevice(trustDomain, parseSpiffeId(name));
    const [deviceClass = "", serial = "", ...more] = name.replace(/^\/?device\//, "").split("/");
    if (more.length === 0) return deviceId(trustDomain, deviceClass, serial);
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error;
  }
  throw new CaError("bad_request", `a device is CLASS/SERIAL, got ${JSON.stringify(name.slice(0, 64))}`, {
    cure: "signet device list",
  });
}

function ownDevice(trustDomain: TrustDomain, id: SpiffeId): SpiffeId {
  if (kindOf(id) === "device" && trustDomainOf(id) === trustDomain) return id;
  throw new SpiffeError("bad_id", "not a device of this trust domain");
}

export interface NewDevice {
  readonly deviceClass: string;
  readonly serialNumber: string;
  /** SHA-256 of its factory certificate, hex; empty: that of the first that joins. */
  readonly fingerprint: string;
}

/** Registers a device; `already` when it is registered with the same facts. Throws "exists", "bad_request", "not_found". */
export async function addDevice(
  deps: DeviceDeps,
  wanted: NewDevice,
  actor: Actor,
): Promise<{ readonly device: DeviceRecord; readonly already: boolean }> {
  const { deviceClass, serialNumber } = wanted;
  const fingerprint = checkFingerprint(wanted.fingerprint);
  await getDeviceClass(deps.store, deviceClass);
  const id = checkSerialNumber(deps.trustDomain, deviceClass, serialNumber);
  for (let attempt = 0; attempt < 3; attempt++) {
    const held = await findDevice(deps.store, id);
    if (held !== undefined) {
      if (fingerprint === undefined || held.value.fingerprint === fingerprint) {
        return { device: held.value, already: true };
      }
      const other = held.value.fingerprint;
      throw new CaError(
        "exists",
        other === undefined
          ? `${deviceClass}/${serialNumber} is registered already, without a fingerprint`
          : `${deviceClass}/${serialNumber} is registered already, with the factory certificate ${other.slice(0, 16)}...`,
        { cure: `signet device show ${deviceClass}/${serialNumber}` },
      );
    }
    const now = deps.clock.now();
    const device: DeviceRecord = {
      deviceId: id,
      deviceClass,
      serialNumber,
      ...(fingerprint === undefined ? {} : { fingerprint }),
      addedAt: now.getTime(),
      addedBy: actor.name,
    };
    if (fingerprint !== undefined) await refuseTaken(deps.store, fingerprint);
    const result = await commit(deps.store, [
      putIfAbsent(devices, device),
      ...(fingerprint === undefined ? [] : [putIfAbsent(factoryCertificates, { fingerprint, deviceId: id })]),
      audited(deps, actor, {
        at: now,
        action: "device.add",
        subject: id,
        ...(fingerprint === undefined ? {} : { after: { fingerprint } }),
      }),
    ]);
    if (result.done) return { device, already: false };
  }
  throw new CaError("conflict", `${deviceClass}/${serialNumber} is being registered by somebody else`, {
    retry: "later",
  });
}

async function refuseTaken(store: Pick<Store, "get">, fingerprint: string): Promise<void> {
  const taken = await store.get(factoryCertificates, fingerprint);
  if (taken === undefined) return;
  throw new CaError("exists", `that fingerprint is the one of ${taken.value.deviceId}`, { value: fingerprint });
}

/** A serial number that can stand in a SPIFFE ID. Throws "bad_request". */
function checkSerialNumber(trustDomain: TrustDomain, deviceClass: string, serialNumber: string): SpiffeId {
  const bad = new CaError("bad_request", "a serial number is 1 to 64 letters, digits, dots, hyphens, underscores", {
    value: serialNumber.slice(0, 64),
  });
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(serialNumber)) throw bad;
  try {
    return deviceId(trustDomain, deviceClass, serialNumber);
  } catch (error) {
    if (error instanceof SpiffeError) throw bad; // "." and ".."
    throw error;
  }
}

/** The SHA-256 of a certificate as people write it: hex, with or without colons. Throws "bad_request". */
function checkFingerprint(text: string): string | undefined {
  if (text === "") return undefined;
  const hex = text.toLowerCase();
  const plain = /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/.test(hex) ? hex.replaceAll(":", "") : hex;
  if (/^[0-9a-f]{64}$/.test(plain)) return plain;
  throw new CaError("bad_request", "a fingerprint is the SHA-256 of a certificate, 64 hex digits", {
    value: text.slice(0, 64),
  });
}

/** What a new certificate leaves in the record of its device. */
function newestOf({
  serialHex,
  authority,
  authorityKeyId,
  notAfter,
  spkiSha256,
}: DeviceCertificate): DeviceCertificate {
  return { serialHex, authority, authorityKeyId, notAfter, spkiSha256 };
}

/** The ops that bind a device to its factory certificate and note its certificate, for the commit that records that. */
export function deviceJoinOps(
  deps: Pick<DeviceDeps, "random">,
  held: Stored<DeviceRecord>,
  join: { readonly fingerprint: string; readonly from: string; readonly now: Date; readonly issued: DeviceCertificate },
): readonly Op[] {
  const { fingerprint, from, now, issued } = join;
  const { value: device } = held;
  const joined = { at: now.getTime(), from, times: (device.joined?.times ?? 0) + 1 };
  const bound = device.fingerprint !== undefined;
  return [
    update(devices, { ...device, fingerprint, joined, newest: newestOf(issued) }, held.revision),
    ...(bound ? [] : [putIfAbsent(factoryCertificates, { fingerprint, deviceId: device.deviceId })]),
    audited(
      deps,
      { name: device.deviceId, reason: "" },
      {
        at: now,
        action: device.joined === undefined ? "device.join" : "device.rejoin",
        subject: device.deviceId,
        ...(device.newest === undefined ? {} : { before: { serialHex: device.newest.serialHex } }),
        after: { serialHex: issued.serialHex, fingerprint, from },
      },
    ),
  ];
}

/** A certificate by which somebody speaks. */
export interface Presented {
  readonly authorityKeyId: string;
  readonly serialHex: string;
}

/**
 * The ops that note a device's newer certificate, read anew, for one that renews by the certificate that it presents.
 * Throws "denied" for a device that is not registered, and for a certificate that was revoked meanwhile.
 */
export async function deviceRenewOps(
  store: Pick<Store, "get">,
  device: { readonly id: SpiffeId; readonly presented: Presented },
  issued: DeviceCertificate,
): Promise<readonly Op[]> {
  const held = await findDevice(store, device.id);
  if (held === undefined) throw unknownDevice(device.id);
  if ((await reasonRevoked(store, device.presented)) !== undefined) {
    throw new CaError("denied", "the certificate that asks was revoked", { rule: "certificate_revoked" });
  }
  return [deviceRenewedOp(held, issued), notRevoked(device.presented)];
}

export function unknownDevice(id: SpiffeId): CaError {
  return new CaError("denied", `${id} is not registered`, {
    rule: "device_unknown",
    cure: "signet device add --from CSV",
  });
}

export function deviceRenewedOp(held: Stored<DeviceRecord>, issued: DeviceCertificate): Op {
  return update(devices, { ...held.value, newest: newestOf(issued) }, held.revision);
}

/** Why a certificate was revoked, or all under its authority; undefined when it was not. */
export async function reasonRevoked(
  store: Pick<Store, "get">,
  { authorityKeyId, serialHex }: Presented,
): Promise<RevocationReason | undefined> {
  for (const each of [serialHex, "*"]) {
    const held = await store.get(revocations, revocationKey(authorityKeyId, each));
    if (held !== undefined) return held.value.reason;
  }
  return undefined;
}

/** The condition that a certificate is not revoked at the moment of the commit. */
export function notRevoked({ authorityKeyId, serialHex }: Presented): Op {
  return expectRevision(revocations, revocationKey(authorityKeyId, serialHex), "absent");
}

/** The condition that a device is what it was when it was read. */
export function expectDevice(device: Stored<DeviceRecord>): Op {
  return expectRevision(devices, idKey(device.value.deviceId), device.revision);
}

/** Devices by state; `expected` are those that never joined. Reads those that joined, by the end of their certificates. */
export async function countDevices(
  store: Pick<Store, "scan" | "stats">,
  classes: readonly DeviceClassRecord[],
  now: Date,
): Promise<Readonly<Record<DeviceState, number>>> {
  const grace = new Map(classes.map(({ name, graceSeconds }) => [name, graceSeconds]));
  const counts = { live: 0, asleep: 0, gone: 0 };
  for await (const { value } of store.scan(devices, "ends")) {
    const state = deviceState(value, grace.get(value.deviceClass) ?? 0, now);
    if (state !== "expected") counts[state]++;
  }
  const all = (await store.stats()).counts[devices.name] ?? 0;
  return { ...counts, expected: Math.max(0, all - counts.live - counts.asleep - counts.gone) };
}

/** How many devices have a certificate that has not ended. */
export async function liveDevices(store: Pick<Store, "scan">, now: Date): Promise<number> {
  let count = 0;
  for await (const _ of store.scan(devices, "ends", { from: [now.getTime()] })) count++;
  return count;
}
