// Joining by a factory certificate: a device, or a node that nobody registered. Both may join again, as after a factory
// reset: the proof is as good as the first time. What the former key still has of certificates is denied in the same
// commit, so that there is never more than one holder.
import type { SpiffeId } from "../spiffe/id.ts";
import { type CertificateRecord, certificateKey, certificates } from "../store/collections/certificates.ts";
import type { DeviceRecord } from "../store/collections/devices.ts";
import { idKey } from "../store/collections/id-key.ts";
import type { NodeRecord } from "../store/collections/nodes.ts";
import type { Op, Store, Stored } from "../store/store.ts";
import { CaError } from "./ca-error.ts";
import { findDevice, notRevoked, reasonRevoked, unknownDevice } from "./devices.ts";
import { refuseBanned } from "./joining.ts";
import { findNode, isLive } from "./nodes.ts";

export interface FactoryUse {
  readonly id: SpiffeId;
  readonly fingerprint: string;
  /** SHA-256 of the key to be certified. */
  readonly spkiSha256: string;
  readonly now: Date;
}

/** Certificates of one holder that live at once; more than this nobody has. */
const maxFormer = 100;

/**
 * A device that may join now. `again` when the same key has a certificate already that is young: that is the answer, as
 * when the reply was lost. `former` are certificates of other keys that have not ended. Throws "denied" `device_unknown`,
 * `factory_certificate_other`, and `device_revoked` for one whose certificate was revoked by an admin: that stops a
 * device, but for the reason superseded.
 */
export async function prepareDeviceJoin(
  store: Pick<Store, "get" | "scan">,
  use: FactoryUse,
): Promise<
  | { readonly again: CertificateRecord }
  | {
      readonly device: Stored<DeviceRecord>;
      readonly former: readonly CertificateRecord[];
      readonly conditions: readonly Op[];
    }
> {
  const device = await findDevice(store, use.id);
  if (device === undefined) throw unknownDevice(use.id);
  const { fingerprint, newest } = device.value;
  if (fingerprint !== undefined && fingerprint !== use.fingerprint) {
    throw new CaError("denied", `${use.id} is bound to another factory certificate`, {
      rule: "factory_certificate_other",
      value: use.fingerprint,
    });
  }
  if (newest === undefined) return { device, former: [], conditions: [] };
  const reason = await reasonRevoked(store, newest);
  if (reason !== undefined && reason !== "superseded") {
    throw new CaError("denied", `the last certificate of ${use.id} was revoked, so it may not join`, {
      rule: "device_revoked",
      value: reason,
    });
  }
  if (reason === undefined && newest.spkiSha256 === use.spkiSha256) {
    const held = await store.get(certificates, certificateKey(newest.serialHex, newest.authority));
    if (held !== undefined && isYoung(held.value, use.now)) return { again: held.value };
  }
  const former = await formerOf(store, use);
  const isDenied = reason !== undefined || former.some(({ serialHex }) => serialHex === newest.serialHex);
  return { device, former, conditions: isDenied ? [] : [notRevoked(newest)] };
}

/** The same for a node whose ID is that of its factory certificate. Throws "denied" `node_banned`. */
export async function prepareUnregisteredJoin(
  store: Pick<Store, "get" | "scan">,
  use: FactoryUse,
): Promise<
  | { readonly again: CertificateRecord }
  | { readonly node: Stored<NodeRecord> | undefined; readonly former: readonly CertificateRecord[] }
> {
  const node = await findNode(store, use.id);
  refuseBanned(node?.value);
  if (node === undefined) return { node, former: [] };
  if (isLive({ node: node.value }, use.now) && node.value.spkiSha256 === use.spkiSha256) {
    const held = await store.get(certificates, certificateKey(node.value.serialHex, node.value.authority));
    if (held !== undefined && isYoung(held.value, use.now)) return { again: held.value };
  }
  return { node, former: await formerOf(store, use) };
}

/** Before its renewal is due. */
function isYoung({ notAfter, ttlSeconds }: CertificateRecord, now: Date): boolean {
  return notAfter - now.getTime() > ttlSeconds * 500;
}

/** What other keys have of this ID and that has not ended. */
async function formerOf(store: Pick<Store, "scan">, use: FactoryUse): Promise<readonly CertificateRecord[]> {
  const found: CertificateRecord[] = [];
  const range = { prefix: [idKey(use.id)], from: [use.now.getTime()] };
  for await (const { value } of store.scan(certificates, "id", range, { limit: maxFormer })) {
    if (value.spiffeId === use.id && value.spkiSha256 !== use.spkiSha256) found.push(value);
  }
  return found;
}
