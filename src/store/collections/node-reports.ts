import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

export type ReportedState = "on_disk" | "memory" | "write_failed" | "reload_failed" | "renew_failed";

export interface ReportedIdentity {
  readonly spiffeId: string;
  readonly serialHex: string;
  readonly notAfter: number;
  readonly renewAt: number;
  readonly state: ReportedState;
  readonly lastError: string;
  readonly entryRevision: number;
}

/** What an agent last said of itself. Times are Unix milliseconds of the server, unless named otherwise. */
export interface NodeReportRecord {
  readonly agentId: string;
  readonly seenAt: number;
  readonly version: string;
  readonly address: string;
  /** Sequences and entry revision that are durably on its disk. */
  readonly bundleSequence: bigint;
  readonly deniedSequence: bigint;
  readonly entryRevision: number;
  /** The agent's clock minus the server's. */
  readonly clockOffsetMs: number;
  readonly heldBackBy: string;
  readonly identities: readonly ReportedIdentity[];
}

export const nodeReports: Collection<NodeReportRecord> = {
  name: "node-reports",
  key: (record) => idKey(record.agentId),
  indexes: {},
  version: 1,
  ...jsonCodec<NodeReportRecord>(),
};
