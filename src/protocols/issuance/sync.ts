// Sync: one stream an agent, kept up to date. What goes down is always whole states, never differences of differences:
// a reader that is slow gets the newest state once it can read again, and nothing in between.
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { AgentReport, IdentityReport, SyncRequest, SyncResponse } from "../../../proto/gen/signet/v1/issuance.ts";
import { IdentityState } from "../../../proto/gen/signet/v1/issuance.ts";
import type { TrustState } from "../../authority/trust-state.ts";
import type { Clock } from "../../platform/clock.ts";
import type { Announcement, Announcements } from "../../registry/announcements.ts";
import { entriesOfAgent } from "../../registry/entries.ts";
import { recordReport } from "../../registry/nodes.ts";
import type { DenyListWithCrls } from "../../revocation/deny-list.ts";
import type { SpiffeId } from "../../spiffe/id.ts";
import type { NodeReportRecord, ReportedIdentity, ReportedState } from "../../store/collections/node-reports.ts";
import type { Store } from "../../store/store.ts";
import { bundleToWire, denyListToWire } from "../trust-to-wire.ts";
import { entryUpdate } from "./entries-to-wire.ts";

export interface SyncDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly announcements: Announcements;
  readonly state: TrustState;
  readonly denyList: () => Promise<DenyListWithCrls>;
  readonly addresses: () => readonly string[];
  readonly fullReadMs: number;
  /** What an agent's own clock said just now: evidence about ours. */
  readonly clockHeard: (agentId: SpiffeId, agentTime: Date) => void;
}

/** Parts of the state that are to be sent. */
type Part = "entries" | "trust";

/** Serves one agent's stream until the peer or `signal` ends it. Throws CaError when the agent is no longer a member. */
export async function sync(
  deps: SyncDeps,
  agent: {
    readonly id: SpiffeId;
    readonly address: string;
    readonly activeAuthority: string;
    /** When its certificate ends; the stream ends with it. */
    readonly notAfter: Date;
    /** Throws CaError when this caller is not served any more; asked before each send and before a report is kept. */
    readonly demand: () => Promise<unknown>;
  },
  stream: ServerDuplexStream<SyncRequest, SyncResponse>,
  signal: AbortSignal,
): Promise<void> {
  const due = new Set<Part>(["entries", "trust"]);
  const bell = createBell();
  const unsubscribe = deps.announcements.subscribe((change) => {
    const part = partOf(change, agent.id);
    if (part === undefined) return;
    due.add(part);
    bell.ring();
  });
  let failed: Error | undefined;
  // A report is a whole state: of those that wait for the store only the newest is kept.
  let newest: NodeReportRecord | undefined;
  let recording: Promise<void> | undefined;
  const recordReports = async (): Promise<void> => {
    try {
      while (newest !== undefined) {
        const report = newest;
        newest = undefined;
        await agent.demand();
        await recordReport(deps, report);
      }
    } catch (error) {
      failed = error instanceof Error ? error : new Error("the report was not kept", { cause: error });
      bell.ring();
    } finally {
      recording = undefined;
    }
  };
  stream.on("data", (message: SyncRequest) => {
    if (message.report === undefined) return;
    const { agentTime } = message.report;
    if (agentTime !== undefined) deps.clockHeard(agent.id, agentTime);
    newest = reportFromWire(agent, message.report, deps.clock.now());
    recording ??= recordReports();
  });
  const gone = new AbortController();
  for (const event of ["end", "cancelled", "error", "close"]) {
    stream.on(event, () => {
      gone.abort();
      bell.ring();
    });
  }
  const stop = (): void => {
    gone.abort();
    bell.ring();
  };
  signal.addEventListener("abort", stop, { once: true });
  let activeAuthority = agent.activeAuthority;
  try {
    let fullReadAt = deps.clock.monotonicMs() + deps.fullReadMs;
    while (!gone.signal.aborted) {
      if (failed !== undefined) throw failed;
      if (due.size > 0) {
        await agent.demand();
        const parts = [...due];
        due.clear();
        const update = await read(deps, agent.id, parts);
        const active = activeName(deps.state);
        // After an activation agents renew their own certificate first.
        if (active !== activeAuthority) update.renewNow = { spiffeIds: [agent.id] };
        activeAuthority = active;
        if (!stream.write(update)) await bell.drained(stream, gone.signal);
        continue;
      }
      const leftMs = agent.notAfter.getTime() + 1 - deps.clock.now().getTime();
      if (leftMs <= 0) await agent.demand();
      const wait = fullReadAt - deps.clock.monotonicMs();
      if (wait <= 0) {
        fullReadAt = deps.clock.monotonicMs() + deps.fullReadMs;
        due.add("entries").add("trust");
        continue;
      }
      await bell.rung(deps.clock, leftMs > 0 ? Math.min(wait, leftMs) : wait);
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", stop);
    await recording;
  }
  if (!stream.destroyed) stream.end();
}

function partOf(change: Announcement, agentId: SpiffeId): Part | undefined {
  switch (change.kind) {
    case "entries":
      return change.agentId === agentId ? "entries" : undefined;
    case "trust":
      return "trust";
    case "report":
      return undefined;
  }
}

async function read(deps: SyncDeps, agentId: SpiffeId, parts: readonly Part[]): Promise<SyncResponse> {
  const update: SyncResponse = {};
  if (parts.includes("entries")) update.entries = entryUpdate(await entriesOfAgent(deps.store, agentId));
  if (parts.includes("trust")) {
    update.bundle = bundleToWire(deps.state.view().bundle);
    update.denyList = denyListToWire(await deps.denyList());
    update.addresses = { addresses: [...deps.addresses()] };
  }
  return update;
}

/** The name of the authority that signs agents' certificates now. */
export function activeName(state: TrustState): string {
  const active = state
    .view()
    .authorities.findLast(
      ({ record }) => record.kind === "intermediate" && record.state === "active" && record.serves.includes("services"),
    );
  return active?.record.name ?? "";
}

const reportedStates: { readonly [state in IdentityState]: ReportedState } = {
  [IdentityState.IDENTITY_STATE_UNSPECIFIED]: "memory",
  [IdentityState.IDENTITY_STATE_ON_DISK]: "on_disk",
  [IdentityState.IDENTITY_STATE_MEMORY]: "memory",
  [IdentityState.IDENTITY_STATE_WRITE_FAILED]: "write_failed",
  [IdentityState.IDENTITY_STATE_RELOAD_FAILED]: "reload_failed",
  [IdentityState.IDENTITY_STATE_RENEW_FAILED]: "renew_failed",
};

/** Identities of one agent that a report may name, and the length of its texts. */
const maxIdentities = 5000;
const maxText = 512;

/** A report in the server's own words; what it says of times is the agent's, `seenAt` is the server's. */
export function reportFromWire(
  agent: { readonly id: SpiffeId; readonly address: string },
  report: AgentReport,
  now: Date,
): NodeReportRecord {
  return {
    agentId: agent.id,
    seenAt: now.getTime(),
    version: report.version.slice(0, 64),
    address: agent.address,
    bundleSequence: report.bundleSequence,
    deniedSequence: report.deniedSequence,
    entryRevision: Number(report.entryRevision),
    clockOffsetMs: report.agentTime === undefined ? 0 : msOf(report.agentTime) - now.getTime(),
    heldBackBy: report.heldBackBy.slice(0, maxText),
    identities: report.identities.slice(0, maxIdentities).map(identityFromWire),
  };
}

function identityFromWire(identity: IdentityReport): ReportedIdentity {
  return {
    spiffeId: identity.spiffeId.slice(0, 2048),
    serialHex: identity.serialHex.slice(0, 40),
    notAfter: msOf(identity.notAfter),
    renewAt: msOf(identity.renewAt),
    state: reportedStates[identity.state] ?? "memory",
    lastError: identity.lastError.slice(0, maxText),
    entryRevision: Number(identity.entryRevision),
  };
}

/** Unix milliseconds; 0 for none, and for one that no date can hold. */
function msOf(time: Date | undefined): number {
  return time === undefined || Number.isNaN(time.getTime()) ? 0 : time.getTime();
}

/** One waiter, woken by any ring since it last waited. */
interface Bell {
  ring(): void;
  rung(clock: Clock, ms: number): Promise<void>;
  drained(stream: ServerDuplexStream<SyncRequest, SyncResponse>, signal: AbortSignal): Promise<void>;
}

function createBell(): Bell {
  let wake: (() => void) | undefined;
  let pending = false;
  return {
    ring: () => {
      pending = true;
      wake?.();
    },
    rung: async (clock, ms) => {
      if (!pending) {
        const timer = new AbortController();
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await Promise.race([woken, clock.sleep(ms, { signal: timer.signal, unref: true })]);
        timer.abort();
        wake = undefined;
      }
      pending = false;
    },
    drained: (stream, signal) =>
      new Promise((resolve) => {
        const go = (): void => {
          stream.removeListener("drain", go);
          signal.removeEventListener("abort", go);
          resolve();
        };
        stream.once("drain", go);
        signal.addEventListener("abort", go, { once: true });
      }),
  };
}
