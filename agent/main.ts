// signet agent: reads its configuration, joins if it must, starts, and drains on TERM.
import { parseAddress } from "../src/platform/address.ts";
import { buildVersion } from "../src/platform/build-info.ts";
import { systemBoot, systemClock } from "../src/platform/clock.ts";
import { createDataDir, type DataDir, DataDirError, openDataDir } from "../src/platform/data-dir.ts";
import { createLogger, type ProcessLog } from "../src/platform/logger.ts";
import { systemRandom } from "../src/platform/random.ts";
import { interruptedExitCode, onSignals } from "../src/platform/shutdown.ts";
import { steadyClock } from "../src/platform/steady-clock.ts";
import { createTasks } from "../src/platform/tasks.ts";
import { SpiffeError } from "../src/spiffe/id.ts";
import { type JoinString, parseJoinString } from "../src/spiffe/join-string.ts";
import { type AgentConfig, agentConfigText, loadAgentConfig } from "./config.ts";
import { writeOwnFile } from "./data-files.ts";
import { joinTrustDomain } from "./enrol/join.ts";
import { JoinError } from "./enrol/join-error.ts";
import { OwnIdentity } from "./enrol/own-identity.ts";
import { systemAccounts } from "./identities/accounts.ts";
import { type PlaceSetting, type Places, settlePlaces } from "./identities/places.ts";
import { takeLock } from "./lock.ts";
import { identitiesText, ignoredJoinText, joinedText, startedText } from "./screen.ts";
import { loadTrust, type TrustState } from "./trust.ts";
import { defaultLimits, type RunningAgent, serverAddresses, startAgent } from "./wire.ts";

export interface RunAgentOptions {
  readonly configFile?: string;
  /** Dotted path of a setting to its text. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly printConfig: boolean;
  readonly joinString?: string;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

const joinCure = "signet agent --join-file -     (made where the server is: signet token create --agent NAME)";
const dataFormat = 1;
const debugMs = 600_000;
/** How long the start waits for the first identities before it says what there is. */
const firstIdentitiesMs = 5000;

/**
 * Runs the agent until TERM or INT and answers the exit code: 0 drained, 2 a damaged join string or none where one is
 * needed, 3 refused by the server or another server, 4 no server, 1 else. Throws ConfigError and DataDirError.
 */
export async function runAgent(options: RunAgentOptions): Promise<number> {
  const { config, settings } = await loadAgentConfig(options);
  if (options.printConfig) {
    options.stdout(agentConfigText(settings));
    return 0;
  }
  const logger = createLogger({ level: config.log.level, format: config.log.format });
  try {
    return await run(config, options, logger);
  } catch (error) {
    if (!(error instanceof JoinError)) throw error;
    options.stderr(`signet: ${error.message}\n${error.cure === "" ? "" : `try: ${error.cure}\n`}`);
    return error.exitCode;
  } finally {
    logger.flush();
  }
}

async function run(config: AgentConfig, options: RunAgentOptions, logger: ProcessLog): Promise<number> {
  const join = options.joinString === undefined ? undefined : readJoinString(options.joinString);
  const opsAddress = parseAddress(config.listen.ops);
  const servers = serverAddresses(config.server);
  const dir = await openOrMake(config.dataDir, join !== undefined);
  const lock = await takeLock(dir, systemRandom);
  if (lock === undefined)
    throw new JoinError("in_use", `another agent runs on ${dir.path}`, { cure: "signet agent status" });
  const own = await OwnIdentity.open({ directory: dir.path, write: writeOwnFile });
  const places = await placesOf(config, dir);
  const isNew = own.held === undefined;
  const trust =
    own.held === undefined
      ? await joinNow({ join, servers, own, dir, logger }, options)
      : await enrolled(own, dir, join, options);
  const tasks = createTasks(logger);
  // From here on a signal drains, also one that comes before the start is through.
  const ended = untilSignal(logger, () => {
    tasks.start("reload", () => readLevelAgain(options, logger));
  });
  const starting = startAgent({
    clock: steadyClock(systemClock, systemBoot),
    random: systemRandom,
    logger,
    tasks,
    dir,
    own,
    trust,
    places,
    servers,
    join,
    isNew,
    graceSeconds: config.agentGraceSeconds,
    version: buildVersion(),
    limits: defaultLimits,
    opsAddress,
  });
  const agent = await starting.catch(async (error: unknown) => {
    await tasks.stop();
    throw error;
  });
  logger.info(
    { agentId: own.held?.spiffeId, ops: agent.ops.address, dataDir: dir.path, pid: process.pid },
    "agent started",
  );
  tasks.start("first-identities", (signal) => sayFirst(agent, own, { signal, options }));
  const signal = await ended;
  logger.info({ signal }, "draining");
  await agent.close();
  await lock.release();
  logger.info({}, "agent ended");
  return 0;
}

/** Joins for the first time, and says so. Throws JoinError. */
async function joinNow(
  deps: {
    readonly join: JoinString | undefined;
    readonly servers: readonly string[];
    readonly own: OwnIdentity;
    readonly dir: DataDir;
    readonly logger: ProcessLog;
  },
  options: RunAgentOptions,
): Promise<TrustState> {
  const { join, servers, own, dir, logger } = deps;
  if (join === undefined) {
    throw new JoinError("not_joined", "this agent has not joined yet: it needs a join string", { cure: joinCure });
  }
  const { trust, address } = await joinTrustDomain(
    {
      clock: systemClock,
      random: systemRandom,
      own,
      directory: dir.path,
      write: writeOwnFile,
      limits: defaultLimits.contact,
      servers,
    },
    join,
  );
  const { trustDomain, bundle } = trust;
  logger.info({ agentId: join.subject, address, bundleSequence: String(bundle.sequence) }, "joined");
  const facts = { trustDomain, agentId: join.subject, address, bundleSequence: bundle.sequence };
  options.stdout(joinedText({ ...facts, roots: bundle.roots.length }));
  return trust;
}

async function enrolled(
  own: OwnIdentity,
  dir: DataDir,
  join: JoinString | undefined,
  options: RunAgentOptions,
): Promise<TrustState> {
  const { held } = own;
  const trust = await loadTrust(dir.file("trust.json"));
  if (trust === undefined || held === undefined) {
    throw new JoinError("bad_answer", `${dir.path} holds an agent's certificate and no trust: trust.json is missing`, {
      cure: `move ${dir.path} away and join anew`,
    });
  }
  if (join !== undefined) options.stderr(ignoredJoinText);
  const { trustDomain } = trust;
  options.stdout(startedText({ trustDomain, agentId: held.spiffeId, notAfter: held.notAfter, now: systemClock.now() }));
  return trust;
}

function readJoinString(text: string): JoinString {
  try {
    const join = parseJoinString(text);
    if (join.kind === "agent") return join;
    throw new JoinError("bad_string", `cannot join: this join string is for a ${join.kind}, not for an agent`);
  } catch (error) {
    if (!(error instanceof SpiffeError)) throw error;
    const cure = "signet token create --agent NAME     (where the server is)";
    throw new JoinError("bad_string", `cannot join: ${error.message}`, { cause: error, cure });
  }
}

async function openOrMake(path: string, mayJoin: boolean): Promise<DataDir> {
  const wanted = { kind: "agent", version: dataFormat };
  try {
    return await openDataDir(path, wanted);
  } catch (error) {
    if (!(error instanceof DataDirError) || error.code !== "missing") throw error;
    if (!mayJoin) {
      throw new JoinError("not_joined", `this agent has not joined yet: there is no data directory ${path}`, {
        cure: joinCure,
      });
    }
  }
  return await createDataDir(path, { ...wanted, now: systemClock.now() }, async () => {});
}

function placesOf(config: AgentConfig, dir: DataDir): Promise<Places> {
  const settings = config.identities.map((identity): PlaceSetting => {
    const { reload } = identity;
    return {
      spiffeId: identity.spiffeId,
      dir: identity.dir,
      owner: identity.owner,
      group: identity.group,
      keyMode: identity.mode,
      keepKey: identity.key === "keep",
      reload,
    };
  });
  const writer = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  return settlePlaces(settings, { root: dir.file("identities"), writer, accounts: systemAccounts });
}

function untilSignal(logger: ProcessLog, reload: () => void): Promise<string> {
  return new Promise((resolve) => {
    onSignals({
      drain: resolve,
      stopNow: () => process.exit(interruptedExitCode),
      reload,
      debug: () => logger.debugFor(debugMs),
    });
  });
}

/** HUP: the log level of the configuration. Certificates need no signal. */
async function readLevelAgain(options: RunAgentOptions, logger: ProcessLog): Promise<void> {
  try {
    const { config } = await loadAgentConfig(options);
    logger.level = config.log.level;
    logger.info({ level: config.log.level }, "log level read again");
  } catch (error) {
    logger.warn({ err: error }, "configuration cannot be read again: the log level stays");
  }
}

/** Waits a little for the server's first answer and for every identity that it names, then says what there is. */
async function sayFirst(
  agent: RunningAgent,
  own: OwnIdentity,
  { signal, options }: { readonly signal: AbortSignal; readonly options: RunAgentOptions },
): Promise<void> {
  const settled = new AbortController();
  const look = (): void => {
    if (agent.entries.complete && agent.notReady().length === 0) settled.abort();
  };
  const stop = agent.onChange(look);
  look();
  await systemClock.sleep(firstIdentitiesMs, { signal: AbortSignal.any([signal, settled.signal]) });
  stop();
  const agentId = own.held?.spiffeId;
  if (signal.aborted || agentId === undefined) return;
  const connected = agent.session.contact.connected;
  options.stdout(identitiesText(agent.cache.all(), { now: systemClock.now(), cwd: process.cwd(), agentId, connected }));
}
