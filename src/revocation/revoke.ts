// Revoking certificates. What a revocation changes is one commit: the revocations themselves, the sequence of the deny
// list, the next CRL of each authority that is concerned, the audit event, and what the caller changes with it.
//
// | killed                             | what a restart finds                                                     |
// | before or in the commit            | nothing of it, or all of it; nobody was told                             |
// | after the commit, before the reply | revoked, on the deny list and in the CRL: asked again it changes nothing |
import { type Actor, audited } from "../audit/audit.ts";
import { isCurrent } from "../authority/authority.ts";
import type { RotationDeps } from "../authority/rotation.ts";
import { CaError } from "../registry/ca-error.ts";
import { commit } from "../registry/committed.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import { type RevocationRecord, revocationKey, revocations } from "../store/collections/revocations.ts";
import { trust } from "../store/collections/trust.ts";
import { type Op, putIfAbsent, update } from "../store/store.ts";
import type { RevocationReason } from "../x509/crl.ts";
import { nextCrlOp } from "./next-crl.ts";

export type RevokeDeps = Pick<
  RotationDeps,
  "store" | "keys" | "clock" | "random" | "announcements" | "state" | "settings" | "oneAtATime"
>;

/** Why, when, and at whose wish. */
export interface Revoking {
  readonly reason: RevocationReason;
  readonly at: Date;
  readonly actor: Actor;
}

export interface Revocation {
  /** Empty when there was nothing left to revoke. */
  readonly ops: readonly Op[];
  readonly revoked: readonly CertificateRecord[];
  /** Serials of those that were revoked before. */
  readonly already: readonly string[];
  /** The sequence of the deny list that has all of them. */
  readonly deniedSequence: bigint;
}

/** The most certificates of one commit; who has more of them revokes them in several. */
export const maxRevokedTogether = 400;

/**
 * The ops that revoke these certificates, made from the state that was read last: their conditions fail when somebody
 * changed it, and then they must be made anew (see revokeTogether). None of them touches nodes, entries, or other records
 * of the holder. Those that were revoked before stay as they were.
 */
export async function revokeOps(
  deps: Pick<RevokeDeps, "store" | "keys" | "random" | "state" | "settings">,
  records: readonly CertificateRecord[],
  { reason, at, actor }: Revoking,
): Promise<Revocation> {
  if (records.length > maxRevokedTogether) {
    throw new CaError("internal", `${records.length} certificates are too many to revoke in one commit`);
  }
  const view = deps.state.view();
  const already: string[] = [];
  const revoked: CertificateRecord[] = [];
  const added: RevocationRecord[] = [];
  for (const record of records) {
    const { authorityKeyId, serialHex, spkiSha256, notAfter } = record;
    if ((await deps.store.get(revocations, revocationKey(authorityKeyId, serialHex))) !== undefined) {
      already.push(serialHex);
      continue;
    }
    revoked.push(record);
    added.push({ authorityKeyId, serialHex, spkiSha256, notAfter, revokedAt: at.getTime(), reason });
  }
  if (added.length === 0) return { ops: [], revoked, already, deniedSequence: view.trust.value.deniedSequence };
  const deniedSequence = view.trust.value.deniedSequence + 1n;
  const lists: Op[] = [];
  for (const authority of view.authorities) {
    const ofIt = added.filter(({ authorityKeyId }) => authorityKeyId === authority.record.keyId);
    // Of a retired one all leaves have ended, and its key is gone.
    if (ofIt.length === 0 || !isCurrent(authority) || !authority.record.keyHere) continue;
    const previous = view.crls.find(({ value }) => value.authority === authority.record.name);
    lists.push(await nextCrlOp(deps, authority, { previous, added: ofIt, now: at }));
  }
  const [first] = revoked;
  return {
    ops: [
      update(trust, { ...view.trust.value, deniedSequence }, view.trust.revision),
      ...added.map((record) => putIfAbsent(revocations, record)),
      ...lists,
      audited(deps, actor, {
        at,
        action: "certificate.revoke",
        subject: revoked.length === 1 ? (first?.serialHex ?? "") : (first?.spiffeId ?? ""),
        after: { serials: revoked.map(({ serialHex }) => serialHex), reason, deniedSequence: String(deniedSequence) },
      }),
    ],
    revoked,
    already,
    deniedSequence,
  };
}

/** How often a commit is put together anew when others change the same. */
const tries = 5;

/**
 * Commits what `plan` makes from the newest state, one such work at a time, and tells everybody. Without ops nothing is
 * committed. Throws CaError "conflict", and "in_doubt" after which the deny list is read anew all the same.
 */
export function revokeTogether<T extends { readonly ops: readonly Op[] }>(
  deps: RevokeDeps,
  plan: () => Promise<T>,
): Promise<T> {
  return deps.oneAtATime(async () => {
    for (let attempt = 0; attempt < tries; attempt++) {
      await readAnew(deps);
      const planned = await plan();
      if (planned.ops.length === 0) return planned;
      try {
        if (!(await commit(deps.store, planned.ops)).done) continue;
      } catch (error) {
        // It may be stored: then it counts from now on, although nobody was told that it was done.
        if (error instanceof CaError && error.code === "in_doubt") await readAnew(deps).catch(() => undefined);
        throw error;
      }
      await readAnew(deps);
      return planned;
    }
    throw new CaError("conflict", "the deny list is being changed by somebody else", { retry: "later" });
  });
}

/** Reads the trust domain anew, and tells everybody when it is another one than before. */
export async function readAnew(deps: Pick<RevokeDeps, "state" | "announcements">): Promise<void> {
  const before = deps.state.view().trust.revision;
  const view = await deps.state.reload();
  if (view.trust.revision !== before) deps.announcements.trustChanged();
}
