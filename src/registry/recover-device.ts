// A device that slept past the end of its certificate and comes back by the key of it, within the grace of its class.
import type { DeviceRecord } from "../store/collections/devices.ts";
import type { Op, Stored } from "../store/store.ts";
import { CaError } from "./ca-error.ts";
import { getDeviceClass } from "./device-classes.ts";
import {
  type DeviceDeps,
  deviceRenewedOp,
  findDevice,
  notRevoked,
  type Presented,
  reasonRevoked,
  unknownDevice,
} from "./devices.ts";
import { type IssuedFacts, provenCertificate, type RecoverUse } from "./joining.ts";

/** A device that may have its next certificate, with what must still hold when that is committed. */
export interface ComingBack {
  readonly device: Stored<DeviceRecord>;
  readonly notRevoked: readonly Presented[];
}

const cure = "join again by the factory certificate";

/**
 * Judges a device that comes back by the record of its last certificate, as prepareRecover() judges an agent: first the
 * proof, then newest of its line (or followed by one over this very key: that reply was lost), within the grace, not
 * revoked, and a new key. Throws "unauthenticated" `key_not_ours`, then "denied" and "bad_request".
 */
export async function prepareDeviceRecover(
  deps: Pick<DeviceDeps, "store" | "trustDomain">,
  use: RecoverUse,
): Promise<ComingBack> {
  const last = await provenCertificate(deps, use);
  const device = await findDevice(deps.store, use.id);
  const newest = device?.value.newest;
  if (device === undefined || newest === undefined) throw unknownDevice(use.id);
  if (newest.serialHex !== last.serialHex && newest.spkiSha256 !== use.spkiSha256) {
    throw new CaError("denied", "a newer certificate of this device was issued", {
      rule: "certificate_replaced",
      cure,
    });
  }
  const { graceSeconds } = await getDeviceClass(deps.store, device.value.deviceClass);
  if (use.now.getTime() > newest.notAfter + graceSeconds * 1000) {
    throw new CaError("denied", `the certificate ended at ${new Date(newest.notAfter).toISOString()}, too long ago`, {
      rule: "grace_over",
      limit: `${graceSeconds} s`,
      cure,
    });
  }
  const judged: readonly Presented[] = [last, newest];
  for (const each of judged) {
    if ((await reasonRevoked(deps.store, each)) === undefined) continue;
    throw new CaError("denied", "that certificate was revoked", { rule: "certificate_revoked", cure });
  }
  if (use.spkiSha256 === last.spkiSha256) {
    throw new CaError("bad_request", "coming back needs a new key, this is that of the last certificate");
  }
  return { device, notRevoked: last.serialHex === newest.serialHex ? [last] : judged };
}

/** The ops that note its new certificate, for the commit that records it. */
export function deviceRecoverOps(back: ComingBack, issued: IssuedFacts): readonly Op[] {
  return [deviceRenewedOp(back.device, issued), ...back.notRevoked.map(notRevoked)];
}
