// Putting a commit group together: the one place where conditions are evaluated, shared by the adapters. Commits are
// taken in the order of arrival, each against what is stored plus the earlier commits of the same group, so that of two
// commits on the same condition one wins, also when both arrived before either was stored.

import { checkKey, indexEntry, KEY_INDEX } from "./index-key.ts";
import { damaged, decodeStored, type Sealed } from "./record.ts";
import { type Collection, type CommitResult, type Op, StoreError } from "./store.ts";

const MAX_OPS = 1000;
const MAX_COMMIT_OCTETS = 32 * 1024 * 1024;
const NAME = /^[a-z][a-z-]{0,62}$/;
const INDEX_NAME = /^[A-Za-z][A-Za-z0-9_-]{0,62}$/;

/** What is stored for a key. */
export interface Content {
  readonly version: number;
  readonly value: Uint8Array;
  /** `index NUL entry` of each index entry, without repetition. */
  readonly entries: readonly string[];
}

/** An op with all that its values have to say: later changes of the caller's objects have no effect. */
export interface PreparedOp {
  /** `collection NUL key`. */
  readonly slot: string;
  readonly collection: Collection<unknown>;
  readonly key: string;
  readonly condition: number | "absent";
  /** What it stores; "nothing" deletes, undefined only expects. */
  readonly content: Content | "nothing" | undefined;
}

export interface PreparedCommit {
  readonly ops: readonly PreparedOp[];
  /** About how much it adds to a batch. */
  readonly octets: number;
}

/** What a store holds for a slot. */
export interface Current {
  readonly revision: number;
  /** Its index entries, as in `Content`. Throws "damaged". */
  entries(): readonly string[];
}

/** The net effect of a group on one slot. */
export interface Change {
  readonly collection: Collection<unknown>;
  readonly key: string;
  /** Index entries that were stored before the group. */
  readonly before: readonly string[];
  readonly after: (Content & { readonly revision: number }) | undefined;
}

export type Outcome = CommitResult | StoreError;

export interface Group {
  /** One for each commit, valid once the changes are durable. */
  readonly outcomes: readonly Outcome[];
  readonly changes: ReadonlyMap<string, Change>;
  /** Highest revision given out. */
  readonly revision: number;
  /** Records gained or lost by each collection. */
  readonly counts: ReadonlyMap<string, number>;
}

/**
 * Checks and encodes the ops of a commit at once. `known` remembers collections whose declaration was checked. Throws
 * "wrong_use": too many ops, a key changed twice, a bad key or declaration, a value that its collection cannot encode.
 */
export function prepareCommit(ops: readonly Op[], known: WeakSet<object>): PreparedCommit {
  if (ops.length > MAX_OPS) throw new StoreError("wrong_use", `a commit takes 1000 ops, got ${ops.length}`);
  // Few ops are searched faster than a set is filled.
  const changed = ops.length > 16 ? new Set<string>() : undefined;
  const prepared: PreparedOp[] = [];
  let octets = 0;
  for (const op of ops) {
    const { collection, key, kind } = op;
    checkCollection(collection, known);
    checkKey(collection.name, key);
    const slot = `${collection.name}\0${key}`;
    if (kind !== "expect") {
      if (changed?.has(slot) ?? prepared.some((each) => each.slot === slot && each.content !== undefined)) {
        throw new StoreError("wrong_use", `record ${JSON.stringify(key)} of ${collection.name} is changed twice`);
      }
      changed?.add(slot);
    }
    const content = contentOf(op);
    octets += 64 + slot.length;
    if (content !== undefined && content !== "nothing") {
      octets += content.value.length;
      for (const entry of content.entries) octets += entry.length + collection.name.length;
    }
    prepared.push({ slot, collection, key, condition: kind === "put_if_absent" ? "absent" : op.revision, content });
  }
  if (octets > MAX_COMMIT_OCTETS) {
    throw new StoreError("wrong_use", `a commit takes ${MAX_COMMIT_OCTETS} octets, got ${octets}`);
  }
  return { ops: prepared, octets };
}

function contentOf(op: Op): Content | "nothing" | undefined {
  switch (op.kind) {
    case "expect":
      return undefined;
    case "delete":
      return "nothing";
    case "put_if_absent":
    case "update":
      return encodeContent(op.collection, op.key, op.value);
  }
}

function encodeContent(collection: Collection<unknown>, key: string, value: unknown): Content {
  try {
    const entries = indexEntries(collection, key, value);
    return { version: collection.version, value: collection.encode(value), entries };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError("wrong_use", `a value for ${collection.name} cannot be stored: ${reason}`, { cause });
  }
}

/** The entries under which a value is found, `index NUL entry`. Throws what the declaration throws, or "wrong_use". */
function indexEntries<T>(collection: Collection<T>, key: string, value: T): readonly string[] {
  const entries: string[] = [];
  const { indexes } = collection;
  for (const index in indexes) {
    const tuples = indexes[index]?.(value) ?? [];
    for (const tuple of tuples) {
      const entry = `${index}\0${indexEntry(tuple, key)}`;
      if (tuples.length === 1 || !entries.includes(entry)) entries.push(entry);
    }
  }
  return entries;
}

/** The entries of a stored value. Throws "damaged". */
export function storedEntries<T>(collection: Collection<T>, key: string, sealed: Sealed): readonly string[] {
  const { value } = decodeStored(collection, key, sealed);
  try {
    return indexEntries(collection, key, value);
  } catch (cause) {
    throw damaged(collection.name, key, "its index entries cannot be computed", cause);
  }
}

/** What a collection says of itself, whatever its values are. */
export type Declaration = Pick<Collection<never>, "name" | "version" | "indexes">;

/** Throws "wrong_use" for a declaration that no adapter could keep. */
export function checkCollection(collection: Declaration, known: WeakSet<object>): void {
  if (known.has(collection)) return;
  const { name, version, indexes } = collection;
  if (!NAME.test(name)) throw new StoreError("wrong_use", `${JSON.stringify(name)} is no name for a collection`);
  if (!Number.isInteger(version) || version < 1 || version > 0xffff) {
    throw new StoreError("wrong_use", `version of ${name} must be 1 to 65535, got ${version}`);
  }
  for (const index of Object.keys(indexes)) {
    if (index === KEY_INDEX || !INDEX_NAME.test(index)) {
      throw new StoreError("wrong_use", `${JSON.stringify(index)} is no name for an index of ${name}`);
    }
  }
  known.add(collection);
}

/**
 * Evaluates the commits of a group in order. `stored` tells what is stored for a slot and throws "damaged" where that
 * cannot be told: it fails the commits that touch the slot, no others. All conditions of a commit are held against the
 * moment before it.
 */
export function assembleGroup(
  commits: readonly PreparedCommit[],
  stored: (slot: string) => Current | undefined,
  lastRevision: number,
): Group {
  const changes = new Map<string, Change>();
  const counts = new Map<string, number>();
  let revision = lastRevision;
  const outcomes: Outcome[] = [];
  for (const { ops } of commits) {
    const before: (readonly string[])[] = [];
    const refusal = judge(ops, { changes, stored, before });
    if (refusal !== undefined) {
      outcomes.push(refusal);
      continue;
    }
    const revisions: (number | undefined)[] = [];
    if (ops.some(({ content }) => content !== undefined)) revision++;
    for (let i = 0; i < ops.length; i++) {
      const op = ops[i];
      if (op?.content === undefined) {
        revisions.push(undefined);
        continue;
      }
      const { collection, key, content } = op;
      const after =
        content === "nothing"
          ? undefined
          : { version: content.version, value: content.value, entries: content.entries, revision };
      changes.set(op.slot, { collection, key, before: before[i] ?? none, after });
      const gained = (after === undefined ? 0 : 1) - (op.condition === "absent" ? 0 : 1);
      if (gained !== 0) counts.set(collection.name, (counts.get(collection.name) ?? 0) + gained);
      revisions.push(after?.revision);
    }
    outcomes.push({ done: true, revisions });
  }
  return { outcomes, changes, revision, counts };
}

const none: readonly string[] = [];

/**
 * Holds all conditions of a commit against the moment before it, and notes in `before` what index entries each slot has;
 * undefined when they hold.
 */
function judge(
  ops: readonly PreparedOp[],
  against: {
    readonly changes: ReadonlyMap<string, Change>;
    readonly stored: (slot: string) => Current | undefined;
    readonly before: (readonly string[])[];
  },
): Outcome | undefined {
  const { changes, stored, before } = against;
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i];
    if (op === undefined) continue;
    const earlier = changes.get(op.slot);
    try {
      const current = earlier === undefined ? stored(op.slot) : undefined;
      const held = (earlier === undefined ? current?.revision : earlier.after?.revision) ?? "absent";
      if (held !== op.condition) return { done: false, failed: i };
      before.push(earlier?.before ?? (op.content === undefined ? none : (current?.entries() ?? none)));
    } catch (error) {
      if (error instanceof StoreError) return error;
      throw error;
    }
  }
  return undefined;
}
