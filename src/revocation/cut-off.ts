// Banning and evicting nodes. A ban revokes all that the node holds, and the node never comes back. An eviction forgets
// the node: its own certificate is revoked, its identities end by themselves, and a new join string lets it join anew.
import { type Actor, audited } from "../audit/audit.ts";
import { CaError } from "../registry/ca-error.ts";
import { findNode, withRevoked } from "../registry/nodes.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import { type NodeRecord, nodes } from "../store/collections/nodes.ts";
import { openRevocationKey } from "../store/collections/open-revocations.ts";
import { type Stored, update } from "../store/store.ts";
import { heldCertificates, revokedOf } from "./held-certificates.ts";
import { finishRevocation, leftToRevoke, noteOp, openRevocation } from "./open-revocations.ts";
import { type RevokeDeps, revokeOps, revokeTogether } from "./revoke.ts";

export interface CutOff {
  /** Certificates of it that are revoked and have not ended; with `dryRun` those that would be. */
  readonly revoked: readonly CertificateRecord[];
  /** The sequence of the deny list that has all of them. */
  readonly deniedSequence: bigint;
  /** It was so before, and nothing was done. */
  readonly already: boolean;
}

export interface CutOffWish {
  readonly actor: Actor;
  /** Changes nothing. */
  readonly dryRun?: boolean;
}

const kinds = {
  ban: { state: "banned", what: "all", reason: "privilegeWithdrawn" },
  evict: { state: "evicted", what: "own", reason: "cessationOfOperation" },
} as const;

/** Bans a node. The same twice is the same as once. Throws "not_found" for one that never joined. */
export function banNode(deps: RevokeDeps, id: SpiffeId, wish: CutOffWish): Promise<CutOff> {
  return cutOff(deps, "ban", { id, ...wish });
}

/** Evicts a node. The same twice is the same as once. Throws "not_found", "denied" `node_banned` for a banned one. */
export function evictNode(deps: RevokeDeps, id: SpiffeId, wish: CutOffWish): Promise<CutOff> {
  return cutOff(deps, "evict", { id, ...wish });
}

async function cutOff(
  deps: RevokeDeps,
  verb: keyof typeof kinds,
  { id, actor, dryRun = false }: CutOffWish & { readonly id: SpiffeId },
): Promise<CutOff> {
  const { state, what, reason } = kinds[verb];
  const holding = openRevocation({ agentId: id, what, reason }, actor, deps.clock.now());
  const former = await nodeToCut(deps, id, verb);
  if (dryRun) {
    const revoked = await Array.fromAsync(heldCertificates(deps.store, holding, deps.clock.now()));
    const { deniedSequence } = deps.state.view().trust.value;
    return { revoked, deniedSequence, already: former.value.state === state };
  }
  const begun = await revokeTogether(deps, async () => {
    const node = await nodeToCut(deps, id, verb);
    if (node.value.state === state) return { ops: [], already: true };
    const at = deps.clock.now();
    const left = await leftToRevoke(deps.store, holding, at);
    const revocation = await revokeOps(deps, left, { reason, at, actor });
    return {
      already: false,
      ops: [
        update(nodes, withRevoked({ ...node.value, state }, left, at), node.revision),
        await noteOp(deps.store, holding),
        audited(deps, actor, {
          at,
          action: `node.${verb}`,
          subject: id,
          before: { state: node.value.state },
          after: { state },
        }),
        ...revocation.ops,
      ],
    };
  });
  // What was issued between the look and the commit. From the commit on nothing is, so this ends.
  await finishRevocation(deps, openRevocationKey(holding));
  const revoked = await revokedOf(deps.store, holding, deps.clock.now());
  return { revoked, deniedSequence: deps.state.view().trust.value.deniedSequence, already: begun.already };
}

async function nodeToCut(
  { store }: Pick<RevokeDeps, "store">,
  id: SpiffeId,
  verb: keyof typeof kinds,
): Promise<Stored<NodeRecord>> {
  const node = await findNode(store, id);
  if (node === undefined) throw new CaError("not_found", `no node ${id} has joined`, { cure: "signet node list" });
  if (verb === "evict" && node.value.state === "banned") {
    throw new CaError("denied", `${id} is banned, and a ban is for ever`, {
      rule: "node_banned",
      value: id,
      cure: "signet token create --agent NAME     (a name that is not banned)",
    });
  }
  return node;
}
