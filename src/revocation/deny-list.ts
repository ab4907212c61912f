// The deny list as agents get it: the revoked that have not ended, under a sequence that only grows, with the CRLs that
// say the same to proxies.
import type { TrustView } from "../authority/trust-state.ts";
import type { DenyList } from "../spiffe/deny.ts";
import { revocations } from "../store/collections/revocations.ts";
import type { Store } from "../store/store.ts";

export interface DenyListWithCrls extends DenyList {
  readonly crlsDer: readonly Uint8Array[];
}

/** Reads the deny list of this view of the trust domain. */
export async function readDenyList(store: Pick<Store, "scan">, view: TrustView, now: Date): Promise<DenyListWithCrls> {
  const denied: { authorityKeyId: string; serialHex: string }[] = [];
  for await (const { value } of store.scan(revocations, "ends", { from: [now.getTime()] })) {
    denied.push({ authorityKeyId: value.authorityKeyId, serialHex: value.serialHex });
  }
  return { sequence: view.trust.value.deniedSequence, denied, crlsDer: view.crls.map((crl) => crl.value.der) };
}
