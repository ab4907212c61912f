import type {
  AdminServiceServer,
  EntryState,
  UpdateEntryRequest,
  WatchEntryResponse,
} from "../../../proto/gen/signet/v1/admin.ts";
import { CaError } from "../../registry/ca-error.ts";
import { createEntry, deleteEntry, type EntryFields, getEntry, updateEntry, wholeId } from "../../registry/entries.ts";
import { deleteEntryAndRevoke } from "../../revocation/revoke-certificates.ts";
import { type EntryRecord, entries } from "../../store/collections/entries.ts";
import { idKey } from "../../store/collections/id-key.ts";
import { nodeReports, type ReportedIdentity } from "../../store/collections/node-reports.ts";
import { nodes } from "../../store/collections/nodes.ts";
import type { Stored } from "../../store/store.ts";
import { serverStream, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { actorOf } from "./actor.ts";
import { announced } from "./announced.ts";
import { recordsToWire } from "./certificates.ts";
import type { AdminDeps } from "./handler.ts";
import { agentIdOf } from "./ids.ts";
import { identityToWire } from "./nodes.ts";
import { continued, page, pageSize } from "./paging.ts";

type Methods = "createEntry" | "listEntries" | "getEntry" | "updateEntry" | "deleteEntry" | "watchEntry";

export function entryMethods(deps: AdminDeps): Pick<AdminServiceServer, Methods> {
  return {
    createEntry: unary(deps, grpcTable, async (request, call) => {
      const made = await createEntry(
        deps,
        {
          spiffeId: wholeId(deps.trustDomain, request.id),
          agentId: agentIdOf(deps, request.agent),
          selectors: request.selectors,
          dnsNames: request.dnsNames,
          ipAddresses: request.ipAddresses,
          hint: request.hint,
          ...(request.ttlSeconds === 0 ? {} : { ttlSeconds: request.ttlSeconds }),
        },
        actorOf(deps, call, request.reason),
      );
      return { entry: await entryState(deps, made) };
    }),
    listEntries: unary(deps, grpcTable, async (request) => {
      const options = continued(request.pageToken);
      const all =
        request.agent === ""
          ? deps.store.scan(entries, "number", {}, options)
          : deps.store.scan(entries, "agent", { prefix: [idKey(agentIdOf(deps, request.agent))] }, options);
      const found = await page(live(all), pageSize(request.pageSize));
      return {
        entries: await Promise.all(found.items.map((item) => entryState(deps, item))),
        nextPageToken: found.next,
      };
    }),
    getEntry: unary(deps, grpcTable, async (request) => ({
      entry: await entryState(deps, await getEntry(deps, request.entry)),
    })),
    updateEntry: unary(deps, grpcTable, async (request, call) => {
      const held = await getEntry(deps, request.entry);
      expectHeld(held, request.expectedRevision);
      return {
        entry: await entryState(
          deps,
          await updateEntry(deps, held, changeOf(held.value, request), actorOf(deps, call, request.reason)),
        ),
      };
    }),
    deleteEntry: unary(deps, grpcTable, async (request, call) => {
      const held = await getEntry(deps, request.entry);
      expectHeld(held, request.expectedRevision);
      const actor = actorOf(deps, call, request.reason);
      if (request.revoke) {
        const done = await deleteEntryAndRevoke(deps.rotation, held, { actor, dryRun: request.dryRun });
        return {
          entry: await entryState(deps, done.entry),
          revoked: await recordsToWire(deps, done.revoked),
          deniedSequence: done.deniedSequence,
        };
      }
      const entry = request.dryRun ? held : await deleteEntry(deps, held, actor);
      return { entry: await entryState(deps, entry), revoked: [], deniedSequence: 0n };
    }),
    watchEntry: serverStream(deps, grpcTable, (request, signal) => watchEntry(deps, request, signal)),
  };
}

async function* watchEntry(
  deps: AdminDeps,
  request: { readonly entry: string; readonly revision: bigint },
  signal: AbortSignal,
): AsyncIterable<WatchEntryResponse> {
  let last = "";
  for await (const _ of announced(deps, signal)) {
    const held = await getEntry(deps, request.entry);
    const entry = await entryState(deps, held);
    const { reported } = entry;
    const onDisk =
      reported !== undefined &&
      reported.entryRevision >= request.revision &&
      reported.serialHex !== "" &&
      reported.state === 1;
    const now = JSON.stringify([onDisk, entry.agentJoined, entry.agentConnected, reported?.state, reported?.lastError]);
    if (now !== last) yield { entry, onDisk };
    if (onDisk) return;
    last = now;
  }
}

async function* live<T extends Stored<EntryRecord>>(all: AsyncIterable<T>): AsyncIterable<T> {
  for await (const item of all) if (item.value.deletedAt === undefined) yield item;
}

function expectHeld(held: Stored<EntryRecord>, expected: bigint): void {
  if (expected === 0n || BigInt(held.revision) === expected) return;
  throw new CaError("conflict", `${held.value.entryId} is at revision ${held.revision}, not at ${expected}`, {
    cure: `signet entry show ${held.value.entryId}`,
  });
}

function changeOf(held: EntryRecord, request: UpdateEntryRequest): Partial<EntryFields> {
  const dnsNames = (request.dnsNames?.values ?? held.dnsNames)
    .filter((name) => !request.removeDnsNames.includes(name))
    .concat(request.addDnsNames);
  return {
    dnsNames,
    ...(request.selectors === undefined ? {} : { selectors: request.selectors.values }),
    ...(request.ipAddresses === undefined ? {} : { ipAddresses: request.ipAddresses.values }),
    ...(request.ttlSeconds === undefined ? {} : { ttlSeconds: request.ttlSeconds }),
    ...(request.hint === undefined ? {} : { hint: request.hint }),
  };
}

async function entryState(deps: AdminDeps, { value, revision }: Stored<EntryRecord>): Promise<EntryState> {
  const node = await deps.store.get(nodes, idKey(value.agentId));
  const report = await deps.store.get(nodeReports, idKey(value.agentId));
  const reported: ReportedIdentity | undefined = report?.value.identities.find(
    (each) => each.spiffeId === value.spiffeId,
  );
  return {
    entry: {
      entryId: value.entryId,
      spiffeId: value.spiffeId,
      agentId: value.agentId,
      selectors: [...value.selectors],
      dnsNames: [...value.dnsNames],
      ipAddresses: [...value.ipAddresses],
      ttlSeconds: value.ttlSeconds,
      hint: value.hint,
      revision: BigInt(revision),
    },
    createdAt: new Date(value.createdAt),
    updatedAt: new Date(value.updatedAt),
    createdBy: value.createdBy,
    agentJoined: node !== undefined,
    agentConnected: deps.connected(value.agentId),
    ...(reported === undefined ? {} : { reported: identityToWire(reported) }),
  };
}
