import type { AdminDeps } from "./handler.ts";

/** Longest time between two looks, milliseconds, for what no announcement tells. */
const lookEveryMs = 1000;

/** Yields at once, then whenever something may have changed, until `signal` aborts. Changes in between fold into one. */
export async function* announced(
  deps: Pick<AdminDeps, "announcements" | "clock" | "stopping">,
  signal: AbortSignal,
): AsyncIterable<void> {
  const ends = AbortSignal.any([signal, deps.stopping]);
  let wake: (() => void) | undefined;
  let pending = true;
  const unsubscribe = deps.announcements.subscribe(() => {
    pending = true;
    wake?.();
  });
  try {
    while (!ends.aborted) {
      if (!pending) {
        const timer = new AbortController();
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        const both = AbortSignal.any([timer.signal, ends]);
        await Promise.race([woken, deps.clock.sleep(lookEveryMs, { signal: both, unref: true })]);
        timer.abort();
        wake = undefined;
      }
      pending = false;
      if (ends.aborted) return;
      yield;
    }
  } finally {
    unsubscribe();
  }
}
