// Lets only so many through in a second; the others wait in line, and who finds the line full is turned away at once.
import type { Clock } from "./clock.ts";

export interface Pace {
  /**
   * True when it is the caller's turn, in the order of arrival. False at once when the line is full, and as soon as
   * `signal` aborts: who leaves makes room.
   */
  next(signal?: AbortSignal): Promise<boolean>;
  /** How long a full line takes, whole seconds. */
  readonly fullLineSeconds: number;
}

/** After a quiet second `perSecond` go at once; then one each 1/`perSecond` s. At most `queue` wait. */
export function createPace(options: {
  readonly perSecond: number;
  readonly queue: number;
  readonly clock: Pick<Clock, "monotonicMs" | "sleep">;
}): Pace {
  const { perSecond, queue, clock } = options;
  const turnMs = 1000 / perSecond;
  const line = new Set<() => void>();
  /** Time saved up, milliseconds: a turn costs `turnMs`, and more than a second is not kept. */
  let savedMs = 1000;
  let readAt = clock.monotonicMs();
  const takeTurn = (): boolean => {
    const now = clock.monotonicMs();
    savedMs = Math.min(1000, savedMs + now - readAt);
    readAt = now;
    if (savedMs < turnMs) return false;
    savedMs -= turnMs;
    return true;
  };
  let isServing = false;
  const serve = async (): Promise<void> => {
    isServing = true;
    for (;;) {
      const [first] = line;
      if (first === undefined) break;
      if (takeTurn()) first();
      else await clock.sleep(Math.ceil(turnMs - savedMs), { unref: true });
    }
    isServing = false;
  };
  return {
    next: async (signal) => {
      if (signal?.aborted === true) return false;
      if (line.size === 0 && takeTurn()) return true;
      if (line.size >= queue) return false;
      return new Promise((resolve) => {
        const end = (isTurn: boolean): void => {
          line.delete(go);
          signal?.removeEventListener("abort", leave);
          resolve(isTurn);
        };
        const go = (): void => end(true);
        const leave = (): void => end(false);
        signal?.addEventListener("abort", leave, { once: true });
        line.add(go);
        if (!isServing) void serve();
      });
    },
    fullLineSeconds: Math.ceil(queue / perSecond),
  };
}
