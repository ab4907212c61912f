import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** One line of the audit trail, committed with what it tells of. */
export interface AuditEvent {
  /** Sortable by time, unique. */
  readonly eventId: string;
  /** Unix milliseconds. */
  readonly at: number;
  /** A SPIFFE ID, "local" for the admin socket, "server" for what the server does by itself. */
  readonly actor: string;
  /** Such as "entry.create". */
  readonly action: string;
  /** What it was done to. */
  readonly subject: string;
  readonly reason: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

export const auditEvents: Collection<AuditEvent> = {
  name: "audit-events",
  key: (record) => record.eventId,
  indexes: {},
  version: 1,
  ...jsonCodec<AuditEvent>(),
};
