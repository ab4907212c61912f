// Group commit: one group is being stored at a time, and all commits that arrive meanwhile go into the next. Both the
// number waiting and their size are bounded; beyond that a commit is refused at once as "overloaded".

import type { Outcome, PreparedCommit } from "./group.ts";
import { type CommitResult, StoreError } from "./store.ts";

export interface QueueLimits {
  readonly maxWaiting: number;
  readonly maxWaitingOctets: number;
  readonly maxGroup: number;
  readonly maxGroupOctets: number;
}

export const QUEUE_LIMITS: QueueLimits = {
  maxWaiting: 4096,
  maxWaitingOctets: 64 * 1024 * 1024,
  maxGroup: 512,
  maxGroupOctets: 4 * 1024 * 1024,
};

interface Waiting {
  readonly commit: PreparedCommit;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: StoreError) => void;
}

export class CommitQueue {
  readonly #store: (group: readonly PreparedCommit[]) => Promise<readonly Outcome[]>;
  readonly #limits: QueueLimits;
  #waiting: Waiting[] = [];
  #waitingOctets = 0;
  #running = false;
  #idle: (() => void)[] = [];

  /** `store` answers for each commit of a group; what it throws fails all of them. */
  constructor(store: (group: readonly PreparedCommit[]) => Promise<readonly Outcome[]>, limits: QueueLimits) {
    this.#store = store;
    this.#limits = limits;
  }

  /** Rejects with "overloaded" when the queue is full, and with the error that the group gave for this commit. */
  add(commit: PreparedCommit): Promise<CommitResult> {
    const { maxWaiting, maxWaitingOctets } = this.#limits;
    const waiting = this.#waiting.length;
    if (waiting >= maxWaiting || (waiting > 0 && this.#waitingOctets + commit.octets > maxWaitingOctets)) {
      const message = `the store is ${waiting} commits and ${this.#waitingOctets} octets behind`;
      return Promise.reject(new StoreError("overloaded", message));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ commit, resolve, reject });
      this.#waitingOctets += commit.octets;
      if (!this.#running) this.#schedule();
    });
  }

  /** Fails all commits that are not in the group being stored; nothing of them is stored. */
  refuseWaiting(error: StoreError): void {
    const refused = this.#waiting;
    this.#waiting = [];
    this.#waitingOctets = 0;
    for (const { reject } of refused) reject(error);
  }

  /** Resolves when nothing waits and nothing is being stored. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  // Waits for the end of this turn of the event loop, so that all that arrives in it shares the group.
  #schedule(): void {
    this.#running = true;
    setImmediate(() => void this.#storeNext());
  }

  async #storeNext(): Promise<void> {
    const group = this.#take();
    if (group.length > 0) {
      let outcomes: readonly Outcome[] | StoreError;
      try {
        outcomes = await this.#store(group.map(({ commit }) => commit));
      } catch (cause) {
        outcomes =
          cause instanceof StoreError
            ? cause
            : new StoreError("in_doubt", "the store failed in an unknown way", { cause });
      }
      settle(group, outcomes);
    }
    if (this.#waiting.length > 0) return this.#schedule();
    this.#running = false;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #take(): readonly Waiting[] {
    const { maxGroup, maxGroupOctets } = this.#limits;
    let count = 0;
    let octets = 0;
    for (const { commit } of this.#waiting) {
      if (count > 0 && (count >= maxGroup || octets + commit.octets > maxGroupOctets)) break;
      count++;
      octets += commit.octets;
    }
    this.#waitingOctets -= octets;
    return this.#waiting.splice(0, count);
  }
}

function settle(group: readonly Waiting[], outcomes: readonly Outcome[] | StoreError): void {
  let i = 0;
  for (const { resolve, reject } of group) {
    const outcome = outcomes instanceof StoreError ? outcomes : outcomes[i];
    i++;
    if (outcome === undefined) reject(new StoreError("in_doubt", "the store gave no answer for this commit"));
    else if (outcome instanceof StoreError) reject(outcome);
    else resolve(outcome);
  }
}
