// Revoking certificates by themselves, and with an entry that is deleted. The holder is not stopped by that: an agent
// replaces what it holds at once, by a new key.
import { type Actor, audited } from "../audit/audit.ts";
import { CaError } from "../registry/ca-error.ts";
import { deletedEntry } from "../registry/entries.ts";
import { updateNodes } from "../registry/nodes.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import { type EntryRecord, entries } from "../store/collections/entries.ts";
import { openRevocationKey } from "../store/collections/open-revocations.ts";
import { type Stored, update } from "../store/store.ts";
import type { RevocationReason } from "../x509/crl.ts";
import { heldCertificates, revokedOf } from "./held-certificates.ts";
import { finishRevocation, leftToRevoke, noteOp, openRevocation } from "./open-revocations.ts";
import { maxRevokedTogether, type RevokeDeps, revokeOps, revokeTogether } from "./revoke.ts";

export interface RevokedCertificates {
  readonly revoked: readonly CertificateRecord[];
  /** Serials of those that were revoked before. */
  readonly already: readonly string[];
  readonly deniedSequence: bigint;
}

/** Revokes these certificates. The same twice is the same as once. */
export async function revokeCertificates(
  deps: RevokeDeps,
  records: readonly CertificateRecord[],
  how: { readonly reason: RevocationReason; readonly actor: Actor },
): Promise<RevokedCertificates> {
  const revoked: CertificateRecord[] = [];
  const already: string[] = [];
  for (let start = 0; start < records.length; start += maxRevokedTogether) {
    const slice = records.slice(start, start + maxRevokedTogether);
    const done = await revokeTogether(deps, async () => {
      const at = deps.clock.now();
      const revocation = await revokeOps(deps, slice, { ...how, at });
      if (revocation.ops.length === 0) return revocation;
      return { ...revocation, ops: [...revocation.ops, ...(await updateNodes(deps.store, revocation.revoked, at))] };
    });
    revoked.push(...done.revoked);
    already.push(...done.already);
  }
  return { revoked, already, deniedSequence: deps.state.view().trust.value.deniedSequence };
}

/** Deletes an entry and revokes what its agent holds by it. Throws "conflict" when somebody else changed the entry. */
export async function deleteEntryAndRevoke(
  deps: RevokeDeps,
  held: Stored<EntryRecord>,
  { actor, dryRun }: { readonly actor: Actor; readonly dryRun: boolean },
): Promise<Omit<RevokedCertificates, "already"> & { readonly entry: Stored<EntryRecord> }> {
  const reason = "cessationOfOperation";
  const { agentId, spiffeId } = held.value;
  const holding = openRevocation({ agentId, what: "identity", spiffeId, reason }, actor, deps.clock.now());
  if (dryRun) {
    const revoked = await Array.fromAsync(heldCertificates(deps.store, holding, deps.clock.now()));
    return { entry: held, revoked, deniedSequence: deps.state.view().trust.value.deniedSequence };
  }
  await revokeTogether(deps, async () => {
    const at = deps.clock.now();
    const now = await deps.store.get(entries, entries.key(held.value));
    if (now?.revision !== held.revision) {
      throw new CaError("conflict", `${held.value.entryId} was changed by somebody else meanwhile`, {
        retry: "later",
        cure: `signet entry show ${held.value.entryId}`,
      });
    }
    const left = await leftToRevoke(deps.store, holding, at);
    const revocation = await revokeOps(deps, left, { reason, at, actor });
    return {
      ops: [
        update(entries, deletedEntry(held.value, at), held.revision),
        audited(deps, actor, { at, action: "entry.delete", subject: held.value.entryId, before: held.value }),
        await noteOp(deps.store, holding),
        ...revocation.ops,
      ],
    };
  });
  deps.announcements.entriesChanged(held.value.agentId);
  await finishRevocation(deps, openRevocationKey(holding));
  const revoked = await revokedOf(deps.store, holding, deps.clock.now());
  const entry = (await deps.store.get(entries, entries.key(held.value))) ?? held;
  return { entry, revoked, deniedSequence: deps.state.view().trust.value.deniedSequence };
}
