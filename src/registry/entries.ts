// Registration entries: who may have which identity. Each change is one commit with its audit event.
import { type Actor, audited } from "../audit/audit.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import { parseSpiffeId, type SpiffeId, type TrustDomain, trustDomainOf } from "../spiffe/id.ts";
import { kindOf } from "../spiffe/kind.ts";
import { type EntryRecord, entries, entryKey } from "../store/collections/entries.ts";
import { idKey } from "../store/collections/id-key.ts";
import { counters } from "../store/collections/trust.ts";
import { expectRevision, type Op, putIfAbsent, type Store, type Stored, update } from "../store/store.ts";
import type { Announcements } from "./announcements.ts";
import { CaError } from "./ca-error.ts";
import { commit } from "./committed.ts";
import { checkNames, coversOneOf } from "./names.ts";

export interface EntryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly announcements: Announcements;
  readonly trustDomain: TrustDomain;
  /** Names of the server itself, which no workload may have. */
  readonly serverNames: ReadonlySet<string>;
  /** The longest ttl of a workload, by its profile and its authority, and the one given by default, seconds. */
  readonly maxTtlSeconds: () => number;
  readonly defaultTtlSeconds: number;
}

/** The shortest life an entry may ask for, seconds. */
const leastTtlSeconds = 5;

export interface EntryFields {
  readonly selectors: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly ttlSeconds: number;
  readonly hint: string;
}

/** Finds the entry by which an agent may have an identity; undefined when there is none or it was deleted. */
export async function findEntry(
  store: Pick<Store, "get">,
  agentId: string,
  spiffeId: string,
): Promise<Stored<EntryRecord> | undefined> {
  const found = await store.get(entries, entryKey(agentId, spiffeId));
  return found === undefined || found.value.deletedAt !== undefined ? undefined : found;
}

/** All entries of an agent with their revisions, remembered deletions among them. */
export async function entriesOfAgent(
  store: Pick<Store, "scan">,
  agentId: string,
): Promise<readonly Stored<EntryRecord>[]> {
  return Array.fromAsync(store.scan(entries, "agent", { prefix: [idKey(agentId)] }));
}

/** Finds a live entry by its number (e-1), or by SPIFFE ID when only one agent has it. Throws "not_found", "conflict". */
export async function getEntry(
  deps: Pick<EntryDeps, "store" | "trustDomain">,
  name: string,
): Promise<Stored<EntryRecord>> {
  const number = /^e-(\d{1,15})$/.exec(name)?.[1];
  const range =
    number === undefined
      ? deps.store.scan(entries, "id", { prefix: [idKey(wholeId(deps.trustDomain, name))] })
      : deps.store.scan(entries, "number", { prefix: [Number(number)] });
  const found = (await Array.fromAsync(range)).filter((entry) => entry.value.deletedAt === undefined);
  const [first, second] = found;
  if (first === undefined) throw new CaError("not_found", `no entry ${name}`, { cure: "signet entry list" });
  if (second !== undefined) {
    const names = found.map((entry) => entry.value.entryId).join(", ");
    throw new CaError("conflict", `several agents have ${name}: ${names}`, {
      cure: `signet entry show ${first.value.entryId}`,
    });
  }
  return first;
}

/** Creates an entry. Throws "exists", "bad_request". */
export async function createEntry(
  deps: EntryDeps,
  wanted: { readonly spiffeId: SpiffeId; readonly agentId: SpiffeId } & Partial<EntryFields>,
  actor: Actor,
): Promise<Stored<EntryRecord>> {
  checkIds(deps, wanted.spiffeId, wanted.agentId);
  const fields = checkFields(deps, {
    selectors: wanted.selectors ?? [],
    dnsNames: wanted.dnsNames ?? [],
    ipAddresses: wanted.ipAddresses ?? [],
    ttlSeconds: wanted.ttlSeconds ?? deps.defaultTtlSeconds,
    hint: wanted.hint ?? "",
  });
  for (;;) {
    const now = deps.clock.now();
    const key = entryKey(wanted.agentId, wanted.spiffeId);
    const former = await deps.store.get(entries, key);
    if (former !== undefined && former.value.deletedAt === undefined) {
      throw new CaError("exists", `${former.value.entryId} already gives ${wanted.spiffeId} to ${wanted.agentId}`, {
        cure: `signet entry update ${former.value.entryId} --help`,
      });
    }
    const counter = await deps.store.get(counters, "entry");
    const number = counter?.value.next ?? 1;
    const record: EntryRecord = {
      ...fields,
      entryId: `e-${number}`,
      spiffeId: wanted.spiffeId,
      agentId: wanted.agentId,
      createdAt: now.getTime(),
      updatedAt: now.getTime(),
      createdBy: actor.name,
    };
    const next = { counter: "entry", next: number + 1 };
    const result = await commit(deps.store, [
      former === undefined ? putIfAbsent(entries, record) : update(entries, record, former.revision),
      counter === undefined ? putIfAbsent(counters, next) : update(counters, next, counter.revision),
      audited(deps, actor, { at: now, action: "entry.create", subject: record.entryId, after: record }),
    ]);
    if (!result.done) continue; // Somebody took the number, or the same entry: look again.
    deps.announcements.entriesChanged(record.agentId);
    return { value: record, revision: result.revisions[0] ?? 0 };
  }
}

/** Changes an entry. Throws "conflict" when `expectedRevision` is not the one it has, "not_found", "bad_request". */
export async function updateEntry(
  deps: EntryDeps,
  held: Stored<EntryRecord>,
  change: Partial<EntryFields>,
  actor: Actor,
): Promise<Stored<EntryRecord>> {
  const now = deps.clock.now();
  const fields = checkFields(deps, { ...held.value, ...change });
  const record: EntryRecord = { ...held.value, ...fields, updatedAt: now.getTime() };
  return changed(deps, held, record, [
    audited(deps, actor, {
      at: now,
      action: "entry.update",
      subject: record.entryId,
      before: held.value,
      after: record,
    }),
  ]);
}

/** Deletes an entry: its identity is renewed no more. The deletion is remembered with its revision. */
export async function deleteEntry(
  deps: EntryDeps,
  held: Stored<EntryRecord>,
  actor: Actor,
): Promise<Stored<EntryRecord>> {
  const now = deps.clock.now();
  const record = deletedEntry(held.value, now);
  return changed(deps, held, record, [
    audited(deps, actor, {
      at: now,
      action: "entry.delete",
      subject: record.entryId,
      before: held.value,
      after: record,
    }),
  ]);
}

/** What is remembered of an entry that is deleted now. */
export function deletedEntry(entry: EntryRecord, now: Date): EntryRecord {
  return { ...entry, updatedAt: now.getTime(), deletedAt: now.getTime() };
}

async function changed(
  deps: EntryDeps,
  held: Stored<EntryRecord>,
  record: EntryRecord,
  more: readonly Op[],
): Promise<Stored<EntryRecord>> {
  const result = await commit(deps.store, [update(entries, record, held.revision), ...more]);
  if (!result.done) {
    throw new CaError("conflict", `${record.entryId} was changed by somebody else meanwhile`, {
      retry: "later",
      cure: `signet entry show ${record.entryId}`,
    });
  }
  deps.announcements.entriesChanged(record.agentId);
  return { value: record, revision: result.revisions[0] ?? 0 };
}

function checkIds(deps: EntryDeps, spiffeId: SpiffeId, agentId: SpiffeId): void {
  for (const id of [spiffeId, agentId]) {
    if (trustDomainOf(id) !== deps.trustDomain) {
      throw new CaError("bad_request", `${id} is not of the trust domain ${deps.trustDomain}`);
    }
  }
  if (kindOf(agentId) !== "agent") {
    throw new CaError("bad_request", `${agentId} is not an agent: agents are spiffe://${deps.trustDomain}/agent/NAME`);
  }
  const kind = kindOf(spiffeId);
  if (kind !== "workload") {
    throw new CaError(
      "denied",
      `${spiffeId} is in the name space of ${kind === "reserved" ? "the server itself" : `${kind}s`}`,
      {
        rule: "name_space",
        value: spiffeId,
        limit: "anything but /signet/*, /agent/*, /device/*",
      },
    );
  }
}

function checkFields(deps: EntryDeps, fields: EntryFields): EntryFields {
  const { ttlSeconds } = fields;
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < leastTtlSeconds) {
    throw new CaError("bad_request", `ttl must be ${leastTtlSeconds} s or more, got ${ttlSeconds} s`);
  }
  const limit = deps.maxTtlSeconds();
  if (ttlSeconds > limit) {
    throw new CaError("denied", `a life of ${ttlSeconds} s is over a quarter of the intermediate's`, {
      rule: "ttl_over_authority",
      value: `${ttlSeconds} s`,
      limit: `${limit} s`,
      cure: "a longer intermediate_ttl in server.yaml, then: signet authority rotate",
    });
  }
  const names = checkNames(fields.dnsNames, fields.ipAddresses);
  for (const name of [...names.dnsNames, ...names.ipAddresses]) {
    if (coversOneOf(deps.serverNames, name)) {
      throw new CaError("denied", `${name} is a name of the server itself`, { rule: "server_name", value: name });
    }
  }
  return {
    selectors: [...new Set(fields.selectors.map(checkSelector))],
    ...names,
    ttlSeconds,
    hint: checkHint(fields.hint),
  };
}

/** What attestation of processes will be able to say of one: a selector of another kind would never match. */
const selectorKinds = [
  "unix:uid",
  "unix:gid",
  "unix:user",
  "unix:group",
  "unix:path",
  "unix:sha256",
  "k8s:ns",
  "k8s:sa",
  "k8s:pod-label",
] as const;

function checkSelector(selector: string): string {
  const kind = selectorKinds.find((known) => selector.startsWith(`${known}:`));
  if (kind === undefined || !/^[!-~][ -~]*$/.test(selector.slice(kind.length + 1)) || selector.length > 512) {
    throw new CaError("bad_request", "a selector is KIND:VALUE, such as unix:uid:1000", {
      value: selector.slice(0, 64),
      limit: selectorKinds.join(", "),
    });
  }
  return selector;
}

function checkHint(hint: string): string {
  if (!/^[!-~ ]{0,128}$/.test(hint)) throw new CaError("bad_request", "a hint has at most 128 printable characters");
  return hint;
}

/** A full SPIFFE ID from one, or from a path such as /svc/a. Throws "bad_request". */
export function wholeId(trustDomain: TrustDomain, text: string): SpiffeId {
  try {
    return parseSpiffeId(text.startsWith("/") ? `spiffe://${trustDomain}${text}` : text);
  } catch (error) {
    throw new CaError("bad_request", error instanceof Error ? error.message : "not a SPIFFE ID", {
      ...(/^[\w.-]+(\/[\w.-]+)*$/.test(text) ? { cure: `/${text}` } : {}),
      cause: error,
    });
  }
}

/** The longest ttl of a live entry, seconds; 0 without one. */
export async function longestTtlSeconds(store: Pick<Store, "scan">): Promise<number> {
  for await (const { value } of store.scan(entries, "ttl", {}, { reverse: true, limit: 1 })) return value.ttlSeconds;
  return 0;
}

/** The condition that an entry is what it was when it was read. */
export function expectEntry(entry: Stored<EntryRecord>): Op {
  return expectRevision(entries, entryKey(entry.value.agentId, entry.value.spiffeId), entry.revision);
}
