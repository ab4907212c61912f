// `signet server`: opens what is in the data directory, serves it, and drains at the end.
import { isAbsolute, relative, resolve } from "node:path";
import { diskKeys } from "../keys/disk.ts";
import { readPassphraseFile } from "../keys/passphrase.ts";
import { type Address, formatAddress, isWildcard, parseAddress } from "../platform/address.ts";
import { buildInfo } from "../platform/build-info.ts";
import { systemBoot, systemClock } from "../platform/clock.ts";
import { type DataDir, openDataDir } from "../platform/data-dir.ts";
import { createLogger } from "../platform/logger.ts";
import { createMetrics } from "../platform/metrics.ts";
import { startOpsServer } from "../platform/ops-server.ts";
import { systemRandom } from "../platform/random.ts";
import { onSignals } from "../platform/shutdown.ts";
import { createTasks } from "../platform/tasks.ts";
import { finishOpenRevocations } from "../revocation/open-revocations.ts";
import { isDenied } from "../spiffe/deny.ts";
import { withCache } from "../store/cache.ts";
import { type ServerConfig, serverConfigText } from "./config.ts";
import { serverDataVersion } from "./init.ts";
import { listenAdmin } from "./listeners/admin-socket.ts";
import { type ApiListener, listenApi } from "./listeners/api.ts";
import { loadConfiguration } from "./load-configuration.ts";
import { sampleClock, sampleTrust } from "./metrics.ts";
import { openStore, withCure } from "./opening.ts";
import { makeOwnCertificate, type OwnCertificate, type OwnCertificateDeps, rootsPem } from "./own-certificate.ts";
import { readiness } from "./readiness.ts";
import { readUnregisteredCas } from "./unregistered-cas.ts";
import {
  crlUpkeep,
  devicesUpkeep,
  fleetUpkeep,
  onTrustChange,
  pruneUpkeep,
  repeat,
  revocationUpkeep,
  rotationUpkeep,
} from "./upkeep.ts";
import { type ServerParts, wireServer } from "./wire.ts";

export interface RunServerOptions {
  readonly configFile?: string;
  /** Dotted path of a setting to text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly printConfig: boolean;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Looks at the rotation schedule, and at what the server holds, so often. */
const lookEveryMs = 1000;
const pruneEveryMs = 600_000;
const fleetEveryMs = 5000;
const revocationsEveryMs = 5000;
const devicesEveryMs = 60_000;
const debugForMs = 600_000;

/** Runs the server until a signal ends it; resolves to the exit code. Throws what keeps it from starting. */
export async function runServer(options: RunServerOptions): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  const loaded = await loadConfiguration(options);
  const { config } = loaded;
  if (options.printConfig) {
    options.stdout(serverConfigText(loaded));
    return 0;
  }
  const dataDir = await openDataDir(config.dataDir, { kind: "server", version: serverDataVersion });
  const log = createLogger({ level: config.log.level, format: config.log.format });
  const passphrase =
    config.keyPassphraseFile === undefined ? undefined : await readPassphraseFile(config.keyPassphraseFile);
  let isServing = false;
  const level = await openStore(dataDir, {
    clock: systemClock,
    mark: config.store.mark,
    onEvent: (event) => {
      if (event.kind === "group_stored") log[isServing ? "info" : "debug"]({ ...event }, "group stored");
      else log.warn({ ...event }, "store");
    },
  });
  const stopping = new AbortController();
  const tasks = createTasks(log);
  let listeners: readonly { drain(ms: number): Promise<void> }[] = [];
  let keepTime = async (): Promise<void> => {};
  try {
    const store = withCache(level, {
      collections: ["entries", "nodes", "certificates", "authorities", "devices", "device-classes"],
      maxRecords: 20_000,
    });
    const metrics = createMetrics();
    const parts = await wireServer({
      store,
      keys: await diskKeys({ dir: dataDir.file("keys"), random: systemRandom, passphrase }),
      clock: systemClock,
      boot: systemBoot,
      random: systemRandom,
      log,
      metrics,
      config,
      version: buildInfo.version,
      stopping: stopping.signal,
      unregisteredCas: await readUnregisteredCas(config.x509pop.unregisteredFile, systemClock.now()),
    });
    keepTime = () =>
      parts.clockWatch.close().catch((error: unknown) => log.warn({ err: error }, "the time used last was not kept"));
    const own = await openOwnCertificate(parts);
    // Before anybody is answered, so that nobody is let in who was banned by an answer that a kill cut off.
    await finishOpenRevocations(parts.rotation);
    sampleClock(metrics, () => parts.clockWatch.doubt());
    sampleTrust(metrics, { view: () => parts.state.view(), own: () => own.now().record });
    const opened = await openListeners({ dataDir, config, parts, own, metrics });
    listeners = opened.listeners;
    startUpkeep({ parts, own, api: opened.api, config, tasks, log });
    isServing = true;
    parts.serving.set(true);
    const { listen } = opened;
    // Signals are heard before anybody is told that this process is there.
    const ended = new Promise<"SIGTERM" | "SIGINT">((resolve) => {
      onSignals({
        drain: resolve,
        stopNow: () => process.exit(130),
        reload: () =>
          void renewNow(parts, own, opened.api).catch((error: unknown) => log.warn({ err: error }, "reload failed")),
        debug: () => log.debugFor(debugForMs),
      });
    });
    await dataDir.writeJson("endpoints.json", { pid: process.pid, ...listen });
    options.stdout(banner({ config, listen, tookMs: systemClock.monotonicMs() - startedMs, kind: store.kind }));
    log.info({ ...listen, version: buildInfo.version, trustDomain: config.trustDomain }, "serving");
    log.info({ signal: await ended }, "draining");
    parts.serving.set(false);
  } catch (error) {
    throw withCure(error, dataDir);
  } finally {
    stopping.abort();
    await Promise.all(listeners.map((listener) => listener.drain(config.drainSeconds * 1000)));
    await tasks.stop();
    await keepTime();
    await level.close();
    log.flush();
  }
  log.info({}, "stopped");
  log.flush();
  return 0;
}

/** Without a file the trust domain is that of the data directory. */
/** The server's certificate, and how to change it. */
interface Own {
  now(): OwnCertificate;
  renew(): Promise<OwnCertificate>;
}

async function openOwnCertificate(parts: ServerParts): Promise<Own> {
  const deps: OwnCertificateDeps = {
    ...parts.ownIssuing,
    state: parts.state,
    jitter: () => 2 * systemRandom.fraction() - 1,
  };
  let held = await makeOwnCertificate(deps);
  return {
    now: () => held,
    renew: async () => {
      held = await makeOwnCertificate(deps);
      return held;
    },
  };
}

async function renewNow(parts: ServerParts, own: Own, api: ApiListener): Promise<void> {
  await parts.state.reload();
  api.update((await own.renew()).tls);
}

interface Listening {
  readonly api: string;
  readonly ops: string;
  readonly admin: string;
}

async function openListeners(deps: {
  readonly dataDir: DataDir;
  readonly config: ServerConfig;
  readonly parts: ServerParts;
  readonly own: Own;
  readonly metrics: ReturnType<typeof createMetrics>;
}): Promise<{
  readonly api: ApiListener;
  readonly listen: Listening;
  readonly listeners: readonly { drain(ms: number): Promise<void> }[];
}> {
  const { dataDir, config, parts, own, metrics } = deps;
  const last = (await dataDir.readJson("ports.json")) as { readonly api?: unknown; readonly ops?: unknown } | undefined;
  const api = await onPort(parseAddress(config.listen.api), last?.api, (address) =>
    listenApi({
      address,
      tls: own.now().tls,
      limits: {
        connections: config.limits.connections,
        anonymousConnections: config.limits.anonymousConnections,
        anonymousLifeMs: config.limits.anonymousLifeSeconds * 1000,
        handshakeMs: config.limits.handshakeSeconds * 1000,
      },
      services: parts.apiServices,
      gate: parts.gate,
      onTrustChange: onTrustChange(parts.announcements),
    }),
  );
  const bound = parseAddress(api.address);
  const reachable = config.advertise ?? (isWildcard(bound.host) ? undefined : api.address);
  parts.setAddresses(reachable === undefined ? [] : [reachable]);
  const admin = await listenAdmin(config.listen.admin ?? dataDir.file("admin.sock"), parts.adminServices);
  const ops = await onPort(parseAddress(config.listen.ops), last?.ops, (address) =>
    startOpsServer({ listen: address, metrics: () => metrics.text(), ready: () => readiness(parts) }),
  );
  await dataDir.writeJson("ports.json", { api: api.port, ops: ops.address.port });
  return {
    api,
    listen: { api: api.address, ops: formatAddress(ops.address), admin: admin.path },
    listeners: [api, admin, { drain: () => ops.close() }],
  };
}

/** Port 0 means any; the one of the last start is tried first, so that who knows it finds it again. */
async function onPort<T>(wanted: Address, last: unknown, listen: (address: Address) => Promise<T>): Promise<T> {
  if (wanted.port === 0 && typeof last === "number") {
    try {
      return await listen({ ...wanted, port: last });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    }
  }
  try {
    return await listen(wanted);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    throw new Error(`${formatAddress(wanted)} is in use by another process`, { cause: error });
  }
}

function startUpkeep(deps: {
  readonly parts: ServerParts;
  readonly own: Own;
  readonly api: ApiListener;
  readonly config: ServerConfig;
  readonly tasks: ReturnType<typeof createTasks>;
  readonly log: ReturnType<typeof createLogger>;
}): void {
  const { parts, own, api, config, tasks, log } = deps;
  const { rotation, store, clockWatch } = parts;
  const { clock } = clockWatch;
  /** What signs or drops waits until the clock is sure. */
  const whenSure =
    (run: () => Promise<void>): (() => Promise<void>) =>
    () =>
      clockWatch.doubt() === undefined ? run() : Promise.resolve();
  const start = (name: string, everyMs: number, run: () => Promise<void>, onRing?: (ring: () => void) => void): void =>
    tasks.start(name, (signal) =>
      repeat({ clock, log }, { name, everyMs, run, ...(onRing === undefined ? {} : { onRing }) }, signal),
    );
  start("rotation", lookEveryMs, whenSure(rotationUpkeep({ ...rotation, log })), parts.onLookNow);
  start("revocations", revocationsEveryMs, revocationUpkeep({ ...rotation, log }));
  tasks.start("revoked-keys", parts.fillRevokedKeys);
  start("crls", lookEveryMs * 60, whenSure(crlUpkeep({ ...rotation, log })));
  // Who comes back within the grace is judged by the record of its last certificate.
  const retentionMs = Math.max(config.retentionSeconds, config.agentGraceSeconds) * 1000;
  start("prune", pruneEveryMs, whenSure(pruneUpkeep({ store, clock, log, retentionMs })));
  start("clock", lookEveryMs, () => clockWatch.look());
  start(
    "fleet",
    fleetEveryMs,
    fleetUpkeep({
      store,
      clock,
      metrics: parts.metrics,
      bundleSequence: () => parts.state.view().bundle.sequence,
      lateAfterMs: config.reportIntervalSeconds * 3000,
    }),
  );
  start("devices", devicesEveryMs, devicesUpkeep({ store, clock, metrics: parts.metrics }));
  let roots = rootsPem(parts.state).join("");
  const ownUpkeep = async (): Promise<void> => {
    const { record, renewAt } = own.now();
    const active = parts.state
      .view()
      .authorities.findLast(
        (each) =>
          each.record.kind === "intermediate" &&
          each.record.state === "active" &&
          each.record.serves.includes("services"),
      );
    const isRevoked = isDenied(await parts.denied(), own.now().leaf);
    const changedRoots = rootsPem(parts.state).join("") !== roots;
    // After an activation the server and agents renew first; a certificate that was revoked is replaced at once.
    if (clock.now() < renewAt && record.authority === active?.record.name && !changedRoots && !isRevoked) return;
    api.update((await own.renew()).tls);
    roots = rootsPem(parts.state).join("");
    log.info(
      { serialHex: own.now().record.serialHex, authority: own.now().record.authority },
      "own certificate renewed",
    );
  };
  start("own-certificate", lookEveryMs, ownUpkeep, onTrustChange(parts.announcements));
}

function banner(facts: {
  readonly config: ServerConfig;
  readonly listen: Listening;
  readonly tookMs: number;
  readonly kind: string;
}): string {
  const { config, listen, tookMs, kind } = facts;
  const shown = isAbsolute(config.dataDir) ? config.dataDir : `./${relative(".", resolve(config.dataDir))}`;
  return [
    `signet ${buildInfo.version}  ${config.trustDomain}  ${shown}  store ${kind}`,
    `  api    ${listen.api}   agents, admins (gRPC, TLS 1.3)`,
    `  admin  ${isAbsolute(config.dataDir) ? listen.admin : `./${relative(".", listen.admin)}`}`,
    `  ops    http://${listen.ops}   /metrics /livez /readyz`,
    `ready after ${Math.round(tookMs)} ms`,
    "next, in a second terminal: signet token create --agent one",
    "",
  ].join("\n");
}
