// Everything the server is made of, built by hand, in one place. Ports come in from outside; nothing below makes its own.
import type { Server } from "@grpc/grpc-js";
import { HealthService } from "../../proto/gen/grpc/health/v1/health.ts";
import { AdminServiceService } from "../../proto/gen/signet/v1/admin.ts";
import { BundleServiceService } from "../../proto/gen/signet/v1/bundle.ts";
import { IssuanceServiceService } from "../../proto/gen/signet/v1/issuance.ts";
import { createOneAtATime } from "../authority/one-at-a-time.ts";
import type { RotationDeps } from "../authority/rotation.ts";
import { currentIssuer, openTrustState, type TrustState } from "../authority/trust-state.ts";
import type { IssueDeps } from "../issuing/issue.ts";
import { createLine, type LineDeps } from "../issuing/line.ts";
import { reservedNames } from "../issuing/names-of-server.ts";
import { maxTtlSeconds, profiles, ttlOverAuthority } from "../issuing/profile/profile.ts";
import { KeyError, type KeyHandle, type KeyManager } from "../keys/key-manager.ts";
import { handleOf, readPkcs8 } from "../keys/pkcs8.ts";
import type { BootClock, Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Metrics } from "../platform/metrics.ts";
import { createPace } from "../platform/paced.ts";
import type { Random } from "../platform/random.ts";
import { createTurns } from "../platform/turns.ts";
import { type AdminDeps, adminHandler } from "../protocols/admin/handler.ts";
import { bundleHandler } from "../protocols/bundle/handler.ts";
import { createGate, type Gate, type MayCall, rulesOf } from "../protocols/gate.ts";
import type { CallDeps } from "../protocols/grpc-call.ts";
import { type IssuanceDeps, issuanceHandler } from "../protocols/issuance/handler.ts";
import { issuanceMayCall } from "../protocols/issuance/may-call.ts";
import { type Announcements, createAnnouncements } from "../registry/announcements.ts";
import { CaError } from "../registry/ca-error.ts";
import { type ClockWatch, openClockWatch } from "../registry/clock-watch.ts";
import type { EntryDeps } from "../registry/entries.ts";
import { createFactoryCasReader } from "../registry/factory-cas.ts";
import { type DenyListWithCrls, readDenyList } from "../revocation/deny-list.ts";
import { withRevokedKeys } from "../revocation/revoked-keys.ts";
import type { DenyList } from "../spiffe/deny.ts";
import type { Serves } from "../store/collections/authorities.ts";
import type { Store } from "../store/store.ts";
import type { Certificate } from "../x509/certificate.ts";
import { parseCsr } from "../x509/csr.ts";
import { sameOctets } from "../x509/der.ts";
import { createAgentStreams } from "./agent-streams.ts";
import type { ServerConfig } from "./config.ts";
import { healthHandler } from "./health.ts";
import { createHourCounts } from "./last-hour.ts";
import type { Connections } from "./listeners/connections.ts";
import { type ServerMetrics, serverMetrics } from "./metrics.ts";
import { serverNames } from "./names.ts";
import { observedSteps, observedStore } from "./observed.ts";

/** What the world gives the server. */
export interface ServerPorts {
  readonly store: Store;
  readonly keys: KeyManager;
  readonly clock: Clock;
  readonly boot: BootClock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly config: ServerConfig;
  readonly version: string;
  readonly stopping: AbortSignal;
  /** CAs whose certificates let nodes join that nobody registered. */
  readonly unregisteredCas?: readonly Certificate[];
}

/** The server without its listeners. */
export interface ServerParts {
  /** Whether the clock is sure; its `clock` is what everything here goes by. */
  readonly clockWatch: ClockWatch;
  readonly state: TrustState;
  readonly announcements: Announcements;
  readonly issuing: IssueDeps;
  /**
   * The line for the server's own certificate. It issues also while the clock is not sure, for the time that it would have
   * had: without that certificate no agent could be heard, and it is the agents who know better.
   */
  readonly ownIssuing: IssueDeps;
  readonly rotation: RotationDeps;
  readonly metrics: ServerMetrics;
  readonly store: Store;
  /** Adds the services of the api listener. */
  readonly apiServices: (server: Server, connections: Connections) => void;
  /** Adds the services of the admin socket. */
  readonly adminServices: (server: Server) => void;
  /** Says who may call what on the api listener. */
  readonly gate: Gate;
  /** Where nodes reach the api listener; set once it is bound. */
  readonly setAddresses: (addresses: readonly string[]) => void;
  /** Called when an admin wants the rotation schedule looked at. */
  readonly onLookNow: (look: () => void) => void;
  readonly serving: Pick<Serving, "set">;
  /** Reads the keys of revoked certificates into memory; until then each question about one is a search. */
  readonly fillRevokedKeys: (signal: AbortSignal) => Promise<void>;
  /** The deny list after the last change that was announced. */
  readonly denied: () => Promise<DenyList>;
}

/** Attestations of strangers. */
const anonymousPace = { perSecond: 20, queue: 100 } as const;

/** Silence of three report intervals makes an agent late. */
const lateIntervals = 3;

/** Builds the server. Throws CaError when the store has no trust domain, or a lifetime is too long for its authority. */
export async function wireServer(ports: ServerPorts): Promise<ServerParts> {
  const { random, log, config, keys } = ports;
  const metrics = serverMetrics(ports.metrics, ports.version);
  const hour = createHourCounts();
  const { store, keyWasRevoked, fill } = await withRevokedKeys(
    observedStore(ports.store, { clock: ports.clock, metrics }),
  );
  const clockWatch = await openClockWatch({ store, clock: ports.clock, boot: ports.boot, random, log });
  const { clock } = clockWatch;
  const state = await openTrustState(store, { refreshHintSeconds: config.refreshHintSeconds });
  const { trustDomain } = state.view();
  if (trustDomain !== config.trustDomain) {
    throw new CaError(
      "bad_request",
      `trust_domain is ${config.trustDomain}, the data directory is that of ${trustDomain}`,
    );
  }
  const announcements = createAnnouncements();
  const names = serverNames(config);
  const known = profiles(config.lifetimes);
  refuseLongLives(config, state);
  await refuseForeignKeys(keys, state);
  const line: LineDeps = {
    store,
    keys,
    random,
    state,
    profiles: known,
    serverNames: reservedNames(names.dnsNames, names.ipAddresses),
    ownDnsNames: names.dnsNames,
    ownIpAddresses: names.ipAddresses,
    keyWasRevoked,
  };
  const steps = observedSteps(createLine(line), { clock, metrics, hour, log });
  const issuing: IssueDeps = { clock: { now: () => clockWatch.sureNow() }, turns: createTurns(16), steps };
  const rotation: RotationDeps = {
    store,
    keys,
    clock,
    random,
    announcements,
    state,
    oneAtATime: createOneAtATime(),
    settings: {
      ...config.rotation,
      crlLifeSeconds: { intermediate: config.crl.intermediateSeconds, root: config.crl.rootSeconds },
      acknowledgeWaitMs: config.rotation.acknowledgeWaitSeconds * 1000,
      longestTtlMs: { services: Math.max(...servedBy("services", known)) * 1000, devices: 0 },
      intermediateTtlSeconds: {
        services: config.intermediateTtlSeconds,
        devices: config.devices.intermediateTtlSeconds,
      },
    },
  };
  const factoryCas = createFactoryCasReader(store);
  const denyList = createDenyListReader(store, state, clock, announcements);
  await denyList.current();
  let addresses: readonly string[] = [];
  let lookNow = (): void => {};
  const streams = createAgentStreams();
  const calls: CallDeps = { log, errorId: () => Buffer.from(random.bytes(6)).toString("hex") };
  const common = {
    ...calls,
    store,
    clock,
    random,
    state,
    announcements,
    trustDomain,
    stopping: ports.stopping,
    addresses: () => addresses,
  };
  const gate = createGate({ store, clock, state, denied: denyList.current, rules: apiRules() });
  const pace = createPace({ ...anonymousPace, clock });
  const issuance = (connections: Connections): IssuanceDeps => ({
    ...common,
    issuing,
    clockHeard: (agentId, agentTime) => clockWatch.heard(agentId, agentTime),
    denyList: denyList.read,
    graceSeconds: config.agentGraceSeconds,
    spkiSha256Of,
    tokenReused: metrics.tokenReused,
    revoking: rotation,
    pace,
    stepTimeoutMs: 10_000,
    nonceLifeMs: 60_000,
    x509pop: { store, trustDomain, factoryCas, unregisteredCas: ports.unregisteredCas ?? [] },
    fullReadMs: config.fullReadSeconds * 1000,
    session: connections.session,
    gate,
    streamOpened: streams.opened,
  });
  const entries: Omit<EntryDeps, keyof typeof common> = {
    serverNames: line.serverNames,
    maxTtlSeconds: () => maxTtlSeconds(activeLifeSeconds(state)),
    defaultTtlSeconds: known.workload.ttlSeconds,
  };
  const admin: AdminDeps = {
    ...common,
    ...entries,
    nameOfCaller: () => "local",
    rotation,
    line,
    steps,
    clockWatch,
    factoryCas,
    maxDeviceTtlSeconds: () =>
      maxTtlSeconds(Math.min(activeLifeSeconds(state, "devices"), config.devices.intermediateTtlSeconds)),
    lookNow: () => lookNow(),
    rootSigner,
    connected: streams.isOpen,
    lateAfterMs: config.reportIntervalSeconds * 1000 * lateIntervals,
    lastHour: () => hour.read(clock.now()),
    version: ports.version,
    startedAt: clock.now(),
  };
  const health = createServing();
  return {
    clockWatch,
    state,
    announcements,
    issuing,
    ownIssuing: { ...issuing, clock },
    rotation,
    metrics,
    store,
    apiServices: (server, connections) => {
      server.addService(IssuanceServiceService, issuanceHandler(issuance(connections)));
      server.addService(BundleServiceService, bundleHandler({ ...calls, state }));
      server.addService(HealthService, healthHandler(health));
    },
    adminServices: (server) => {
      server.addService(AdminServiceService, adminHandler(admin));
      server.addService(HealthService, healthHandler(health));
    },
    gate,
    setAddresses: (next) => {
      addresses = next;
      announcements.trustChanged();
    },
    onLookNow: (look) => {
      lookNow = look;
    },
    serving: { set: health.set },
    fillRevokedKeys: fill,
    denied: denyList.current,
  };
}

/** Who may call the methods of the api listener. */
function apiRules(): ReadonlyMap<string, MayCall> {
  return new Map([
    ...rulesOf(IssuanceServiceService, issuanceMayCall),
    ...rulesOf(BundleServiceService, { getBundle: "anyone" }),
    ...rulesOf(HealthService, { check: "anyone", watch: "anyone" }),
  ]);
}

/** A signer from a root key that an admin brought. Throws CaError "bad_request". */
function rootSigner(pem: Uint8Array): KeyHandle {
  try {
    return handleOf("the root key", readPkcs8(Buffer.from(pem).toString("utf8"), undefined, "the root key"));
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    throw new CaError("bad_request", error.message, { cause: error });
  }
}

/** The lifetimes must fit under the intermediate that signs now, and under those that will follow it. */
function refuseLongLives(config: ServerConfig, state: TrustState): void {
  const known = Object.values(profiles(config.lifetimes));
  const lives = [
    activeLifeSeconds(state),
    ...(config.intermediateTtlSeconds === 0 ? [] : [config.intermediateTtlSeconds]),
  ];
  for (const life of lives) {
    const over = ttlOverAuthority(known, life);
    if (over !== undefined) throw new CaError("denied", over.detail, over);
  }
}

/** What another key signs would verify nowhere, so it is found out before anybody is given any of it. */
async function refuseForeignKeys(keys: KeyManager, state: TrustState): Promise<void> {
  for (const { record, certificate } of state.view().authorities) {
    if (record.kind !== "intermediate" || record.state !== "active") continue;
    const { spkiDer } = await keys.open(record.name);
    if (!sameOctets(spkiDer, certificate.publicKey.der)) {
      throw new CaError("internal", `the key ${record.name} is not that of the certificate of ${record.name}`);
    }
  }
}

/** The lives of the profiles that authorities of this kind sign, seconds. */
function servedBy(serves: Serves, known: LineDeps["profiles"]): readonly number[] {
  return Object.values(known)
    .filter((profile) => profile.serves === serves)
    .map(({ ttlSeconds }) => ttlSeconds);
}

function activeLifeSeconds(state: TrustState, serves: Serves = "services"): number {
  const active = currentIssuer(state.view(), serves);
  if (active === undefined) return Number.MAX_SAFE_INTEGER;
  return Math.round((active.certificate.notAfter.getTime() - active.record.preparedAt) / 1000);
}

/**
 * `current` judges calls: read anew after each announced change of trust, so that who was revoked is refused from then
 * on; callers share one reading, and one that failed is tried again by the next. `read` is what agents are sent.
 */
function createDenyListReader(
  store: Store,
  state: TrustState,
  clock: Clock,
  announcements: Announcements,
): { readonly read: () => Promise<DenyListWithCrls>; readonly current: () => Promise<DenyListWithCrls> } {
  let held: DenyListWithCrls | undefined;
  let reading: Promise<DenyListWithCrls> | undefined;
  const read = (): Promise<DenyListWithCrls> => readDenyList(store, state.view(), clock.now());
  const readNewer = async (): Promise<DenyListWithCrls> => {
    const list = await read();
    // One object for one sequence, and never an older one.
    if (held === undefined || list.sequence > held.sequence) held = list;
    return held;
  };
  announcements.subscribe(({ kind }) => {
    if (kind === "trust") reading = undefined;
  });
  const current = (): Promise<DenyListWithCrls> => {
    if (reading !== undefined) return reading;
    const begun = readNewer();
    reading = begun;
    begun.catch(() => {
      if (reading === begun) reading = undefined;
    });
    return begun;
  };
  return { read, current };
}

interface Serving {
  readonly serving: () => boolean;
  readonly set: (serving: boolean) => void;
  readonly watch: (changed: () => void) => () => void;
}

function createServing(): Serving {
  let serving = false;
  const watchers = new Set<() => void>();
  return {
    serving: () => serving,
    set: (next) => {
      serving = next;
      for (const watcher of watchers) watcher();
    },
    watch: (changed) => {
      watchers.add(changed);
      return () => void watchers.delete(changed);
    },
  };
}

/** SHA-256 of a CSR's key, hex. Throws CaError "bad_request". */
function spkiSha256Of(csrDer: Uint8Array): string {
  try {
    return parseCsr(csrDer).spkiSha256;
  } catch (error) {
    throw new CaError("bad_request", error instanceof Error ? error.message : "not a CSR", { cause: error });
  }
}
