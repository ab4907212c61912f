// What the agent says of itself, to the server and on its own socket. One mapping each way out.
import { AgentReport, IdentityState } from "../proto/gen/signet/v1/issuance.ts";
import type { GetAgentStatusResponse, HeldIdentity as WireHeldIdentity } from "../proto/gen/signet/v1/node.ts";
import type { Acknowledgement } from "./acknowledged.ts";
import { type IdentitySlot, notReadyReason, type ReportedState, stateOf } from "./identities/cache.ts";
import type { HeldIdentity } from "./identities/held-identity.ts";
import type { Contact } from "./session.ts";
import type { TrustState } from "./trust.ts";

const wireStates: Readonly<Record<ReportedState, IdentityState>> = {
  on_disk: IdentityState.IDENTITY_STATE_ON_DISK,
  memory: IdentityState.IDENTITY_STATE_MEMORY,
  write_failed: IdentityState.IDENTITY_STATE_WRITE_FAILED,
  reload_failed: IdentityState.IDENTITY_STATE_RELOAD_FAILED,
  renew_failed: IdentityState.IDENTITY_STATE_RENEW_FAILED,
};

export interface ReportFacts {
  readonly acknowledged: Acknowledgement;
  readonly slots: readonly IdentitySlot[];
  readonly now: Date;
  readonly version: string;
}

/** The report that goes up: what is durably on disk, and how each identity does. */
export function agentReport({ acknowledged, slots, now, version }: ReportFacts): AgentReport {
  return {
    bundleSequence: acknowledged.bundle,
    deniedSequence: acknowledged.denied,
    entryRevision: acknowledged.entryRevision,
    identities: slots.filter((slot) => slot.held !== undefined || slot.renewal.failures > 0).map(identityReport),
    agentTime: now,
    version,
    heldBackBy: acknowledged.heldBackBy.slice(0, 1024),
  };
}

/** What must differ for a report to be worth sending before its time: everything but the time itself. */
export function reportMark(report: AgentReport): string {
  return Buffer.from(AgentReport.encode({ ...report, agentTime: undefined }).finish()).toString("base64");
}

function identityReport(slot: IdentitySlot): AgentReport["identities"][number] {
  const { held } = slot;
  return {
    spiffeId: slot.spiffeId,
    serialHex: held?.serialHex ?? "",
    notAfter: held?.notAfter,
    renewAt: held?.renewAt,
    state: wireStates[stateOf(slot)],
    lastError: lastErrorOf(slot),
    entryRevision: held?.entryRevision ?? 0n,
  };
}

function lastErrorOf({ disk, renewal }: IdentitySlot): string {
  return (disk.lastError === "" ? renewal.lastError : disk.lastError).slice(0, 256);
}

export interface StatusFacts {
  readonly own: HeldIdentity | undefined;
  readonly contact: Contact;
  readonly trust: TrustState;
  readonly acknowledged: Acknowledgement;
  readonly slots: readonly IdentitySlot[];
  readonly startedAt: Date;
  readonly now: Date;
  readonly version: string;
  readonly lastError: string;
}

/** The answer of `signet agent status`. */
export function agentStatus(facts: StatusFacts): GetAgentStatusResponse {
  const { own, contact, trust, acknowledged, slots, now } = facts;
  return {
    agentId: own?.spiffeId ?? "",
    trustDomain: trust.trustDomain,
    version: facts.version,
    startedAt: facts.startedAt,
    agentTime: now,
    serverAddress: contact.address,
    serverConnected: contact.connected,
    lastContact: contact.lastContact,
    lastError: contact.lastError === "" ? facts.lastError : contact.lastError,
    clockOffsetSeconds: contact.clockOffsetSeconds,
    bundleSequence: acknowledged.bundle,
    deniedSequence: acknowledged.denied,
    entryRevision: acknowledged.entryRevision,
    roots: trust.bundle.roots.length,
    agentNotAfter: own?.notAfter,
    agentRenewAt: own?.renewAt,
    agentSerialHex: own?.serialHex ?? "",
    identities: slots.map(heldIdentity),
    ready: slots.every((slot) => notReadyReason(slot, now) === undefined),
  };
}

function heldIdentity(slot: IdentitySlot): WireHeldIdentity {
  const { held, renewal, disk } = slot;
  return {
    report: identityReport(slot),
    directory: slot.directory ?? "",
    notBefore: held?.notBefore,
    obtainedAt: held?.obtainedAt,
    ttlSeconds: held?.ttlSeconds ?? 0,
    authority: held?.authority ?? "",
    failures: Math.max(disk.failures, renewal.failures),
    retryAt: disk.retryAt ?? (renewal.failures > 0 ? renewal.retry?.at : undefined),
    withdrawn: slot.withdrawn,
  };
}
