// The store port: what features ask of a store, and what every adapter promises. Features never see an engine.
//
// Promises of an adapter
// 1. `commit` is atomic, and durable when its promise resolves with `done: true`.
// 2. Conditions are evaluated in the order in which commits arrived, when the group they share is put together, against
//    what is stored plus the earlier commits of the same group. A failed condition fails that commit alone. All conditions
//    of one commit hold against the moment before it.
// 3. There are three answers. Done: `{ done: true }`. Not done, nothing of it is stored: `{ done: false }` (a condition
//    failed), or a StoreError "unavailable", "overloaded", "closed". In doubt: a StoreError "in_doubt", it may be stored
//    or not, and only a later read tells.
// 4. A value read is the value written: damage is a StoreError "damaged" that names collection and key, never a wrong
//    value.
// 5. Revisions of a record grow by each change, and never repeat for a key, also after it was deleted.

/** Closed list of what a store can answer besides a result. */
export type StoreErrorCode = "unavailable" | "in_doubt" | "overloaded" | "damaged" | "closed" | "wrong_use";

export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  /** "mark": nothing that was read is wrong, but the store may not be the newest. */
  readonly about: "mark" | undefined;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions & { readonly about?: "mark" }) {
    super(message, options);
    this.code = code;
    this.about = options?.about;
  }
}

/** A value of an index: ordered by number, or by UTF-8 octets. One index holds one kind only. */
export type IndexValue = string | number;

/**
 * A collection, declared once in `collections/`. An adapter may map it to key ranges or to a table: `indexes` are its
 * queryable columns.
 */
export interface Collection<T> {
  /** Lower-case letters and hyphens, unique. */
  readonly name: string;
  /** The key of a value: 1 to 512 characters, never with a NUL. */
  key(value: T): string;
  /** Indexed fields: each gives the tuples under which the value is found, none, one or several. */
  readonly indexes: { readonly [index: string]: (value: T) => readonly (readonly IndexValue[])[] };
  /** Version that `encode` writes. */
  readonly version: number;
  /** Octets of its own, which nobody changes afterwards. */
  encode(value: T): Uint8Array;
  /** Decodes this version and every older one; throws on one it does not know. */
  decode(bytes: Uint8Array, version: number): T;
}

/** A value with the revision of its last change. */
export interface Stored<T> {
  readonly value: T;
  readonly revision: number;
}

/** One operation of a commit, made by the functions below only. */
export type Op =
  | {
      readonly kind: "put_if_absent";
      readonly collection: Collection<unknown>;
      readonly key: string;
      readonly value: unknown;
    }
  | {
      readonly kind: "update";
      readonly collection: Collection<unknown>;
      readonly key: string;
      readonly value: unknown;
      readonly revision: number;
    }
  | {
      readonly kind: "expect";
      readonly collection: Collection<unknown>;
      readonly key: string;
      readonly revision: number | "absent";
    }
  | {
      readonly kind: "delete";
      readonly collection: Collection<unknown>;
      readonly key: string;
      readonly revision: number;
    };

/** Stores a value under a key that has none; the condition fails when it has one. */
export function putIfAbsent<T>(collection: Collection<T>, value: T): Op {
  return { kind: "put_if_absent", collection: collection as Collection<unknown>, key: collection.key(value), value };
}

/** Replaces a value; the condition fails when its revision is another one. */
export function update<T>(collection: Collection<T>, value: T, revision: number): Op {
  return { kind: "update", collection: collection as Collection<unknown>, key: collection.key(value), value, revision };
}

/** Changes nothing; the condition fails when the record's revision is another one. */
export function expectRevision<T>(collection: Collection<T>, key: string, revision: number | "absent"): Op {
  return { kind: "expect", collection: collection as Collection<unknown>, key, revision };
}

/** Deletes a value; the condition fails when its revision is another one. */
export function remove<T>(collection: Collection<T>, key: string, revision: number): Op {
  return { kind: "delete", collection: collection as Collection<unknown>, key, revision };
}

export type CommitResult =
  /** `revisions[i]` is the new revision of what op i wrote; undefined for `expect` and `delete`. */
  | { readonly done: true; readonly revisions: readonly (number | undefined)[] }
  /** `failed` is the index of the first op whose condition did not hold. Nothing was stored. */
  | { readonly done: false; readonly failed: number };

/** A range of one index: tuples from `from` (inclusive) to `to` (exclusive); a shorter tuple is a prefix. */
export interface ScanRange {
  readonly from?: readonly IndexValue[];
  readonly to?: readonly IndexValue[];
  /** Only tuples that begin with these; `from` and `to` then compare what follows. */
  readonly prefix?: readonly IndexValue[];
}

export interface ScanOptions {
  readonly limit?: number;
  readonly reverse?: boolean;
  /** Continues after this position, as an earlier item of the same scan named it. */
  readonly after?: string;
}

export interface ScanItem<T> extends Stored<T> {
  /** Opaque text that continues a scan after this item. */
  readonly position: string;
}

export interface StoreStats {
  /** Records of each collection, exact. */
  readonly counts: { readonly [collection: string]: number };
  /** Bytes on disk; 0 for a store in memory. */
  readonly bytes: number;
  /** When the last commit became durable; undefined before the first of this process. Unix milliseconds. */
  readonly lastCommitAt: number | undefined;
}

/** What is wrong with a store that serves, and the command that helps. */
export interface StoreProblem {
  readonly what: string;
  readonly cure: string;
}

export interface StoreHealth {
  readonly ok: boolean;
  readonly detail: string;
  readonly problems: readonly StoreProblem[];
}

export interface Store {
  /** "level", "memory", later "postgres". */
  readonly kind: string;
  get<T>(collection: Collection<T>, key: string): Promise<Stored<T> | undefined>;
  /** Commits all ops or none. At most 1,000 ops; a key may be changed once only. */
  commit(ops: readonly Op[]): Promise<CommitResult>;
  /**
   * Reads a range of an index in its order, as of the moment of the first `next` (later commits are not seen). The index
   * "key" is the collection's key and always there. Throws "wrong_use" for NUL, half surrogates and NaN in a tuple.
   */
  scan<T>(
    collection: Collection<T>,
    index: string,
    range?: ScanRange,
    options?: ScanOptions,
  ): AsyncIterable<ScanItem<T>>;
  stats(): Promise<StoreStats>;
  /** Whether it takes writes, or why not: the line of readyz. `problems` is for people: what needs attention meanwhile. */
  health(): StoreHealth;
  /** Makes durable what was acknowledged, frees the directory. Waiting commits are done first; later ones are "closed". */
  close(): Promise<void>;
}
