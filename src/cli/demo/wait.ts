import type { Clock } from "../../platform/clock.ts";

const stepMs = 50;

/**
 * Asks `probe` again and again until it has an answer. Throws when `signal` aborts (its reason), and with
 * `WHAT: not within N s` when the time is over.
 */
export async function until<Answer>(
  probe: () => Promise<Answer | undefined> | Answer | undefined,
  options: { readonly clock: Clock; readonly signal: AbortSignal; readonly what: string; readonly limitMs: number },
): Promise<Answer> {
  const { clock, signal, limitMs } = options;
  const from = clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (clock.monotonicMs() - from > limitMs) throw new Error(`${options.what}: not within ${limitMs / 1000} s`);
    await clock.sleep(stepMs, { signal });
  }
}

/** Runs `work` every `everyMs` until `signal` aborts. */
export async function repeat(
  work: () => Promise<void> | void,
  options: { readonly clock: Clock; readonly signal: AbortSignal; readonly everyMs: number },
): Promise<void> {
  while (!options.signal.aborted) {
    await work();
    await options.clock.sleep(options.everyMs, { signal: options.signal });
  }
}
