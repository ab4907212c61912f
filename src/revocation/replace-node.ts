// A node that takes the place of another of its name: what the former holds is revoked in the commit by which the new
// one joins.
import type { Actor } from "../audit/audit.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import { openRevocationKey } from "../store/collections/open-revocations.ts";
import type { Op } from "../store/store.ts";
import { leftToRevoke, noteOp, openRevocation } from "./open-revocations.ts";
import { type RevokeDeps, revokeOps } from "./revoke.ts";

export interface Replacing {
  /** For the commit of the new node's certificate. */
  readonly ops: readonly Op[];
  readonly revoked: readonly CertificateRecord[];
  /** What finishRevocation() takes after that commit. */
  readonly noteKey: string;
}

/**
 * The ops that revoke all of a node's certificates but the one that is being issued, made from the state that was read
 * last. To be called by one work at a time, as revokeTogether() does.
 */
export async function replacedNodeOps(
  deps: RevokeDeps,
  id: SpiffeId,
  { issued, actor }: { readonly issued: { readonly serialHex: string }; readonly actor: Actor },
): Promise<Replacing> {
  const at = deps.clock.now();
  const wanted = { agentId: id, what: "all", exceptSerialHex: issued.serialHex, reason: "superseded" } as const;
  const note = openRevocation(wanted, actor, at);
  const left = await leftToRevoke(deps.store, note, at);
  const { ops } = await revokeOps(deps, left, { reason: note.reason, at, actor });
  return { ops: [...ops, await noteOp(deps.store, note)], revoked: left, noteKey: openRevocationKey(note) };
}
