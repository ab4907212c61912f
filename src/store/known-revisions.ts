import type { Change } from "./group.ts";

/**
 * The revisions of records that commits only expect: the authority, the entry and the node of each certificate, over and
 * over. The engine has one writer, this process, and one group at a time, so what a group stored or what was read for one
 * is what the next would read. Absence is not remembered. Emptied when a write fails: nobody knows then what is stored.
 */
export class KnownRevisions {
  readonly #revisions = new Map<string, number>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** The revision under `collection NUL key`; undefined: ask the engine. */
  get(slot: string): number | undefined {
    return this.#revisions.get(slot);
  }

  /** Takes in what was read whole for a condition. */
  learn(slot: string, revision: number): void {
    if (this.#revisions.size >= this.#most) this.#revisions.clear();
    this.#revisions.set(slot, revision);
  }

  /** Takes in a group that is durable. */
  stored(changes: ReadonlyMap<string, Change>): void {
    for (const [slot, { after }] of changes) {
      if (!this.#revisions.has(slot)) continue;
      if (after === undefined) this.#revisions.delete(slot);
      else this.#revisions.set(slot, after.revision);
    }
  }

  clear(): void {
    this.#revisions.clear();
  }
}
