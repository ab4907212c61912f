// What a change asks to be revoked and one commit does not hold, or does not see: a certificate that was issued between
// the look at what is there and the change itself. The change carries a note of it; the note goes when nothing is left.
//
// | killed                                    | what a restart finds and does                                 |
// | before the change was committed           | nothing; nobody was told that it was done                     |
// | after it, before all was revoked          | the note: the server revokes what is left before it serves    |
// | after all was revoked, before the note    | the note, and nothing left: it is taken away                  |
import type { Actor } from "../audit/audit.ts";
import { updateNodes } from "../registry/nodes.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import {
  type OpenRevocationRecord,
  openRevocationKey,
  openRevocations,
} from "../store/collections/open-revocations.ts";
import { type Op, putIfAbsent, remove, type Store, update } from "../store/store.ts";
import { heldCertificates, isRevoked } from "./held-certificates.ts";
import { maxRevokedTogether, type RevokeDeps, revokeOps, revokeTogether } from "./revoke.ts";

/** A note of what is to be revoked. */
export function openRevocation(
  what: Pick<OpenRevocationRecord, "agentId" | "what" | "reason"> &
    Partial<Pick<OpenRevocationRecord, "spiffeId" | "exceptSerialHex">>,
  actor: Actor,
  at: Date,
): OpenRevocationRecord {
  return { spiffeId: "", exceptSerialHex: "", ...what, at: at.getTime(), actor: actor.name, note: actor.reason };
}

/** The op that notes what is to be revoked; it goes into the commit of the change that asks for it. */
export async function noteOp(store: Pick<Store, "get">, note: OpenRevocationRecord): Promise<Op> {
  const held = await store.get(openRevocations, openRevocationKey(note));
  return held === undefined ? putIfAbsent(openRevocations, note) : update(openRevocations, note, held.revision);
}

/** What is held and not revoked yet, as much of it as one commit takes. */
export async function leftToRevoke(
  store: Pick<Store, "get" | "scan">,
  note: OpenRevocationRecord,
  now: Date,
): Promise<readonly CertificateRecord[]> {
  const left: CertificateRecord[] = [];
  for await (const record of heldCertificates(store, note, now)) {
    if (await isRevoked(store, record)) continue;
    left.push(record);
    if (left.length === maxRevokedTogether) break;
  }
  return left;
}

/** Revokes what a note asks for until nothing of it is left. A note that is not there is done. */
export async function finishRevocation(deps: RevokeDeps, key: string): Promise<void> {
  let isDone = false;
  while (!isDone) {
    const planned = await revokeTogether(deps, async () => {
      const note = await deps.store.get(openRevocations, key);
      if (note === undefined) return { ops: [], isDone: true };
      const { reason, actor, note: why } = note.value;
      const at = deps.clock.now();
      const left = await leftToRevoke(deps.store, note.value, at);
      if (left.length === 0) return { ops: [remove(openRevocations, key, note.revision)], isDone: true };
      const { ops } = await revokeOps(deps, left, { reason, at, actor: { name: actor, reason: why } });
      return { ops: [...ops, ...(await updateNodes(deps.store, left, at))], isDone: false };
    });
    ({ isDone } = planned);
  }
}

/** Finishes what a former process left, or a moment in which the store took no writes. Resolves to how many notes. */
export async function finishOpenRevocations(deps: RevokeDeps): Promise<number> {
  const notes = await Array.fromAsync(deps.store.scan(openRevocations, "key"));
  for (const { value } of notes) await finishRevocation(deps, openRevocationKey(value));
  return notes.length;
}
