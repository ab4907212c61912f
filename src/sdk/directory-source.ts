import { createHash } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { type Clock, systemClock } from "../platform/clock.ts";
import { newerBundle, type TrustBundle } from "../spiffe/bundle.ts";
import { type DenyList, newerDenyList } from "../spiffe/deny.ts";
import { judgeSvid } from "../spiffe/svid.ts";
import { type IdentitySet, parseSet, readSet, type SetFiles } from "./identity-set.ts";
import { SdkError } from "./sdk-error.ts";
import type { Identity, Source } from "./source.ts";
import { contextOptions } from "./tls-options.ts";

export interface DirectorySourceOptions {
  /** Wait until the directory holds a usable identity, instead of failing; default false. */
  readonly wait?: boolean;
  /** Ends the waiting; the promise then rejects with SdkError "aborted". */
  readonly signal?: AbortSignal;
  /** How often the directory is looked at beside watching it, in ms; default 5000. Each 100 ms while waiting. */
  readonly pollMs?: number;
  /** Called when what is wrong with the directory changes; undefined: nothing is wrong any more. */
  readonly onProblem?: (problem: SdkError | undefined) => void;
  readonly clock?: Clock;
}

/** A source that reads an identity directory, as the agent keeps it. */
export interface DirectorySource extends Source {
  /** Why what the directory holds now is not (wholly) in use; undefined when it is. */
  problem(): SdkError | undefined;
  /** Looks at the directory now. Never rejects: what is wrong is told by problem(). */
  refresh(): Promise<void>;
}

/**
 * Opens an identity directory and follows it: a new set is in use as soon as it is complete and valid; a broken one is
 * reported and the old one kept; bundle and deny list never go back to a lower sequence. Throws SdkError "not_ready"
 * when there is no identity yet (not with `wait`), "broken" when it cannot be used.
 *
 * @example
 * const source = await openDirectorySource("/run/signet/a", { wait: true });
 * console.log(source.identity().spiffeId);
 */
export async function openDirectorySource(dir: string, options: DirectorySourceOptions = {}): Promise<DirectorySource> {
  const { wait = false, signal } = options;
  const source = new DirectoryFollower(resolve(dir), options);
  try {
    for (;;) {
      if (signal?.aborted) {
        throw new SdkError("aborted", "waiting for the identity was aborted", { cause: signal.reason });
      }
      await source.refresh();
      if (source.ready()) return source;
      if (!wait) throw source.problem() ?? new SdkError("not_ready", `there is no identity in ${dir} yet`);
      await source.clock.sleep(waitPollMs, signal === undefined ? {} : { signal });
    }
  } catch (error) {
    source.close();
    throw error;
  }
}

const waitPollMs = 100;

interface State {
  readonly identity: Identity;
  readonly bundle: TrustBundle;
  readonly denied: DenyList;
}

class DirectoryFollower implements DirectorySource {
  readonly clock: Clock;
  readonly #dir: string;
  readonly #pollMs: number;
  readonly #onProblem: (problem: SdkError | undefined) => void;
  readonly #listeners = new Set<() => void>();
  #state: State | undefined;
  #problem: SdkError | undefined;
  #seen: string | undefined;
  #refresh: Promise<void> | undefined;
  #again = false;
  #closed = false;
  #watcher: FSWatcher | undefined;
  #watchedInode: bigint | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(dir: string, options: DirectorySourceOptions) {
    this.clock = options.clock ?? systemClock;
    this.#dir = dir;
    this.#pollMs = options.pollMs ?? 5_000;
    this.#onProblem = options.onProblem ?? (() => {});
  }

  ready(): boolean {
    return this.#state !== undefined;
  }

  identity(): Identity {
    return this.#held().identity;
  }

  bundle(): TrustBundle {
    return this.#held().bundle;
  }

  denied(): DenyList {
    return this.#held().denied;
  }

  problem(): SdkError | undefined {
    return this.#problem;
  }

  onChange(listener: () => void): () => void {
    // Its own function object, so that one listener can be added twice.
    const entry = (): void => listener();
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  /** One read at a time; what is asked for meanwhile is one more read after it. */
  refresh(): Promise<void> {
    if (this.#refresh !== undefined) {
      this.#again = true;
      return this.#refresh;
    }
    this.#refresh = this.#readUntilQuiet().finally(() => {
      this.#refresh = undefined;
      this.#plan();
    });
    return this.#refresh;
  }

  #held(): State {
    if (this.#state === undefined) throw new SdkError("not_ready", "the source holds no identity yet");
    return this.#state;
  }

  async #readUntilQuiet(): Promise<void> {
    do {
      this.#again = false;
      await this.#watchDirectory();
      try {
        this.#take(await readSet(this.#dir));
      } catch (error) {
        this.#report(error instanceof SdkError ? error : new SdkError("broken", String(error), { cause: error }));
      }
    } while (this.#again && !this.#closed);
  }

  #take(files: SetFiles): void {
    const hash = createHash("sha256");
    for (const text of [files.tlsPem, files.bundleJson, files.deniedJson]) hash.update(`${text.length}:`).update(text);
    const seen = hash.digest("hex");
    const before = this.#state;
    // A set that was refused is judged again, since one that is not valid yet becomes so; an identity that has ended too.
    const ended = before !== undefined && before.identity.notAfter <= this.clock.now();
    if (seen === this.#seen && this.#problem === undefined && !ended) return;
    const set = parseSet(files);
    if (before !== undefined && before.identity.trustDomain !== set.trustDomain) {
      throw new SdkError("broken", `the directory turned to trust domain ${set.trustDomain}`);
    }
    // A bundle that went back is not refused with its whole set: the identity in it may be what we need.
    const lower = before !== undefined && set.bundle.sequence < before.bundle.sequence;
    const bundle = lower ? before.bundle : newerBundle(before?.bundle, set.bundle);
    const denied = newerDenyList(before?.denied, set.denied);
    const { identity, problem } = this.#identityOf(set, bundle, denied);
    if (identity === undefined) {
      this.#seen = seen;
      this.#report(problem);
      return;
    }
    const next: State = { identity, bundle, denied };
    if (identity !== before?.identity || bundle !== before.bundle) tryTls(next);
    const changed =
      before === undefined ||
      before.identity !== next.identity ||
      before.bundle !== next.bundle ||
      before.denied !== next.denied;
    this.#seen = seen;
    this.#state = next;
    this.#report(problem ?? wentBack(set, next));
    if (changed && before !== undefined) this.#tell();
  }

  /** All are told: a listener that throws must not keep a deny list from the others. Its error is nobody's to catch. */
  #tell(): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** The identity of the set if it holds, else the one in use, with what is wrong with the new one. */
  #identityOf(
    set: IdentitySet,
    bundle: TrustBundle,
    denied: DenyList,
  ): { readonly identity: Identity | undefined; readonly problem: SdkError | undefined } {
    const held = this.#state?.identity;
    const chainDer = set.chain.map(({ raw }) => raw);
    const same = held?.chainPem === set.chainPem;
    const verdict = judgeSvid(chainDer, { bundle, denied, at: this.clock.now(), purpose: "any" });
    if (!verdict.ok) {
      const detail = `${same ? "our identity" : "the new identity"} cannot be used: ${verdict.detail}`;
      return { identity: held, problem: new SdkError(verdict.reason === "expired" ? "not_ready" : "broken", detail) };
    }
    if (same && held !== undefined) return { identity: held, problem: undefined };
    const [leaf] = set.chain;
    const { trustDomain, chainPem, privateKey } = set;
    const { notAfter } = leaf;
    const identity = { spiffeId: verdict.id, trustDomain, leaf, chainDer, chainPem, privateKey, notAfter };
    return { identity, problem: undefined };
  }

  #report(problem: SdkError | undefined): void {
    const before = this.#problem;
    this.#problem = problem;
    if (before?.message !== problem?.message && !this.#closed) this.#onProblem(problem);
  }

  /** A directory that was removed and made again is another inode: the old watch sees nothing of it. */
  async #watchDirectory(): Promise<void> {
    let inode: bigint | undefined;
    try {
      inode = (await stat(this.#dir, { bigint: true })).ino;
    } catch {
      inode = undefined;
    }
    if (this.#closed || (inode === this.#watchedInode && this.#watcher !== undefined)) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watchedInode = inode;
    if (inode === undefined) return;
    try {
      const watcher = watch(this.#dir, { persistent: false }, () => void this.refresh());
      // Without a watch (too many of them, removed directory) polling goes on.
      watcher.on("error", () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = undefined;
    }
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.refresh(), this.#pollMs);
    this.#timer.unref();
  }
}

/** What OpenSSL does not take would only be seen when a server swaps its context. */
function tryTls({ identity, bundle }: State): void {
  try {
    createSecureContext(contextOptions(identity, bundle));
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new SdkError("broken", `TLS cannot use the set: ${detail}`, { cause: error });
  }
}

function wentBack(set: IdentitySet, held: State): SdkError | undefined {
  if (set.bundle.sequence < held.bundle.sequence) {
    const detail = `bundle.json went back to sequence ${set.bundle.sequence}, ${held.bundle.sequence} is kept`;
    return new SdkError("broken", detail);
  }
  if (set.denied.sequence < held.denied.sequence) {
    const detail = `denied.json went back to sequence ${set.denied.sequence}, ${held.denied.sequence} is kept`;
    return new SdkError("broken", detail);
  }
  return undefined;
}
