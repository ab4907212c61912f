// Which certificates an agent holds. All by indexes: its own by its ID, those of its identities by the entries that it
// has or had, since a deleted entry is remembered.
import { entriesOfAgent } from "../registry/entries.ts";
import { type CertificateRecord, certificates } from "../store/collections/certificates.ts";
import { idKey } from "../store/collections/id-key.ts";
import type { OpenRevocationRecord } from "../store/collections/open-revocations.ts";
import { revocationKey, revocations } from "../store/collections/revocations.ts";
import type { Store } from "../store/store.ts";

/** What to look for; `exceptSerialHex` is left out. */
export type Holding = Pick<OpenRevocationRecord, "agentId" | "what" | "spiffeId" | "exceptSerialHex">;

/** Certificates that have not ended: the agent's own, of its identities, or all, in no order. */
export async function* heldCertificates(
  store: Pick<Store, "scan">,
  { agentId, what, spiffeId, exceptSerialHex }: Holding,
  now: Date,
): AsyncIterable<CertificateRecord> {
  const ids =
    what === "own"
      ? [agentId]
      : what === "identity"
        ? [spiffeId]
        : [agentId, ...(await entriesOfAgent(store, agentId)).map(({ value }) => value.spiffeId)];
  for (const id of ids) {
    for await (const record of certificatesOfId(store, id, now)) {
      // Another agent may have an entry for the same identity.
      const isOfAgent = record.spiffeId === agentId || record.caller === agentId;
      if (isOfAgent && record.serialHex !== exceptSerialHex) yield record;
    }
  }
}

/** Those of them that are revoked. */
export async function revokedOf(
  store: Pick<Store, "get" | "scan">,
  holding: Holding,
  now: Date,
): Promise<readonly CertificateRecord[]> {
  const revoked: CertificateRecord[] = [];
  for await (const record of heldCertificates(store, holding, now)) {
    if (await isRevoked(store, record)) revoked.push(record);
  }
  return revoked;
}

/** All certificates of an ID that have not ended, whoever asked for them. */
export async function* certificatesOfId(
  store: Pick<Store, "scan">,
  spiffeId: string,
  now: Date,
): AsyncIterable<CertificateRecord> {
  const range = { prefix: [idKey(spiffeId)], from: [now.getTime()] };
  for await (const { value } of store.scan(certificates, "id", range)) if (value.spiffeId === spiffeId) yield value;
}

export async function isRevoked(
  store: Pick<Store, "get">,
  { authorityKeyId, serialHex }: Pick<CertificateRecord, "authorityKeyId" | "serialHex">,
): Promise<boolean> {
  return (await store.get(revocations, revocationKey(authorityKeyId, serialHex))) !== undefined;
}
