import type { Authority } from "../../authority/authority.ts";
import type { SpiffeId, TrustDomain } from "../../spiffe/id.ts";
import type { DeviceClassRecord } from "../../store/collections/device-classes.ts";
import type { DeviceRecord } from "../../store/collections/devices.ts";
import type { EntryRecord } from "../../store/collections/entries.ts";
import type { NodeRecord } from "../../store/collections/nodes.ts";
import type { Stored } from "../../store/store.ts";
import type { Caller } from "../caller.ts";
import type { Profile } from "../profile/profile.ts";

/** All that a decision rests on besides the CSR. Rules see nothing else. */
export interface Facts {
  readonly now: Date;
  readonly trustDomain: TrustDomain;
  readonly caller: Caller;
  readonly profile: Profile;
  readonly id: SpiffeId;
  /** The entry of this caller for this ID (workloads only). */
  readonly entry: Stored<EntryRecord> | undefined;
  /** Who else has an entry for this ID, when this caller has none. */
  readonly entryOfOther: EntryRecord | undefined;
  /** The record of the node that asks (agents only). */
  readonly node: Stored<NodeRecord> | undefined;
  /** The device that it is for, with its class (devices only). */
  readonly device: { readonly record: Stored<DeviceRecord>; readonly deviceClass: DeviceClassRecord } | undefined;
  readonly issuer: Authority | undefined;
  /** Asked for, seconds; undefined: as the entry or profile says. */
  readonly ttlSeconds: number | undefined;
  /** DNS names and addresses of the server; no workload may have one, loopback exempt. */
  readonly serverNames: ReadonlySet<string>;
  /** Names that the profile itself gives: the server's, for its own certificate. */
  readonly ownDnsNames: readonly string[];
  readonly ownIpAddresses: readonly string[];
  /** Whether a certificate over this key was revoked. */
  readonly keyRevoked: boolean;
}
