import type { RevocationReason } from "../../x509/crl.ts";
import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";
import { idKey } from "./id-key.ts";

/**
 * What is still to be revoked: written in the commit of the change that asks for it (a ban, a deleted entry), gone in the
 * commit after which nothing of it is left. One that a restart finds is finished by the server. Unix milliseconds.
 */
export interface OpenRevocationRecord {
  /** Whose certificates: those that this agent asked for, its own among them. */
  readonly agentId: string;
  /** `all` of the agent, only its `own`, or those of one `identity`. */
  readonly what: "all" | "own" | "identity";
  /** Of the identity; empty else. */
  readonly spiffeId: string;
  /** A certificate that stays: the one of the agent that takes the place of the former. Empty for none. */
  readonly exceptSerialHex: string;
  readonly reason: RevocationReason;
  readonly at: number;
  /** Who asked for it, and why, for the audit events of what is left. */
  readonly actor: string;
  readonly note: string;
}

export function openRevocationKey({
  agentId,
  what,
  spiffeId,
}: Pick<OpenRevocationRecord, "agentId" | "what" | "spiffeId">): string {
  return idKey(`${agentId} ${what} ${spiffeId}`);
}

export const openRevocations: Collection<OpenRevocationRecord> = {
  name: "open-revocations",
  key: openRevocationKey,
  indexes: {},
  version: 1,
  ...jsonCodec<OpenRevocationRecord>(),
};
