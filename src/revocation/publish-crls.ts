// CRLs are signed anew long before they end, without any revocation.
import { audited, serverActor } from "../audit/audit.ts";
import type { RotationDeps } from "../authority/rotation.ts";
import { commit } from "../registry/committed.ts";
import type { AuthorityKind } from "../store/collections/authorities.ts";
import type { CrlRecord } from "../store/collections/crls.ts";
import { trust } from "../store/collections/trust.ts";
import { update } from "../store/store.ts";
import { nextCrlOp } from "./next-crl.ts";

export type PublishDeps = Pick<
  RotationDeps,
  "store" | "keys" | "clock" | "random" | "announcements" | "state" | "settings"
>;

/** An intermediate's is signed anew after a seventh of its life, a root's (where the key is here) before its last twelfth. */
function dueAt({ thisUpdate, nextUpdate }: CrlRecord, kind: AuthorityKind): number {
  return thisUpdate + (nextUpdate - thisUpdate) * { intermediate: 1 / 7, root: 11 / 12 }[kind];
}

/** Signs anew each CRL that is due, all in one commit under one new sequence. Resolves to the names of their authorities. */
export async function publishDueCrls(deps: PublishDeps): Promise<readonly string[]> {
  const view = deps.state.view();
  const now = deps.clock.now();
  const due = view.authorities.flatMap((authority) => {
    const crl = view.crls.find(({ value }) => value.authority === authority.record.name);
    if (crl === undefined || !authority.record.keyHere) return [];
    return now.getTime() >= dueAt(crl.value, authority.record.kind) ? [{ authority, crl }] : [];
  });
  if (due.length === 0) return [];
  const ops = await Promise.all(
    due.map(({ authority, crl }) => nextCrlOp(deps, authority, { previous: crl, added: [], now })),
  );
  const names = due.map(({ authority }) => authority.record.name);
  const result = await commit(deps.store, [
    update(trust, { ...view.trust.value, deniedSequence: view.trust.value.deniedSequence + 1n }, view.trust.revision),
    ...ops,
    audited(deps, serverActor, { at: now, action: "crl.publish", subject: names.join(" ") }),
  ]);
  await deps.state.reload();
  if (!result.done) return [];
  deps.announcements.trustChanged();
  return names;
}
