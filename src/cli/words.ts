// The words of states and key types. Typed by the protocol's lists, so that a new state does not compile without a word.
import type { AuthorityState, NodeState, RotateStep, TokenState } from "../../proto/gen/signet/v1/admin.ts";
import type { IdentityState } from "../../proto/gen/signet/v1/issuance.ts";
import type { Tone } from "./layout.ts";

const tokenStates: Record<TokenState, string> = { 0: "unknown", 1: "open", 2: "used", 3: "expired", 4: "revoked" };
const nodeStates: Record<NodeState, string> = { 0: "unknown", 1: "live", 2: "late", 3: "gone", 4: "banned" };
const authorityStates: Record<AuthorityState, string> = {
  0: "unknown",
  1: "prepared",
  2: "active",
  3: "old",
  4: "retired",
  5: "tainted",
  6: "revoked",
};
const identityStates: Record<IdentityState, string> = {
  0: "unknown",
  1: "on_disk",
  2: "memory",
  3: "write_failed",
  4: "reload_failed",
  5: "renew_failed",
};
const rotateSteps: Record<RotateStep, string> = {
  0: "unknown",
  1: "prepared",
  2: "waiting",
  3: "activated",
  4: "moving",
  5: "done",
};

/** States that a newer server may add arrive as numbers that we have no word for. */
function wordOf(words: Readonly<Record<number, string>>, state: number): string {
  return words[state] ?? `state ${state}`;
}

export const tokenState = (state: TokenState): string => wordOf(tokenStates, state);
export const nodeState = (state: NodeState): string => wordOf(nodeStates, state);
export const authorityState = (state: AuthorityState): string => wordOf(authorityStates, state);
export const identityState = (state: IdentityState): string => wordOf(identityStates, state);
export const rotateStep = (step: RotateStep): string => wordOf(rotateSteps, step);

/** `on_disk` as people read it. */
export function spaced(word: string): string {
  return word.replaceAll("_", " ");
}

const tones: Readonly<Record<string, Tone>> = {
  open: "good",
  live: "good",
  active: "good",
  on_disk: "good",
  prepared: "warn",
  late: "warn",
  old: "warn",
  memory: "warn",
  gone: "bad",
  banned: "bad",
  tainted: "bad",
  revoked: "bad",
  write_failed: "bad",
  reload_failed: "bad",
  renew_failed: "bad",
  expired: "dim",
  used: "dim",
  retired: "dim",
};

export function toneOf(word: string): Tone | undefined {
  return tones[word];
}

const keyTypes: Readonly<Record<string, string>> = {
  "ec-p256": "EC P-256",
  "ec-p384": "EC P-384",
  "rsa-2048": "RSA 2048",
  "rsa-3072": "RSA 3072",
  "rsa-4096": "RSA 4096",
  ed25519: "Ed25519",
};

export function keyType(name: string): string {
  return keyTypes[name] ?? name;
}

/** `5d1c 07aa ... 9a1e`: enough of a fingerprint to compare by eye. */
export function shortFingerprint(hex: string): string {
  return `${hex.slice(0, 4)} ${hex.slice(4, 8)} ... ${hex.slice(-4)}`;
}

/** The path of a SPIFFE ID that stands under a heading with its trust domain; a foreign one stays whole. */
export function pathUnder(trustDomain: string, id: string): string {
  const prefix = `spiffe://${trustDomain}/`;
  return trustDomain !== "" && id.startsWith(prefix) ? id.slice(prefix.length - 1) : id;
}

/** `one` of `spiffe://T/agent/one`, as commands take it; anything else stays whole. */
export function agentName(id: string): string {
  return /^spiffe:\/\/[^/]+\/agent\/([^/]+)$/.exec(id)?.[1] ?? id;
}

/** The trust domain of a SPIFFE ID, or nothing. */
export function trustDomainIn(id: string | undefined): string {
  return /^spiffe:\/\/([^/]+)/.exec(id ?? "")?.[1] ?? "";
}
