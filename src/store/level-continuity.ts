// Commit numbers without a gap. LevelDB can lose a stretch in the middle of its log without a word; so every batch puts a
// record under its own number, and opening refuses a store in which one of the kept numbers is missing. Kept are as many
// as cover both logs that can exist: what has left the logs is in tables, synced. A tail that was cut off is found by the
// mark outside the store (level-mark.ts), and within one process by the last number acknowledged: both are `atLeast`.
//
// Each batch: c/N {"first", "octets"} · m/state {"commit", "counts", "marked"?} · the deletion of numbers no longer kept.
// The revision of the commit record's envelope is the highest revision given out up to then.

import { type Engine, type EngineBatch, LOG_OCTETS, reasonOf } from "./level-engine.ts";
import { commitKey, commitNumber, SCHEMA_KEY, SCHEMA_VERSION, STATE_KEY } from "./level-layout.ts";
import { type Sealed, seal, unseal } from "./record.ts";
import { StoreError } from "./store.ts";

const KEPT_OCTETS = 3 * LOG_OCTETS;
const KEPT_LEAST = 64;
const META_VERSION = 1;
const PAGE = 1000;

const text = new TextEncoder();
const octetsOf = (value: object): Uint8Array => text.encode(JSON.stringify(value));

/** What the last batch said; each batch makes the next of these. */
export interface Continuity {
  readonly number: number;
  readonly revision: number;
  readonly counts: ReadonlyMap<string, number>;
  /** Whether the store has a mark outside, without which it is not served. */
  readonly marked: boolean;
  /** Commit numbers kept, oldest first, each with the octets written before it; shared by successors, appended to. */
  readonly kept: KeptNumbers;
}

interface CommitNote {
  /** Lowest number kept. */
  readonly first: number;
  /** Octets written up to the end of this batch. */
  readonly octets: number;
}

/** Octets written up to the end of each kept commit. */
export class KeptNumbers {
  #first: number;
  #ends: number[];
  #skipped = 0;

  constructor(first: number, ends: number[]) {
    this.#first = first;
    this.#ends = ends;
  }

  get first(): number {
    return this.#first;
  }

  get octets(): number {
    return this.#ends.at(-1) ?? 0;
  }

  /** How many of the oldest need not be kept once a commit ends at `octets`. */
  surplus(octets: number): number {
    let count = 0;
    while (this.#length - count >= KEPT_LEAST && octets - (this.#ends[this.#skipped + count] ?? 0) > KEPT_OCTETS)
      count++;
    return count;
  }

  /** Takes a commit in and lets the oldest go. */
  move(octets: number, surplus: number): void {
    this.#ends.push(octets);
    this.#skipped += surplus;
    this.#first += surplus;
    if (this.#skipped > this.#length) {
      this.#ends = this.#ends.slice(this.#skipped);
      this.#skipped = 0;
    }
  }

  get #length(): number {
    return this.#ends.length - this.#skipped;
  }
}

/** What precedes the first batch of a new store. */
export function noContinuity(): Continuity {
  return { number: 0, revision: 0, counts: new Map(), marked: false, kept: new KeptNumbers(1, []) };
}

/** Puts the stamp of a new store into its first batch. */
export function putSchema(batch: EngineBatch): void {
  putMeta(batch, SCHEMA_KEY, 0, { version: SCHEMA_VERSION });
}

export interface NextCommit {
  readonly revision: number;
  readonly counts: ReadonlyMap<string, number>;
  /** Octets of the batch without what this adds. */
  readonly octets: number;
}

/** Adds the next number to a batch; the returned function is called once the batch is durable. */
export function putContinuity(batch: EngineBatch, last: Continuity, next: NextCommit): () => Continuity {
  const number = last.number + 1;
  const counts = new Map(last.counts);
  for (const [name, gained] of next.counts) counts.set(name, (counts.get(name) ?? 0) + gained);
  const { marked } = last;
  const state = octetsOf({ commit: number, counts: Object.fromEntries(counts), ...(marked ? { marked } : {}) });
  const octets = last.kept.octets + next.octets + state.length + 256;
  const surplus = last.kept.surplus(octets);
  const { first } = last.kept;
  for (let old = first; old < first + surplus; old++) batch.del(commitKey(old));
  putMeta(batch, commitKey(number), next.revision, { first: first + surplus, octets } satisfies CommitNote);
  batch.put(STATE_KEY, seal(STATE_KEY, { version: META_VERSION, revision: next.revision, value: state }));
  return () => {
    last.kept.move(octets, surplus);
    return { number, revision: next.revision, counts, marked, kept: last.kept };
  };
}

/**
 * Reads what an opened store says of itself, and checks it; no look at the data. Throws "wrong_use" for a newer layout,
 * "damaged" when a commit number is missing, when the store ends before `atLeast`, or when it is no store of ours.
 */
export async function readContinuity(engine: Engine, atLeast = 0): Promise<Continuity> {
  const schema = await readMeta(engine, SCHEMA_KEY);
  if (schema === undefined)
    throw new StoreError("damaged", "the store has no version stamp: making it was not finished");
  const version = numberField(schema.fields, "version");
  if (version > SCHEMA_VERSION) {
    throw new StoreError("wrong_use", `the store has version ${version}, this program reads up to ${SCHEMA_VERSION}`);
  }
  const [lastKey] = await oneKey(engine, true);
  if (lastKey === undefined) throw new StoreError("damaged", "the store has no commit number");
  const number = commitNumber(lastKey);
  if (number < atLeast) {
    throw new StoreError("damaged", `the store ends with commit ${number}, but commit ${atLeast} was acknowledged`);
  }
  const last = await readMeta(engine, lastKey);
  if (last === undefined) throw new StoreError("damaged", `commit ${number} went away while it was read`);
  const first = numberField(last.fields, "first");
  const kept = new KeptNumbers(first, await readKept(engine, first, number));
  const state = await readMeta(engine, STATE_KEY);
  const stated = state === undefined ? 0 : numberField(state.fields, "commit");
  if (state === undefined || stated !== number) {
    throw new StoreError("damaged", `the last commit is ${number}, but the state is that of commit ${stated}`);
  }
  const counts = Object.entries((state.fields["counts"] ?? {}) as { readonly [name: string]: number });
  const marked = state.fields["marked"] === true;
  return { number, revision: last.sealed.revision, counts: new Map(counts), marked, kept };
}

// Starts at the oldest kept number: before it lie deleted ones, which are slow to run over.
async function readKept(engine: Engine, first: number, last: number): Promise<number[]> {
  const cursor = engine.entries({ gte: commitKey(first), lt: "c0" });
  const ends: number[] = [];
  try {
    let expected = first;
    for (;;) {
      const page = await cursor.next(PAGE);
      if (page.length === 0) break;
      for (const [key, octets] of page) {
        const number = commitNumber(key);
        if (number !== expected) throw missing(expected, number);
        ends.push(numberField(openMeta(key, octets).fields, "octets"));
        expected++;
      }
    }
    if (expected !== last + 1) throw missing(expected, last);
  } finally {
    await cursor.close();
  }
  return ends;
}

function missing(expected: number, found: number): StoreError {
  return new StoreError("damaged", `commit ${expected} is missing, commit ${found} is there`);
}

async function oneKey(engine: Engine, reverse: boolean): Promise<readonly string[]> {
  const cursor = engine.keys({ gte: "c/", lt: "c0", reverse });
  try {
    return await cursor.next(1);
  } finally {
    await cursor.close();
  }
}

interface Meta {
  readonly sealed: Sealed;
  readonly fields: { readonly [name: string]: unknown };
}

async function readMeta(engine: Engine, key: string): Promise<Meta | undefined> {
  const octets = await engine.get(key);
  return octets === undefined ? undefined : openMeta(key, octets);
}

function openMeta(key: string, octets: Uint8Array): Meta {
  const sealed = unseal(key, octets);
  if (sealed === undefined) throw new StoreError("damaged", `the store's own record ${key} is damaged`);
  try {
    return { sealed, fields: JSON.parse(new TextDecoder().decode(sealed.value)) as Meta["fields"] };
  } catch (cause) {
    throw new StoreError("damaged", `the store's own record ${key} cannot be read: ${reasonOf(cause)}`, { cause });
  }
}

function numberField(fields: Meta["fields"], name: string): number {
  const value = fields[name];
  if (typeof value !== "number") throw new StoreError("damaged", `the store's own records lack ${name}`);
  return value;
}

function putMeta(batch: EngineBatch, key: string, revision: number, fields: object): void {
  batch.put(key, seal(key, { version: META_VERSION, revision, value: octetsOf(fields) }));
}
