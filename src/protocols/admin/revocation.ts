// Revoking, banning, evicting, and waiting until every live agent knows.
import type {
  AdminServiceServer,
  BanNodeResponse,
  Node,
  RevokeCertificatesRequest,
  WatchDenyListResponse,
} from "../../../proto/gen/signet/v1/admin.ts";
import { RevocationReason as WireReason } from "../../../proto/gen/signet/v1/admin.ts";
import { CaError } from "../../registry/ca-error.ts";
import { wholeId } from "../../registry/entries.ts";
import { getNodeView, liveNodes, withoutDenyList } from "../../registry/nodes.ts";
import { banNode, type CutOff, evictNode } from "../../revocation/cut-off.ts";
import { certificatesOfId, isRevoked } from "../../revocation/held-certificates.ts";
import { revokeCertificates } from "../../revocation/revoke-certificates.ts";
import type { SpiffeId } from "../../spiffe/id.ts";
import type { CertificateRecord } from "../../store/collections/certificates.ts";
import type { RevocationReason } from "../../x509/crl.ts";
import { serverStream, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { actorOf } from "./actor.ts";
import { announced } from "./announced.ts";
import { certificateNamed, recordsToWire } from "./certificates.ts";
import type { AdminDeps } from "./handler.ts";
import { agentIdOf } from "./ids.ts";
import { nodeToWire } from "./nodes.ts";

const reasons: { readonly [reason in WireReason]?: RevocationReason } = {
  [WireReason.REVOCATION_REASON_UNSPECIFIED]: "unspecified",
  [WireReason.REVOCATION_REASON_KEY_COMPROMISE]: "keyCompromise",
  [WireReason.REVOCATION_REASON_AFFILIATION_CHANGED]: "affiliationChanged",
  [WireReason.REVOCATION_REASON_SUPERSEDED]: "superseded",
  [WireReason.REVOCATION_REASON_CESSATION_OF_OPERATION]: "cessationOfOperation",
  [WireReason.REVOCATION_REASON_PRIVILEGE_WITHDRAWN]: "privilegeWithdrawn",
};

type Methods = "banNode" | "evictNode" | "revokeCertificates" | "watchDenyList";

export function revocationMethods(deps: AdminDeps): Pick<AdminServiceServer, Methods> {
  const cutToWire = async (id: SpiffeId, cut: CutOff): Promise<BanNodeResponse> => ({
    node: nodeToWire(deps, await getNodeView(deps.store, id), deps.clock.now()),
    revoked: await recordsToWire(deps, cut.revoked),
    deniedSequence: cut.deniedSequence,
    already: cut.already,
  });
  return {
    banNode: unary(deps, grpcTable, async ({ node, reason, dryRun }, call) => {
      const id = agentIdOf(deps, node);
      return cutToWire(id, await banNode(deps.rotation, id, { actor: actorOf(deps, call, reason), dryRun }));
    }),
    evictNode: unary(deps, grpcTable, async ({ node, reason, dryRun }, call) => {
      const id = agentIdOf(deps, node);
      return cutToWire(id, await evictNode(deps.rotation, id, { actor: actorOf(deps, call, reason), dryRun }));
    }),
    revokeCertificates: unary(deps, grpcTable, async (request, call) => {
      const reason = reasons[request.revocationReason];
      if (reason === undefined) {
        const known = Object.values(reasons).join(", ");
        throw new CaError("bad_request", `that is no reason to revoke a leaf, those are: ${known}`);
      }
      const actor = actorOf(deps, call, request.reason);
      const records = await recordsToRevoke(deps, request.what);
      if (request.dryRun) {
        const already: string[] = [];
        for (const each of records) if (await isRevoked(deps.store, each)) already.push(each.serialHex);
        return {
          revoked: await recordsToWire(deps, records),
          already,
          deniedSequence: deps.state.view().trust.value.deniedSequence,
        };
      }
      const done = await revokeCertificates(deps.rotation, records, { reason, actor });
      return {
        revoked: await recordsToWire(deps, records),
        already: [...done.already],
        deniedSequence: done.deniedSequence,
      };
    }),
    watchDenyList: serverStream(deps, grpcTable, (request, signal) => watchDenyList(deps, request.sequence, signal)),
  };
}

async function recordsToRevoke(
  deps: AdminDeps,
  what: RevokeCertificatesRequest["what"],
): Promise<readonly CertificateRecord[]> {
  switch (what?.$case) {
    case "serialHex": {
      const { value } = await certificateNamed(deps, what.value);
      if (value.notAfter < deps.clock.now().getTime()) {
        throw new CaError(
          "conflict",
          `${value.serialHex} ended by itself at ${new Date(value.notAfter).toISOString()}`,
        );
      }
      return [value];
    }
    case "spiffeId":
      return Array.fromAsync(certificatesOfId(deps.store, wholeId(deps.trustDomain, what.value), deps.clock.now()));
    case undefined:
      throw new CaError("bad_request", "neither a serial nor an ID is named");
  }
}

async function* watchDenyList(
  deps: AdminDeps,
  wanted: bigint,
  signal: AbortSignal,
): AsyncIterable<WatchDenyListResponse> {
  const now = deps.state.view().trust.value.deniedSequence;
  if (wanted > now) throw new CaError("bad_request", `the deny list is at ${now}, there is no ${wanted} yet`);
  const sequence = wanted === 0n ? now : wanted;
  let last: string | undefined;
  for await (const _ of announced(deps, signal)) {
    const at = deps.clock.now();
    const waiting = await withoutDenyList(deps.store, sequence, at);
    const live = (await liveNodes(deps.store, at)).length;
    const waitingFor: Node[] = waiting.map((view) => nodeToWire(deps, view, at));
    const mark = JSON.stringify([
      live,
      waitingFor.map(({ spiffeId, heldBackBy, connected }) => [spiffeId, heldBackBy, connected]),
    ]);
    const done = waiting.length === 0;
    if (mark !== last) yield { onDisk: Math.max(0, live - waiting.length), live, waitingFor, done };
    if (done) return;
    last = mark;
  }
}
