import type { AdminServiceServer, Node } from "../../../proto/gen/signet/v1/admin.ts";
import { NodeState as WireNodeState } from "../../../proto/gen/signet/v1/admin.ts";
import { type IdentityReport, IdentityState } from "../../../proto/gen/signet/v1/issuance.ts";
import { getNodeView, type NodeState, type NodeView, nodeState, nodeViews } from "../../registry/nodes.ts";
import type { ReportedIdentity, ReportedState } from "../../store/collections/node-reports.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import type { AdminDeps } from "./handler.ts";
import { agentIdOf } from "./ids.ts";
import { continued, page, pageSize } from "./paging.ts";

const wireNodeStates: { readonly [state in NodeState]: WireNodeState } = {
  live: WireNodeState.NODE_STATE_LIVE,
  late: WireNodeState.NODE_STATE_LATE,
  gone: WireNodeState.NODE_STATE_GONE,
  banned: WireNodeState.NODE_STATE_BANNED,
};

const wireStates: { readonly [state in ReportedState]: IdentityState } = {
  on_disk: IdentityState.IDENTITY_STATE_ON_DISK,
  memory: IdentityState.IDENTITY_STATE_MEMORY,
  write_failed: IdentityState.IDENTITY_STATE_WRITE_FAILED,
  reload_failed: IdentityState.IDENTITY_STATE_RELOAD_FAILED,
  renew_failed: IdentityState.IDENTITY_STATE_RENEW_FAILED,
};

export function nodeMethods(deps: AdminDeps): Pick<AdminServiceServer, "listNodes" | "getNode"> {
  return {
    listNodes: unary(deps, grpcTable, async (request) => {
      const now = deps.clock.now();
      const wanted = (view: NodeView): boolean => {
        const behind = request.bundleBelow === 0n || (view.report?.bundleSequence ?? 0n) < request.bundleBelow;
        const silentMs = now.getTime() - (view.report?.seenAt ?? view.node.joinedAt);
        return behind && (request.notSeenSeconds === 0 || silentMs > request.notSeenSeconds * 1000);
      };
      const found = await page(
        only(nodeViews(deps.store, continued(request.pageToken)), wanted),
        pageSize(request.pageSize),
      );
      return { nodes: found.items.map((view) => nodeToWire(deps, view, now)), nextPageToken: found.next };
    }),
    getNode: unary(deps, grpcTable, async (request) => ({
      node: nodeToWire(deps, await getNodeView(deps.store, agentIdOf(deps, request.node)), deps.clock.now()),
    })),
  };
}

async function* only<T>(all: AsyncIterable<T>, wanted: (item: T) => boolean): AsyncIterable<T> {
  for await (const item of all) if (wanted(item)) yield item;
}

export function nodeToWire(deps: AdminDeps, view: NodeView, now: Date): Node {
  const { node, report } = view;
  return {
    spiffeId: node.agentId,
    state: wireNodeStates[nodeState(view, now, deps.lateAfterMs)],
    attestation: node.attestation,
    joinedAt: new Date(node.joinedAt),
    serialHex: node.serialHex,
    notAfter: new Date(node.notAfter),
    version: report?.version ?? "",
    address: report?.address ?? node.joinedFrom,
    bundleSequence: report?.bundleSequence ?? 0n,
    deniedSequence: report?.deniedSequence ?? 0n,
    entryRevision: BigInt(report?.entryRevision ?? 0),
    clockOffsetSeconds: (report?.clockOffsetMs ?? 0) / 1000,
    heldBackBy: report?.heldBackBy ?? "",
    identities: (report?.identities ?? []).map(identityToWire),
    connected: deps.connected(node.agentId),
    ...(report === undefined ? {} : { lastSeenAt: new Date(report.seenAt) }),
  };
}

export function identityToWire(identity: ReportedIdentity): IdentityReport {
  return {
    spiffeId: identity.spiffeId,
    serialHex: identity.serialHex,
    notAfter: new Date(identity.notAfter),
    renewAt: new Date(identity.renewAt),
    state: wireStates[identity.state],
    lastError: identity.lastError,
    entryRevision: BigInt(identity.entryRevision),
  };
}
