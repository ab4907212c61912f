// Join strings. The server keeps the SHA-256 of a secret only; the string itself is shown once, when it is made.
import { createHash, timingSafeEqual } from "node:crypto";
import { type Actor, audited } from "../audit/audit.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { type TrustDomain, trustDomainOf } from "../spiffe/id.ts";
import { encodeJoinString } from "../spiffe/join-string.ts";
import { kindOf } from "../spiffe/kind.ts";
import { type TokenRecord, tokens } from "../store/collections/tokens.ts";
import { putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import { CaError } from "./ca-error.ts";
import { commit } from "./committed.ts";
import { findNode } from "./nodes.ts";

export interface TokenDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly trustDomain: TrustDomain;
}

export type TokenState = "open" | "used" | "expired" | "revoked";

/** The longest a join string may live, seconds: 30 days. */
const maxTokenTtlSeconds: number = 30 * 86_400;

export function tokenState(token: TokenRecord, now: Date): TokenState {
  if (token.used !== undefined) return "used";
  if (token.revokedAt !== undefined) return "revoked";
  return now.getTime() >= token.expiresAt ? "expired" : "open";
}

/**
 * Makes a join string for an agent. `rootPins` are the SHA-256 of every root in the bundle, prepared ones too. Throws
 * "bad_request".
 */
export async function createToken(
  deps: TokenDeps,
  wanted: {
    readonly subject: SpiffeId;
    readonly ttlSeconds: number;
    readonly addresses: readonly string[];
    readonly rootPins: readonly Uint8Array[];
    readonly replace?: boolean;
  },
  actor: Actor,
): Promise<{ readonly token: TokenRecord; readonly joinString: string }> {
  const { subject, ttlSeconds } = wanted;
  if (trustDomainOf(subject) !== deps.trustDomain || kindOf(subject) !== "agent") {
    throw new CaError("bad_request", `${subject} is not an agent of ${deps.trustDomain}: agents are /agent/NAME`);
  }
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > maxTokenTtlSeconds) {
    throw new CaError(
      "bad_request",
      `a join string lives 1 s to ${maxTokenTtlSeconds / 86_400} d, got ${ttlSeconds} s`,
    );
  }
  if ((await findNode(deps.store, subject))?.value.state === "banned") {
    throw new CaError("denied", `${subject} is banned, no join string can let it in`, {
      rule: "node_banned",
      value: subject,
      cure: "signet token create --agent NAME     (a name that is not banned)",
    });
  }
  const now = deps.clock.now();
  const secret = deps.random.bytes(32);
  const secretSha256 = sha256Hex(secret);
  const token: TokenRecord = {
    secretSha256,
    tokenId: secretSha256.slice(0, 12),
    kind: "agent",
    subject,
    createdAt: now.getTime(),
    expiresAt: now.getTime() + ttlSeconds * 1000,
    createdBy: actor.name,
    reused: 0,
    ...(wanted.replace === true ? { replace: true } : {}),
  };
  const result = await commit(deps.store, [
    putIfAbsent(tokens, token),
    audited(deps, actor, { at: now, action: "token.create", subject: token.tokenId, after: auditedToken(token) }),
  ]);
  if (!result.done) throw new CaError("internal", "a secret was drawn twice");
  const joinString = encodeJoinString({
    kind: "agent",
    trustDomain: deps.trustDomain,
    subject,
    addresses: wanted.addresses,
    secret,
    rootPins: wanted.rootPins,
    expiresAt: new Date(token.expiresAt),
  });
  return { token, joinString };
}

/** Finds a join string by what people call it, at least 4 of its 12 digits. Throws "not_found", "conflict". */
export async function getToken(deps: Pick<TokenDeps, "store">, tokenId: string): Promise<Stored<TokenRecord>> {
  const missing = new CaError("not_found", `no join string ${tokenId.slice(0, 64)}`, { cure: "signet token list" });
  if (!/^[0-9a-f]{4,12}$/.test(tokenId)) throw missing;
  const range = { from: [tokenId], to: [`${tokenId}g`] };
  const [first, second] = await Array.fromAsync(deps.store.scan(tokens, "token", range, { limit: 2 }));
  if (first === undefined) throw missing;
  if (second !== undefined) throw new CaError("conflict", `several join strings begin with ${tokenId}`);
  return first;
}

/** Revokes a join string that was not used; twice is the same as once. Throws "conflict" when it was used. */
export async function revokeToken(deps: TokenDeps, tokenId: string, actor: Actor): Promise<TokenRecord> {
  const held = await getToken(deps, tokenId);
  if (held.value.used !== undefined) {
    throw new CaError("conflict", `join string ${held.value.tokenId} was used, there is nothing left to revoke`, {
      cure: `signet node show ${held.value.subject}`,
    });
  }
  if (held.value.revokedAt !== undefined) return held.value;
  const now = deps.clock.now();
  const revoked: TokenRecord = { ...held.value, revokedAt: now.getTime() };
  const result = await commit(deps.store, [
    update(tokens, revoked, held.revision),
    audited(deps, actor, {
      at: now,
      action: "token.revoke",
      subject: revoked.tokenId,
      before: auditedToken(held.value),
      after: auditedToken(revoked),
    }),
  ]);
  if (!result.done) return revokeToken(deps, tokenId, actor);
  return revoked;
}

/** What the audit trail keeps of a join string: nothing that finds or proves its secret. */
function auditedToken(token: TokenRecord): Omit<TokenRecord, "secretSha256" | "used"> {
  const { secretSha256: _, used: __, ...rest } = token;
  return rest;
}

/** The join string of a secret that was made for this subject, in whatever state. Throws "token_unknown". */
export async function tokenOfSecret(
  deps: Pick<TokenDeps, "store">,
  use: { readonly secret: Uint8Array; readonly subject: SpiffeId },
): Promise<Stored<TokenRecord>> {
  const digest = sha256Hex(use.secret);
  const held = await deps.store.get(tokens, digest);
  if (held === undefined || !sameText(held.value.secretSha256, digest) || held.value.subject !== use.subject) {
    throw new CaError("token_unknown", "this server knows no such join string", {
      cure: "signet token create --agent NAME",
    });
  }
  return held;
}

/**
 * The join string of a secret, when this key may use it now for this subject. An open one, or one that the same key used
 * and that has not ended. Throws "token_unknown", "token_expired", "token_used".
 */
export async function tokenForUse(
  deps: Pick<TokenDeps, "store">,
  use: { readonly secret: Uint8Array; readonly subject: SpiffeId; readonly spkiSha256: string; readonly now: Date },
): Promise<Stored<TokenRecord>> {
  const held = await tokenOfSecret(deps, use);
  const token = held.value;
  const cure = `signet token create --agent ${token.subject.replace(/^.*\/agent\//, "")}`;
  if (token.used !== undefined && token.used.spkiSha256 !== use.spkiSha256) {
    const usedAt = new Date(token.used.at).toISOString();
    throw new CaError(
      "token_used",
      `this join string was used at ${usedAt} by a node with another key; if that was not you, it was stolen`,
      { cure },
    );
  }
  if (token.revokedAt !== undefined && token.used === undefined) {
    throw new CaError("token_unknown", "this join string was revoked", { cure });
  }
  if (use.now.getTime() >= token.expiresAt) {
    throw new CaError("token_expired", `this join string ended at ${new Date(token.expiresAt).toISOString()}`, {
      cure,
    });
  }
  return held;
}

/** Tries to count one attempt before a crowd of others is let win. */
const countTries = 5;

/**
 * Counts and audits an attempt by another key: the thief may have been first. Of a crowd at the same moment some are
 * counted, at least one; false when this one was not.
 */
export async function countReuse(
  deps: TokenDeps,
  use: { readonly secret: Uint8Array; readonly from: string },
): Promise<boolean> {
  for (let attempt = 0; attempt < countTries; attempt++) {
    const at = deps.clock.now();
    const held = await deps.store.get(tokens, sha256Hex(use.secret));
    if (held?.value.used === undefined || held.value.reused >= 1000) return false;
    const result = await commit(deps.store, [
      update(tokens, { ...held.value, reused: held.value.reused + 1, reusedAt: at.getTime() }, held.revision),
      audited(
        deps,
        { name: held.value.subject, reason: "" },
        {
          at,
          action: "token.reused",
          subject: held.value.tokenId,
          after: { from: use.from },
        },
      ),
    ]);
    if (result.done) return true;
  }
  return false;
}

/** Attempts by another key, over all join strings, and the strings that were tried so since a moment, newest first. */
export async function reusedTokens(
  store: Pick<Store, "scan">,
  since: Date,
): Promise<{ readonly total: number; readonly recent: readonly TokenRecord[] }> {
  let total = 0;
  const recent: TokenRecord[] = [];
  for await (const { value } of store.scan(tokens, "reused", {}, { reverse: true })) {
    total += value.reused;
    if ((value.reusedAt ?? 0) >= since.getTime()) recent.push(value);
  }
  return { total, recent };
}

export function sha256Hex(octets: Uint8Array): string {
  return createHash("sha256").update(octets).digest("hex");
}

function sameText(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
