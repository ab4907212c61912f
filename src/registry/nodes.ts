// Nodes: agents that have joined, and what they last said of themselves.
import type { Clock } from "../platform/clock.ts";
import type { CertificateRecord } from "../store/collections/certificates.ts";
import { idKey } from "../store/collections/id-key.ts";
import { type NodeReportRecord, nodeReports } from "../store/collections/node-reports.ts";
import { type NodeRecord, nodes } from "../store/collections/nodes.ts";
import { expectRevision, type Op, putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import type { Announcements } from "./announcements.ts";
import { CaError } from "./ca-error.ts";
import { commit } from "./committed.ts";

export type NodeState = "live" | "late" | "gone" | "banned";

/** A node with its last report. */
export interface NodeView {
  readonly node: NodeRecord;
  readonly report: NodeReportRecord | undefined;
}

/**
 * Live: its own certificate has not ended and it is not banned. Late: live, but silent for longer than `lateAfterMs`.
 * Gone: its certificate has ended or was revoked, or it was evicted.
 */
export function nodeState(view: NodeView, now: Date, lateAfterMs: number): NodeState {
  if (view.node.state === "banned") return "banned";
  if (!isLive(view, now)) return "gone";
  const seenAt = view.report?.seenAt ?? view.node.joinedAt;
  return now.getTime() - seenAt > lateAfterMs ? "late" : "live";
}

/** Whether a node can act: it is a member, and its newest certificate neither ended nor was revoked. */
export function isLive({ node }: Pick<NodeView, "node">, now: Date): boolean {
  return node.state === "member" && now.getTime() <= node.notAfter && !isRevokedOf(node, node.serialHex);
}

/** Whether a certificate of this node's own was revoked. */
export function isRevokedOf(node: NodeRecord, serialHex: string): boolean {
  return node.revoked?.some((each) => each.serialHex === serialHex) === true;
}

/** The record of a node of whose own certificates these were revoked; those that ended are forgotten. */
export function withRevoked(
  node: NodeRecord,
  records: readonly Pick<CertificateRecord, "spiffeId" | "serialHex" | "notAfter">[],
  now: Date,
): NodeRecord {
  const all = new Map(
    [...(node.revoked ?? []), ...records.filter(({ spiffeId }) => spiffeId === node.agentId)].map(
      ({ serialHex, notAfter }) => [serialHex, { serialHex, notAfter }],
    ),
  );
  const revoked = [...all.values()].filter(({ notAfter }) => notAfter >= now.getTime());
  const { revoked: _, ...rest } = node;
  return revoked.length === 0 ? rest : { ...rest, revoked };
}

export async function findNode(store: Pick<Store, "get">, agentId: string): Promise<Stored<NodeRecord> | undefined> {
  return store.get(nodes, idKey(agentId));
}

/** Throws "not_found". */
export async function getNodeView(store: Pick<Store, "get">, agentId: string): Promise<NodeView> {
  const node = await findNode(store, agentId);
  if (node === undefined) throw new CaError("not_found", `no node ${agentId} has joined`, { cure: "signet node list" });
  const report = await store.get(nodeReports, idKey(agentId));
  return { node: node.value, report: report?.value };
}

/** Nodes in the order of their IDs, each with its last report. */
export async function* nodeViews(
  store: Pick<Store, "get" | "scan">,
  options: { readonly after?: string } = {},
): AsyncIterable<NodeView & { readonly position: string }> {
  for await (const { value, position } of store.scan(nodes, "key", {}, options)) {
    const report = await store.get(nodeReports, idKey(value.agentId));
    yield { node: value, report: report?.value, position };
  }
}

/** Live nodes whose certificate has not ended, without a scan over those that are gone. */
export async function liveNodes(store: Pick<Store, "get" | "scan">, now: Date): Promise<readonly NodeView[]> {
  const found: NodeView[] = [];
  for await (const { value } of store.scan(nodes, "ends", { from: [now.getTime()] })) {
    const report = await store.get(nodeReports, idKey(value.agentId));
    const view = { node: value, report: report?.value };
    if (isLive(view, now)) found.push(view);
  }
  return found;
}

/** Live nodes that do not have the deny list of this sequence on disk. */
export async function withoutDenyList(
  store: Pick<Store, "get" | "scan">,
  sequence: bigint,
  now: Date,
): Promise<readonly NodeView[]> {
  const live = await liveNodes(store, now);
  return live.filter((view) => (view.report?.deniedSequence ?? 0n) < sequence);
}

/** Keeps what an agent said of itself. */
export async function recordReport(
  deps: { readonly store: Store; readonly clock: Clock; readonly announcements: Announcements },
  report: NodeReportRecord,
): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const held = await deps.store.get(nodeReports, idKey(report.agentId));
    const result = await commit(deps.store, [
      held === undefined ? putIfAbsent(nodeReports, report) : update(nodeReports, report, held.revision),
    ]);
    if (result.done) break;
  }
  deps.announcements.reportChanged(report.agentId);
}

/**
 * The ops that note in the nodes' records which of their own certificates are being revoked. A commit that was decided by
 * such a record, such as that of a certificate that the node asks for at this moment, then fails and is decided anew.
 */
export async function updateNodes(
  store: Pick<Store, "get">,
  records: readonly CertificateRecord[],
  now: Date,
): Promise<readonly Op[]> {
  const ops: Op[] = [];
  for (const agentId of new Set(records.filter(({ profile }) => profile === "agent").map(({ spiffeId }) => spiffeId))) {
    const node = await findNode(store, agentId);
    if (node !== undefined) ops.push(update(nodes, withRevoked(node.value, records, now), node.revision));
  }
  return ops;
}

/** The condition that a node is what it was when it was read. */
export function expectNode(node: Stored<NodeRecord>): Op {
  return expectRevision(nodes, idKey(node.value.agentId), node.revision);
}
