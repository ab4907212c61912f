// The whole agent, built by hand in one place.
import { mkdir } from "node:fs/promises";
import { type Address, formatAddress, parseAddress } from "../src/platform/address.ts";
import type { Clock } from "../src/platform/clock.ts";
import type { DataDir } from "../src/platform/data-dir.ts";
import type { Logger } from "../src/platform/logger.ts";
import { createMetrics } from "../src/platform/metrics.ts";
import type { OpsServer } from "../src/platform/ops-server.ts";
import type { Random } from "../src/platform/random.ts";
import type { SteadyClock } from "../src/platform/steady-clock.ts";
import type { Tasks } from "../src/platform/tasks.ts";
import { bothClocks, dualTime, type RetryLimits } from "../src/sdk/renew-at.ts";
import type { SpiffeId } from "../src/spiffe/id.ts";
import type { JoinString } from "../src/spiffe/join-string.ts";
import { acknowledged } from "./acknowledged.ts";
import {
  makeDefaultParents,
  probeDataDirectory,
  removeDefaultDirectories,
  removeLeftovers,
  writeOwnFile,
} from "./data-files.ts";
import { comeBack } from "./enrol/come-back.ts";
import type { ContactLimits } from "./enrol/first-contact.ts";
import type { OwnIdentity } from "./enrol/own-identity.ts";
import { EntryBook } from "./entries.ts";
import { IdentityCache, type IdentitySlot, newSlot, notReadyReason } from "./identities/cache.ts";
import { systemFiles } from "./identities/file-port.ts";
import { type DirectoryDeps, probeDirectory, removeIdentitySet, writeIdentitySet } from "./identities/files.ts";
import { hasEnded } from "./identities/held-identity.ts";
import { type KeptIdentities, keptIdentities } from "./identities/kept.ts";
import type { Places } from "./identities/places.ts";
import { Reloader, runReload } from "./identities/reload.ts";
import { Rotator } from "./identities/rotator.ts";
import { IdentityWriter } from "./identities/writer.ts";
import { issueBatch } from "./issue-batch.ts";
import { agentMetrics, type MetricsFacts } from "./metrics.ts";
import { openOps, readyChecks } from "./ops.ts";
import { OwnRenewal } from "./own-renewal.ts";
import { renewByHand } from "./renew-by-hand.ts";
import { agentReport, agentStatus } from "./report.ts";
import { reportFitter } from "./report-size.ts";
import { Session, wallOf } from "./session.ts";
import { type NodeSocket, openNodeSocket } from "./sockets/node-service.ts";
import { ServerSync, type SyncLimits } from "./sync.ts";
import { type TrustState, TrustStore } from "./trust.ts";

/** Times, sizes and counts of the agent's work; one place for all of them. */
export interface AgentLimits {
  readonly contact: ContactLimits;
  readonly sync: SyncLimits;
  /** Back-off of renewals, writes and reloads. */
  readonly retry: RetryLimits;
  readonly issueDeadlineMs: number;
  readonly batchSize: number;
  readonly batchLanes: number;
  readonly writeLanes: number;
  /** What a set needs on disk. */
  readonly probeBytes: number;
}

export const defaultLimits: AgentLimits = {
  contact: { bundleDeadlineMs: 5000, bundleBytes: 65_536, attestDeadlineMs: 15_000, messageBytes: 16 * 1024 * 1024 },
  sync: {
    reportIntervalMs: 30_000,
    reportGapMs: 100,
    firstAnswerMs: 10_000,
    ownLookMs: 5000,
    reconnect: { baseMs: 100, mostMs: 1000, leastMs: 50 },
    refusedMs: 30_000,
    bannedMs: 300_000,
  },
  retry: { baseMs: 2000, mostMs: 30_000, leastMs: 1000 },
  issueDeadlineMs: 10_000,
  batchSize: 100,
  batchLanes: 4,
  writeLanes: 8,
  probeBytes: 32_768,
};

export interface AgentParts {
  /** What it goes by; a steady one is told the times that the server says. */
  readonly clock: Clock | SteadyClock;
  readonly random: Random;
  readonly logger: Logger;
  readonly tasks: Tasks;
  readonly dir: DataDir;
  readonly own: OwnIdentity;
  readonly trust: TrustState;
  readonly places: Places;
  /** `server:` of the configuration. */
  readonly servers: readonly string[];
  readonly join: JoinString | undefined;
  /** Joined just now: the server is there, and what it knows of this agent is waited for. */
  readonly isNew: boolean;
  /** How long after its end the agent's certificate may bring it back. */
  readonly graceSeconds: number;
  readonly version: string;
  readonly limits: AgentLimits;
  readonly opsAddress: Address;
}

export interface RunningAgent {
  readonly cache: IdentityCache;
  readonly entries: EntryBook;
  readonly trust: TrustStore;
  readonly session: Session;
  readonly writer: IdentityWriter;
  readonly ops: OpsServer;
  readonly socket: NodeSocket;
  /** Why it is not ready; empty when it is. */
  notReady(): readonly string[];
  /** Calls the listener after each change of identities or contact. */
  onChange(listener: () => void): () => void;
  close(): Promise<void>;
}

/**
 * Starts the agent: what was kept is in force and written out again before the server is asked. Resolves once the own
 * socket and the ops listener are open.
 */
export async function startAgent(parts: AgentParts): Promise<RunningAgent> {
  const { clock, random, logger, tasks, dir, own, places, limits, version, graceSeconds } = parts;
  const startedAt = clock.now();
  await removeLeftovers(dir.path);
  await mkdir(dir.file("kept"), { recursive: true, mode: 0o700 });
  await removeLeftovers(dir.file("kept"));

  const cache = new IdentityCache();
  const trust = new TrustStore({ path: dir.file("trust.json"), write: writeOwnFile, logger }, parts.trust);
  const session = new Session({
    clock,
    trust: () => trust.state,
    identity: () => own.held,
    configured: parts.servers,
    maxMessageBytes: limits.contact.messageBytes,
  });
  const entries = new EntryBook({
    cache,
    directoryOf: (id) => places.directoryOf(id),
    wanted: (id) => places.wanted(id),
  });
  const registry = createMetrics();
  const facts = (): MetricsFacts => ({
    contact: session.contact,
    own: own.held,
    slots: cache.all(),
    trust: trust.state,
    now: clock.now(),
  });
  const metrics = agentMetrics(registry, facts, version);

  const directory: DirectoryDeps = { files: systemFiles, random, byDescriptor: process.platform === "linux" };
  const kept = keptIdentities(dir.file("kept"));
  const reloader = new Reloader({
    clock,
    random,
    run: runReload,
    retry: limits.retry,
    start: (name, work) => tasks.start(name, work),
    done: (requests, error) => {
      metrics.reload(error === undefined ? "ok" : "failed");
      for (const request of requests) writer.reloadDone(request, error);
    },
  });
  const writer: IdentityWriter = new IdentityWriter({
    clock,
    random,
    logger,
    cache,
    kept,
    trust: () => trust.state,
    write: async (id, set) => {
      const { target } = places.placeOf(id);
      await makeDefaultParents(places, target.path);
      await writeIdentitySet(directory, target, set);
    },
    clear: async (id) => {
      const { target } = places.placeOf(id);
      await removeIdentitySet(directory, target);
      await removeDefaultDirectories(places, target.path);
    },
    reloadOf: (id) => places.placeOf(id).reload,
    reload: (request, action) => reloader.request(request, action),
    retry: limits.retry,
    lanes: limits.writeLanes,
    failed: (reason) => metrics.writeFailure(reason),
  });
  const rotator = new Rotator({
    clock,
    random,
    logger,
    cache,
    trust: () => trust.state,
    connected: () => session.live !== undefined && own.isAlive(clock.now()),
    issue: (items, { signal }) => issueBatch(session, items, { deadlineMs: limits.issueDeadlineMs, signal }),
    probeKept: () => probeDataDirectory(dir, directory, limits.probeBytes),
    probe: async (id) => {
      if (places.directoryOf(id) === undefined) return;
      const { target } = places.placeOf(id);
      // The default places lie on the file system that was probed just now.
      if (!target.path.startsWith(`${places.root}/`)) await probeDirectory(directory, target, limits.probeBytes);
    },
    keepKey: (id) => places.placeOf(id).keepKey,
    retry: limits.retry,
    batchSize: limits.batchSize,
    lanes: limits.batchLanes,
    counted: (result) => metrics.renewal(result),
    sawServerTime: (serverTime, between) => session.sawServerTime(serverTime, between),
  });
  const ownRenewal = new OwnRenewal({
    clock,
    random,
    logger,
    own,
    trust,
    session,
    retry: limits.retry,
    deadlineMs: limits.issueDeadlineMs,
    counted: (result) => metrics.renewal(result),
  });
  const acknowledgement = (): ReturnType<typeof acknowledged> =>
    acknowledged({ bundle: trust.state.bundle.sequence, denied: trust.state.denyList.sequence }, trust.durable, {
      slots: cache.all(),
      entryRevision: entries.revision,
      now: clock.now(),
    });
  // What this agent has joined with is spent: tried again it would look like a theft.
  let joinString = parts.isNew ? undefined : parts.join;
  const fit = reportFitter(logger);
  const sync = new ServerSync({
    clock,
    random,
    logger,
    own,
    session,
    trust,
    entries,
    report: () =>
      fit(agentReport({ acknowledged: acknowledgement(), slots: cache.all(), now: wallOf(clock), version })),
    comeBack: async (address) => {
      const back = await comeBack(
        { clock, random, logger, own, trust, limits: limits.contact, join: joinString, graceSeconds },
        address,
      );
      if (!back.ok && back.joinRefused) joinString = undefined;
      return back;
    },
    renewNow: (ids) => {
      const agent = own.held?.spiffeId;
      if (agent !== undefined && ids.includes(agent)) ownRenewal.force();
      rotator.force(cache.all().flatMap(({ spiffeId }) => (ids.includes(spiffeId) ? [spiffeId] : [])));
    },
    connected: () => {
      rotator.serverIsBack();
      ownRenewal.poke();
    },
    limits: limits.sync,
  });

  cache.subscribe(() => sync.reportSoon());
  trust.subscribe(() => {
    writer.trustChanged();
    rotator.poke();
    sync.reportSoon();
  });

  // What was kept comes first: in memory, then in every directory, and only then is the server asked.
  await restore({ kept, cache, places, writer, clock, logger });
  tasks.start("writer", (signal) => writer.run(signal));
  await writer.settled();

  let everComplete = !parts.isNew;
  const notReady = (): readonly string[] => {
    everComplete ||= entries.complete;
    const now = clock.now();
    const reasons = cache.all().flatMap((slot) => {
      const reason = notReadyReason(slot, now);
      return reason === undefined ? [] : [`${slot.spiffeId} ${reason}`];
    });
    return everComplete || cache.all().length > 0 ? reasons : ["the entries of this agent are not known yet"];
  };
  const status = (): ReturnType<typeof agentStatus> =>
    agentStatus({
      own: own.held,
      contact: session.contact,
      trust: trust.state,
      acknowledged: acknowledgement(),
      slots: cache.all(),
      startedAt,
      now: clock.now(),
      version,
      lastError: ownRenewal.lastError,
    });
  const renewable = (): readonly SpiffeId[] =>
    cache
      .all()
      .flatMap((slot) =>
        slot.withdrawn || (slot.entry === undefined && slot.held === undefined) ? [] : [slot.spiffeId],
      );
  const ops = await openOps(parts, {
    metrics: () => registry.text(),
    ready: readyChecks({ cache, session, own, clock, notReady }),
  });
  const socket = await openNodeSocket(dir.file("agent.sock"), {
    trustDomain: trust.state.trustDomain,
    status,
    ids: renewable,
    renew: (ids, signal) => renewByHand({ cache, rotator, writer, session }, ids, signal),
  }).catch(async (error: unknown) => {
    await ops.close();
    throw error;
  });
  const opsText = formatAddress(ops.address);
  await dir.writeJson("endpoints.json", { pid: process.pid, ops: opsText, socket: socket.path });

  tasks.start("sync", (signal) => sync.run(signal));
  tasks.start("rotator", (signal) => rotator.run(signal));
  tasks.start("agent-certificate", (signal) => ownRenewal.run(signal));
  tasks.start("trust", async (signal) => {
    while (!signal.aborted) {
      await clock.sleep(limits.retry.mostMs, { signal });
      if (!signal.aborted) await trust.flush();
    }
  });

  return {
    cache,
    entries,
    trust,
    session,
    writer,
    ops,
    socket,
    notReady,
    onChange: (listener) => {
      const stops = [cache.subscribe(listener), session.subscribe(listener), trust.subscribe(listener)];
      return () => {
        for (const stop of stops) stop();
      };
    },
    close: async () => {
      await Promise.all([tasks.stop(), socket.close()]);
      session.close();
      await ops.close();
    },
  };
}

async function restore(deps: {
  readonly kept: KeptIdentities;
  readonly cache: IdentityCache;
  readonly places: Places;
  readonly writer: IdentityWriter;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<void> {
  const { kept, cache, places, writer, clock, logger } = deps;
  for (const id of places.listed) cache.put(newSlot(id, places.directoryOf(id)));
  const now = bothClocks(clock);
  const found = await kept.load((path, error) => logger.warn({ path, err: error }, "kept identity cannot be read"));
  for (const { held, entry, withdrawn } of found) {
    if (!places.wanted(held.spiffeId)) continue;
    const slot: IdentitySlot = {
      ...newSlot(held.spiffeId, places.directoryOf(held.spiffeId)),
      entry,
      withdrawn,
      held,
      due: dualTime(held.renewAt, now),
    };
    cache.put(slot);
    writer.noteKept(slot);
    if (hasEnded(held, now.at))
      logger.warn({ spiffeId: held.spiffeId, notAfter: held.notAfter }, "kept identity has ended");
  }
}

/** Addresses of `server:`; one, or several with commas between. Throws AddressError. */
export function serverAddresses(text: string | undefined): readonly string[] {
  const list = (text ?? "").split(",").map((address) => address.trim());
  return list.filter((address) => address !== "").map((address) => (parseAddress(address), address));
}
