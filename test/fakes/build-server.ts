// The server core as wire.ts builds it, over a store and keys in memory and a clock that stands still. Good defaults;
// override one field.
import { createHash } from "node:crypto";
import { establish } from "../../src/authority/establish.ts";
import { issue } from "../../src/issuing/issue.ts";
import type { Recorded } from "../../src/issuing/record.ts";
import type { KeyManager } from "../../src/keys/key-manager.ts";
import { memoryKeys } from "../../src/keys/memory.ts";
import { type Logger, silentLogger } from "../../src/platform/logger.ts";
import { createMetrics, type Metrics } from "../../src/platform/metrics.ts";
import { type Random, systemRandom } from "../../src/platform/random.ts";
import { createEntry, type EntryDeps, type EntryFields } from "../../src/registry/entries.ts";
import { joinOps, prepareJoin } from "../../src/registry/joining.ts";
import { createToken, type TokenDeps } from "../../src/registry/tokens.ts";
import { loadServerConfig, type ServerConfig } from "../../src/server/config.ts";
import { type ServerParts, wireServer } from "../../src/server/wire.ts";
import { parseTrustDomain, type SpiffeId, spiffeId, type TrustDomain } from "../../src/spiffe/id.ts";
import { parseJoinString } from "../../src/spiffe/join-string.ts";
import { agentId } from "../../src/spiffe/kind.ts";
import type { EntryRecord } from "../../src/store/collections/entries.ts";
import { createMemoryStore } from "../../src/store/memory.ts";
import type { Store, Stored } from "../../src/store/store.ts";
import type { Certificate } from "../../src/x509/certificate.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import { type TestKey, testKey } from "../unit/x509/signers.ts";
import { type FakeClock, fakeClock } from "./fake-clock.ts";

export interface ServerOptions {
  readonly trustDomain: string;
  readonly clock: FakeClock;
  readonly random: Random;
  /** What holds the records; one that has a trust domain already is served as it is. */
  readonly store: Store;
  readonly keys: KeyManager;
  /** Where the root's key stays; by default with the others. */
  readonly rootKeys: KeyManager;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
  readonly config: Partial<ServerConfig>;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly stopping: AbortSignal;
  /** CAs whose certificates let nodes join that nobody registered. */
  readonly unregisteredCas: readonly Certificate[];
}

export interface TestServer extends ServerParts {
  readonly clock: FakeClock;
  readonly keys: KeyManager;
  readonly config: ServerConfig;
  readonly trustDomain: TrustDomain;
  /** What the rooms of entries and join strings take. */
  readonly nouns: EntryDeps & TokenDeps;
  id(path: string): SpiffeId;
  agent(name: string): SpiffeId;
  /** An entry of /svc/a for the agent `one`, with what is said otherwise. */
  entry(
    wanted?: { readonly path?: string; readonly agent?: string } & Partial<EntryFields>,
  ): Promise<Stored<EntryRecord>>;
  /** The secret of a new join string. */
  token(agent?: string, ttlSeconds?: number, more?: { readonly replace?: boolean }): Promise<Uint8Array>;
  /** Joins an agent without a wire: its key and first certificate. */
  join(agent?: string): Promise<{ readonly key: TestKey; readonly recorded: Recorded }>;
  /** Issues one identity to an agent that joined. */
  issue(
    agent: string,
    path: string,
    more?: { readonly key?: TestKey; readonly ttlSeconds?: number },
  ): Promise<Recorded>;
}

export const testActor = { name: "local", reason: "a test" } as const;

export async function buildServer(given: Partial<ServerOptions> = {}): Promise<TestServer> {
  const { trustDomain: name = "prod.example", clock = fakeClock(), random = systemRandom, keys = memoryKeys() } = given;
  const store = given.store ?? createMemoryStore({ clock });
  const trustDomain = parseTrustDomain(name);
  const { config: defaults } = await loadServerConfig({ flags: { trust_domain: trustDomain }, env: {} });
  const config: ServerConfig = { ...defaults, ...given.config };
  const { rootTtlSeconds = 3650 * 86_400, intermediateTtlSeconds = 30 * 86_400, rootKeys = keys } = given;
  if ((await store.stats()).counts["trust"] === undefined) {
    await establish(
      { store, keys, rootKeys, clock, random },
      { trustDomain, keyType: "ec-p256", rootTtlSeconds, intermediateTtlSeconds },
      testActor,
    );
  }
  const parts = await wireServer({
    store,
    keys,
    clock,
    boot: clock,
    random,
    log: given.log ?? silentLogger,
    metrics: given.metrics ?? createMetrics(),
    config,
    version: "0.0.0-test",
    stopping: given.stopping ?? new AbortController().signal,
    unregisteredCas: given.unregisteredCas ?? [],
  });
  parts.setAddresses(["127.0.0.1:7443"]);
  const nouns: EntryDeps & TokenDeps = {
    store: parts.store,
    clock,
    random,
    announcements: parts.announcements,
    trustDomain,
    serverNames: new Set(),
    maxTtlSeconds: () => 7.5 * 86_400,
    defaultTtlSeconds: config.lifetimes.workloadSeconds,
  };
  const id = (path: string): SpiffeId => spiffeId(trustDomain, path);
  const agent = (agentName: string): SpiffeId => agentId(trustDomain, agentName);
  const token: TestServer["token"] = async (agentName = "one", ttlSeconds = 600, more = {}) => {
    const pins = parts.state
      .view()
      .bundle.roots.map((root) => new Uint8Array(createHash("sha256").update(root.raw).digest()));
    const wanted = { subject: agent(agentName), ttlSeconds, addresses: ["127.0.0.1:7443"], rootPins: pins, ...more };
    return parseJoinString((await createToken(nouns, wanted, testActor)).joinString).secret;
  };
  return {
    ...parts,
    clock,
    keys,
    config,
    trustDomain,
    nouns,
    id,
    agent,
    token,
    entry: ({ path = "/svc/a", agent: of = "one", ...fields } = {}) =>
      createEntry(nouns, { spiffeId: id(path), agentId: agent(of), ...fields }, testActor),
    join: async (agentName = "one") => {
      const secret = await token(agentName);
      const key = testKey("ec-p256");
      const who = agent(agentName);
      const csrDer = await buildCsr(key);
      const use = { id: who, secret, spkiSha256: sha256Hex(key.spkiDer), from: "192.0.2.1:999", now: clock.now() };
      const recorded = await issue(
        parts.issuing,
        { kind: "attested", id: who, by: "join_string" },
        {
          profile: "agent",
          protocol: "attest",
          id: who,
          csrDer,
          together: async (issued) => {
            const prepared = await prepareJoin(nouns, use);
            if ("again" in prepared) throw new Error("a new string was used");
            return joinOps(use, prepared, issued);
          },
        },
      );
      return { key, recorded };
    },
    issue: async (agentName, path, { key = testKey("ec-p256"), ttlSeconds } = {}) =>
      issue(
        parts.issuing,
        { kind: "agent", id: agent(agentName), serialHex: "", authorityKeyId: "" },
        {
          profile: "workload",
          protocol: "issuance",
          id: id(path),
          csrDer: await buildCsr(key),
          ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
        },
      ),
  };
}

export function sha256Hex(octets: Uint8Array): string {
  return createHash("sha256").update(octets).digest("hex");
}
