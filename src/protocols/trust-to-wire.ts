// What more than one protocol says of the trust domain, in the words of the wire.
import type { Bundle } from "../../proto/gen/signet/v1/bundle.ts";
import type { DenyList } from "../../proto/gen/signet/v1/issuance.ts";
import type { DenyListWithCrls } from "../revocation/deny-list.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";

export function bundleToWire(bundle: TrustBundle): Bundle {
  return {
    trustDomain: bundle.trustDomain,
    sequence: bundle.sequence,
    refreshHintSeconds: bundle.refreshHintSeconds,
    rootsDer: bundle.roots.map((root) => Buffer.from(root.raw)),
  };
}

export function denyListToWire(list: DenyListWithCrls): DenyList {
  return {
    sequence: list.sequence,
    denied: list.denied.map(({ authorityKeyId, serialHex }) => ({ authorityKeyId, serialHex })),
    crlsDer: list.crlsDer.map((crl) => Buffer.from(crl)),
  };
}
