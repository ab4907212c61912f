// One look at everything: the numbers of `signet status`.
import type { AdminServiceServer, Authority, GetStatusResponse, Problem } from "../../../proto/gen/signet/v1/admin.ts";
import { rotateByHand } from "../../authority/rotation.ts";
import { clockCure } from "../../registry/clock-watch.ts";
import { liveDevices } from "../../registry/devices.ts";
import { type NodeView, nodeState, nodeViews } from "../../registry/nodes.ts";
import { reusedTokens } from "../../registry/tokens.ts";
import { certificates } from "../../store/collections/certificates.ts";
import { entries } from "../../store/collections/entries.ts";
import type { ReportedIdentity } from "../../store/collections/node-reports.ts";
import type { TokenRecord } from "../../store/collections/tokens.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { authoritiesToWire } from "./authorities.ts";
import type { AdminDeps } from "./handler.ts";

export function statusMethods(deps: AdminDeps): Pick<AdminServiceServer, "getStatus"> {
  return { getStatus: unary(deps, grpcTable, () => readStatus(deps)) };
}

async function readStatus(deps: AdminDeps): Promise<GetStatusResponse> {
  const now = deps.clock.now();
  const view = deps.state.view();
  const stats = await deps.store.stats();
  const fleet = await readFleet(deps, now);
  const authorities = await authoritiesToWire(deps);
  const issued = deps.lastHour();
  const reused = await reusedTokens(deps.store, new Date(now.getTime() - reuseShownMs));
  const root = authorities.find(({ kind }) => kind === "root");
  const ends = fleet.identities.map(({ notAfter }) => notAfter).sort((one, other) => one - other);
  const [first] = ends;
  const half = ends[Math.ceil(ends.length / 2) - 1];
  return {
    trustDomain: view.trustDomain,
    version: deps.version,
    tokensReused: BigInt(reused.total),
    devicesLive: await liveDevices(deps.store, now),
    startedAt: deps.startedAt,
    serverTime: now,
    storeKind: deps.store.kind,
    certificatesStored: BigInt(stats.counts[certificates.name] ?? 0),
    storeBytes: BigInt(stats.bytes),
    authorities: [...authorities],
    agentsLive: fleet.live.length,
    agentsLate: fleet.late.length,
    agentsBanned: fleet.banned,
    agentsGone: fleet.gone,
    bundleSequence: view.bundle.sequence,
    deniedSequence: view.trust.value.deniedSequence,
    agentsWithBundle: [...fleet.live, ...fleet.late].filter(
      ({ report }) => (report?.bundleSequence ?? 0n) >= view.bundle.sequence,
    ).length,
    identitiesLive: fleet.identities.length,
    identitiesLate: fleet.lateIdentities,
    issuedLastHour: BigInt(issued.issued),
    deniedLastHour: BigInt(issued.denied),
    deniedRules: [...issued.rules],
    issueP99Seconds: issued.p99Seconds,
    problems: await readProblems(deps, { fleet, authorities, reused: reused.recent, now }),
    rootKeyOnServer: root?.keyOnServer ?? false,
    apiAddress: deps.addresses()[0] ?? "",
    ...(first === undefined ? {} : { runwayFirst: new Date(first) }),
    ...(half === undefined ? {} : { runwayHalf: new Date(half) }),
    ...(root?.crlNextUpdate === undefined ? {} : { rootCrlNextUpdate: root.crlNextUpdate }),
  };
}

/** A stolen join string is a problem of the last days, and counted for ever. */
const reuseShownMs = 7 * 86_400_000;

interface Fleet {
  readonly live: readonly NodeView[];
  readonly late: readonly NodeView[];
  readonly banned: number;
  readonly gone: number;
  /** Identities that agents hold and that have not ended. */
  readonly identities: readonly ReportedIdentity[];
  /** Those of them whose renewal is overdue. */
  readonly lateIdentities: number;
}

async function readFleet(deps: AdminDeps, now: Date): Promise<Fleet> {
  const live: NodeView[] = [];
  const late: NodeView[] = [];
  const identities: ReportedIdentity[] = [];
  let banned = 0;
  let gone = 0;
  for await (const view of nodeViews(deps.store)) {
    const state = nodeState(view, now, deps.lateAfterMs);
    if (state === "banned") banned++;
    else if (state === "gone") gone++;
    else (state === "late" ? late : live).push(view);
    if (state === "live" || state === "late") {
      identities.push(...(view.report?.identities ?? []).filter(({ notAfter }) => notAfter >= now.getTime()));
    }
  }
  const graceMs = 30_000; // A renewal that is under way is not late.
  const lateIdentities = identities.filter(({ renewAt }) => renewAt !== 0 && renewAt + graceMs < now.getTime()).length;
  return { live, late, banned, gone, identities, lateIdentities };
}

async function readProblems(
  deps: AdminDeps,
  seen: {
    readonly fleet: Fleet;
    readonly authorities: readonly Authority[];
    readonly reused: readonly TokenRecord[];
    readonly now: Date;
  },
): Promise<Problem[]> {
  const { fleet, authorities, now } = seen;
  const found: Problem[] = [];
  const doubt = deps.clockWatch.doubt();
  if (doubt !== undefined) found.push({ what: `not issuing: ${doubt.detail}`, cure: clockCure });
  for (const { node, report } of [...fleet.live, ...fleet.late]) {
    const path = node.agentId.replace(/^spiffe:\/\/[^/]*/, "");
    const failed = report?.identities.find(
      ({ state }) => state === "write_failed" || state === "reload_failed" || state === "renew_failed",
    );
    const what = report?.heldBackBy || failed?.lastError;
    if (what) found.push({ what: `${path} ${what}`, cure: `signet node show ${path.slice("/agent/".length)}` });
  }
  for (const { node, report } of fleet.late) {
    const path = node.agentId.replace(/^spiffe:\/\/[^/]*/, "");
    const silent = Math.round((now.getTime() - (report?.seenAt ?? node.joinedAt)) / 1000);
    found.push({
      what: `${path} has been silent for ${silent} s`,
      cure: `signet node show ${path.slice("/agent/".length)}`,
    });
  }
  for (const authority of authorities) {
    if (authority.blockedBy !== "") {
      found.push({
        what: `${authority.name} needs a successor: ${authority.blockedBy}`,
        cure: rotateByHand(authority.serves.includes("devices") ? "devices" : "services"),
      });
    }
    const crlEnds = authority.crlNextUpdate;
    if (authority.kind === "root" && crlEnds !== undefined && crlEnds.getTime() - now.getTime() < 30 * 86_400_000) {
      found.push({
        what: `the CRL of ${authority.name} ends at ${crlEnds.toISOString()}`,
        cure: "signet authority rotate --root-key FILE",
      });
    }
  }
  for (const { tokenId, subject, reused } of seen.reused) {
    found.push({
      what: `join string ${tokenId} was tried ${reused === 1 ? "once" : `${reused} times`} by another key`,
      cure: `signet node show ${subject.replace(/^.*\/agent\//, "")}`,
    });
  }
  const waiting = await entriesWithoutNode(deps);
  if (waiting.length > 0) {
    found.push({
      what: `${waiting[0]} has entries and has not joined`,
      cure: `signet token create --agent ${waiting[0]?.replace(/^.*\/agent\//, "")}`,
    });
  }
  return found.slice(0, 20);
}

/** Agents that have entries and never joined, the first few. */
async function entriesWithoutNode(deps: AdminDeps): Promise<readonly string[]> {
  const joined = new Set<string>();
  for await (const view of nodeViews(deps.store)) joined.add(view.node.agentId);
  const found = new Set<string>();
  for await (const { value } of deps.store.scan(entries, "number", {}, { limit: 5000 })) {
    if (value.deletedAt === undefined && !joined.has(value.agentId))
      found.add(value.agentId.replace(/^spiffe:\/\/[^/]*/, ""));
    if (found.size >= 3) break;
  }
  return [...found];
}
