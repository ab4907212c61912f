import type { Random } from "../platform/random.ts";
import { type AuditEvent, auditEvents } from "../store/collections/audit-events.ts";
import { type Op, putIfAbsent } from "../store/store.ts";

/** Who did it and why, as an audit event names it. */
export interface Actor {
  /** A SPIFFE ID, "local" for the admin socket, "server" for what the server does by itself. */
  readonly name: string;
  readonly reason: string;
}

export interface AuditDeps {
  readonly random: Random;
}

/** What the server does by itself. */
export const serverActor: Actor = { name: "server", reason: "" };

/** The op that records an event; it goes into the commit that makes the change it tells of. */
export function audited(
  deps: AuditDeps,
  actor: Actor,
  event: Pick<AuditEvent, "action" | "subject" | "before" | "after"> & { readonly at: Date },
): Op {
  const at = event.at.getTime();
  const eventId = `${String(at).padStart(15, "0")}-${Buffer.from(deps.random.bytes(8)).toString("hex")}`;
  return putIfAbsent(auditEvents, { ...event, at, eventId, actor: actor.name, reason: actor.reason });
}
