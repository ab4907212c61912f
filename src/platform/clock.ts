import { readFileSync } from "node:fs";
import { uptime } from "node:os";

/** The wall clock and a clock that never goes back. Passed in everywhere; nothing of ours reads the time by itself. */
export interface Clock {
  /** The wall clock. */
  now(): Date;
  /** Milliseconds since some moment, never going back. */
  monotonicMs(): number;
  /**
   * Resolves after `ms` (any length, also beyond 2^31), or at once when `signal` aborts; never rejects. The timer does
   * not keep the process alive on its own when `unref` is set.
   */
  sleep(ms: number, options?: { readonly signal?: AbortSignal; readonly unref?: boolean }): Promise<void>;
}

/** The time since this machine was started, with the time that it slept. Nobody can set it. */
export interface BootClock {
  /** Milliseconds since the machine was started. */
  sinceBootMs(): number;
  /** Another text for each start of the machine; undefined where the system does not tell. */
  readonly bootId: string | undefined;
}

/** The boot clock of this machine. */
export const systemBoot: BootClock = {
  sinceBootMs: () => uptime() * 1000,
  bootId: readBootId(),
};

function readBootId(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return undefined;
  }
}

/** What setTimeout takes at most; longer sleeps are cut into pieces. */
const longestTimerMs = 2 ** 31 - 1;

/** The clocks of this machine. */
export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep: (ms, { signal, unref = false } = {}) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      let timer: NodeJS.Timeout;
      let leftMs = Number.isNaN(ms) ? 0 : Math.max(0, ms);
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const wait = (): void => {
        const pieceMs = Math.min(leftMs, longestTimerMs);
        leftMs -= pieceMs;
        timer = setTimeout(leftMs > 0 ? wait : end, pieceMs);
        if (unref) timer.unref();
      };
      signal?.addEventListener("abort", end, { once: true });
      wait();
    }),
};
