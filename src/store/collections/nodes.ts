import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

/** A node that has joined. What its reports change is a record of its own (node-reports.ts). Times are Unix milliseconds. */
export interface NodeRecord {
  readonly agentId: string;
  readonly state: "member" | "banned" | "evicted";
  readonly attestation: "join_string" | "recover" | "x509pop";
  readonly joinedAt: number;
  /** The newest certificate of its line. */
  readonly serialHex: string;
  readonly authority: string;
  readonly notAfter: number;
  /** SHA-256 of the newest certificate's SubjectPublicKeyInfo, hex. */
  readonly spkiSha256: string;
  /** Where it came from when it joined, host:port. */
  readonly joinedFrom: string;
  /** Certificates of its own that were revoked and had not ended: in the node's record, so that what it asks for with one
   * of them at that moment is decided anew. */
  readonly revoked?: readonly { readonly serialHex: string; readonly notAfter: number }[];
}

export const nodes: Collection<NodeRecord> = {
  name: "nodes",
  key: (record) => idKey(record.agentId),
  indexes: { ends: (record) => [[record.notAfter]] },
  version: 1,
  ...jsonCodec<NodeRecord>(),
};
