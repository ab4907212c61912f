// Renews identities: wakes at the earliest, takes what is due soon along, asks in batches, judges what comes back. What is
// valid stays in use whatever the server answers.
import type { Clock } from "../../src/platform/clock.ts";
import type { Logger } from "../../src/platform/logger.ts";
import type { Random } from "../../src/platform/random.ts";
import { type IssuedCertificate, judgeIssued } from "../../src/sdk/judge-issued.ts";
import { type NodeKey, newNodeKey, openNodeKey } from "../../src/sdk/node-key.ts";
import { bothClocks, dualTime, type RetryLimits, renewAt, retryDelayMs } from "../../src/sdk/renew-at.ts";
import type { TrustBundle } from "../../src/spiffe/bundle.ts";
import { type DenyList, isDenied } from "../../src/spiffe/deny.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { parseCertificate } from "../../src/x509/certificate.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import { Wake } from "../wake.ts";
import { calmRenewal, type IdentityCache, type IdentitySlot } from "./cache.ts";
import { DirectoryError } from "./directory-error.ts";
import { planRenewals } from "./due.ts";
import type { HeldIdentity } from "./held-identity.ts";

export interface IssueItem {
  readonly spiffeId: SpiffeId;
  readonly csrDer: Uint8Array;
}

/** One answer of a batch. `retryAfterSeconds` is 0 when the server said nothing of it. */
export type IssueAnswer =
  | { readonly ok: true; readonly issued: IssuedCertificate }
  | { readonly ok: false; readonly detail: string; readonly away: boolean; readonly retryAfterSeconds: number };

export type RenewalResult = "renewed" | "refused" | "unavailable" | "not_accepted" | "disk";

export interface RotatorDeps {
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly cache: IdentityCache;
  readonly trust: () => { readonly bundle: TrustBundle; readonly denyList: DenyList };
  /** Whether the server can be asked now; poke() when that changes. */
  readonly connected: () => boolean;
  /** Asks for at most 100 identities; answers in the order asked. Never rejects. */
  readonly issue: (
    items: readonly IssueItem[],
    options: { readonly signal: AbortSignal },
  ) => Promise<readonly IssueAnswer[]>;
  /** Throws DirectoryError when no identity could be kept now. Once a batch. */
  readonly probeKept: () => Promise<void>;
  /** Throws DirectoryError when a renewed identity could not be written to its directory now. */
  readonly probe: (id: SpiffeId) => Promise<void>;
  readonly keepKey: (id: SpiffeId) => boolean;
  readonly retry: RetryLimits;
  /** Items of one batch, and batches at the same time. */
  readonly batchSize: number;
  readonly lanes: number;
  readonly counted: (result: RenewalResult) => void;
  /** The clock of the server minus nothing: told with each answer that carries it. */
  readonly sawServerTime: (serverTime: Date, between: { readonly sentAt: Date; readonly receivedAt: Date }) => void;
}

/** Renews what is due, one loop for all identities. */
export class Rotator {
  readonly #deps: RotatorDeps;
  readonly #wake: Wake;
  readonly #busy = new Set<SpiffeId>();
  readonly #batches = new Set<Promise<void>>();
  #waiters: { readonly ids: Set<SpiffeId>; readonly resolve: () => void }[] = [];

  constructor(deps: RotatorDeps) {
    this.#deps = deps;
    this.#wake = new Wake(deps.clock);
    deps.cache.subscribe(() => this.#wake.poke());
  }

  /** Looks again: the server came back, or trust changed. What failed because the server was away is tried at once. */
  poke(): void {
    this.#wake.poke();
  }

  /** Forgets back-offs that came from the server's absence. */
  serverIsBack(): void {
    for (const { spiffeId, renewal } of this.#deps.cache.all()) {
      if (renewal.failures > 0 && !renewal.diskBlocked) this.#change(spiffeId, { retry: undefined });
    }
    this.poke();
  }

  /** Renews identities now, whatever renewAt says. Resolves when each was tried once, or `signal` aborts. */
  async renewNow(ids: readonly SpiffeId[], signal: AbortSignal): Promise<void> {
    const tried = new Promise<void>((resolve) => {
      this.#waiters.push({ ids: new Set(ids), resolve });
      signal.addEventListener("abort", () => resolve(), { once: true });
      if (signal.aborted || ids.length === 0) resolve();
    });
    this.force(ids);
    await tried;
  }

  /** Asks for a renewal as soon as the server can be asked; does not wait. */
  force(ids: readonly SpiffeId[]): void {
    for (const id of ids) {
      const failed = (this.#deps.cache.get(id)?.renewal.failures ?? 0) > 0;
      this.#change(id, { forced: true, ...(failed ? { retry: undefined } : {}) });
    }
    this.poke();
  }

  /** Works until `signal` aborts, and then waits for what is under way. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let nextMs = Number.POSITIVE_INFINITY;
      if (this.#deps.connected() && this.#batches.size < this.#deps.lanes) {
        const plan = planRenewals(this.#deps.cache.all(), bothClocks(this.#deps.clock), this.#busy);
        const batch = plan.due.slice(0, this.#deps.batchSize);
        if (batch.length > 0) {
          this.#start(batch, signal);
          continue;
        }
        nextMs = plan.nextMs;
      }
      await this.#wake.wait(nextMs, signal);
    }
    await Promise.all(this.#batches);
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #start(batch: readonly IdentitySlot[], signal: AbortSignal): void {
    for (const { spiffeId } of batch) this.#busy.add(spiffeId);
    const work = this.#renew(batch, signal)
      .catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        for (const slot of batch) if (this.#busy.has(slot.spiffeId)) this.#failed(slot, "not_accepted", why);
      })
      .finally(() => {
        for (const { spiffeId } of batch) this.#busy.delete(spiffeId);
        this.#batches.delete(work);
        this.#tellWaiters(batch.map(({ spiffeId }) => spiffeId));
        this.#wake.poke();
      });
    this.#batches.add(work);
  }

  async #renew(batch: readonly IdentitySlot[], signal: AbortSignal): Promise<void> {
    const writable = await this.#writable(batch);
    if (writable.length === 0) return;
    const asked = await Promise.all(writable.map((slot) => this.#prepare(slot)));
    const sentAt = this.#deps.clock.now();
    const items = asked.map(({ slot, csrDer }) => ({ spiffeId: slot.spiffeId, csrDer }));
    const answers = await this.#deps.issue(items, { signal });
    const receivedAt = this.#deps.clock.now();
    for (const [i, { slot, key }] of asked.entries()) {
      const answer = answers[i];
      if (answer === undefined) this.#failed(slot, "unavailable", "the server did not answer for it");
      else if (!answer.ok) {
        this.#failed(slot, answer.away ? "unavailable" : "refused", answer.detail, answer.retryAfterSeconds);
      } else {
        if (answer.issued.serverTime !== undefined) {
          this.#deps.sawServerTime(answer.issued.serverTime, { sentAt, receivedAt });
        }
        // The server's time may just have told that our clock was set: then the answer is judged by the clock as it is now.
        const judgedAt = this.#deps.clock.now();
        const offMs = judgedAt.getTime() - receivedAt.getTime();
        const times = { sentAt: new Date(sentAt.getTime() + offMs), receivedAt: judgedAt };
        this.#accept(slot.spiffeId, { issued: answer.issued, key, ...times });
      }
    }
  }

  /** A certificate that could not be written would be asked for in vain. */
  async #writable(batch: readonly IdentitySlot[]): Promise<readonly IdentitySlot[]> {
    const kept = this.#deps.probeKept();
    const probed = await Promise.all(
      batch.map(async (slot) => {
        try {
          await kept;
          await this.#deps.probe(slot.spiffeId);
          return slot;
        } catch (error) {
          if (!(error instanceof DirectoryError)) throw error;
          this.#failed(slot, "disk", error.message);
          return undefined;
        }
      }),
    );
    return probed.filter((slot) => slot !== undefined);
  }

  async #prepare(slot: IdentitySlot): Promise<{ slot: IdentitySlot; key: NodeKey; csrDer: Uint8Array }> {
    const key = this.#mayKeepKey(slot) ? openNodeKey(slot.held?.keyDer ?? new Uint8Array()) : newNodeKey();
    return { slot, key, csrDer: await buildCsr(key) };
  }

  /** A key whose certificate was revoked is never used again. */
  #mayKeepKey({ spiffeId, held }: IdentitySlot): boolean {
    const leaf = held?.chainDer[0];
    if (leaf === undefined || !this.#deps.keepKey(spiffeId)) return false;
    return !isDenied(this.#deps.trust().denyList, parseCertificate(leaf));
  }

  #accept(
    id: SpiffeId,
    answer: {
      readonly issued: IssuedCertificate;
      readonly key: NodeKey;
      readonly sentAt: Date;
      readonly receivedAt: Date;
    },
  ): void {
    const { cache, trust, random, clock } = this.#deps;
    const slot = cache.get(id);
    if (slot === undefined) return;
    const { issued, key } = answer;
    const { bundle, denyList } = trust();
    // An entry may have changed while the answer was on its way: then its names are checked when the next one comes.
    const names = slot.entry !== undefined && issued.entryRevision === slot.entry.revision ? slot.entry : undefined;
    const verdict = judgeIssued(issued, {
      spiffeId: id,
      spkiDer: key.spkiDer,
      names,
      purposes: ["server", "client"],
      bundle,
      denied: denyList,
      at: answer.receivedAt,
    });
    if (!verdict.ok) {
      this.#failed(slot, "not_accepted", verdict.reason);
      return;
    }
    const jitter = random.fraction() * 2 - 1;
    const leastSeconds = issued.limitedByAuthority ? (slot.entry?.ttlSeconds ?? 0) / 4 : 0;
    const held: HeldIdentity = {
      spiffeId: id,
      chainDer: issued.chainDer,
      keyDer: key.keyDer,
      serialHex: issued.serialHex,
      notBefore: verdict.leaf.notBefore,
      notAfter: verdict.leaf.notAfter,
      ttlSeconds: issued.ttlSeconds,
      obtainedAt: answer.sentAt,
      renewAt: renewAt(answer.sentAt, issued.ttlSeconds, jitter, leastSeconds),
      jitter,
      authority: issued.authority,
      limitedByAuthority: issued.limitedByAuthority,
      entryId: issued.entryId,
      entryRevision: issued.entryRevision,
    };
    const now = bothClocks(clock);
    const pause = dualTime(new Date(now.at.getTime() + this.#deps.retry.leastMs), now);
    cache.change(id, (latest) => ({
      ...latest,
      held,
      due: dualTime(held.renewAt, now),
      renewal: { ...calmRenewal, retry: pause },
    }));
    this.#deps.counted("renewed");
    const { serialHex, notAfter, authority } = held;
    this.#deps.logger.info(
      { spiffeId: id, serialHex, notAfter, renewAt: held.renewAt, authority },
      "identity obtained",
    );
  }

  #failed({ spiffeId }: IdentitySlot, result: RenewalResult, why: string, retryAfterSeconds: number = 0): void {
    const { cache, clock, random, retry } = this.#deps;
    const slot = cache.get(spiffeId);
    this.#deps.counted(result);
    if (slot === undefined) return;
    const now = bothClocks(clock);
    const failures = slot.renewal.failures + 1;
    const leftMs = slot.held === undefined ? 0 : slot.held.notAfter.getTime() - now.at.getTime();
    const delayMs = Math.max(retryDelayMs(failures, leftMs, random.fraction(), retry), retryAfterSeconds * 1000);
    const retryAt = new Date(now.at.getTime() + delayMs);
    this.#change(spiffeId, {
      failures,
      lastError: why,
      retry: dualTime(retryAt, now),
      diskBlocked: result === "disk",
    });
    this.#deps.logger.warn({ spiffeId, result, reason: why, failures, retryAt }, "identity not renewed");
  }

  #change(id: SpiffeId, renewal: Partial<IdentitySlot["renewal"]>): void {
    this.#deps.cache.change(id, (slot) => ({ ...slot, renewal: { ...slot.renewal, ...renewal } }));
  }

  #tellWaiters(ids: readonly SpiffeId[]): void {
    this.#waiters = this.#waiters.filter((waiter) => {
      for (const id of ids) waiter.ids.delete(id);
      if (waiter.ids.size === 0) waiter.resolve();
      return waiter.ids.size > 0;
    });
  }
}
