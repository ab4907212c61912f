// Work that goes on in the background: named, ended and awaited at shutdown. Nothing of ours runs unowned.
import type { Logger } from "./logger.ts";

export interface Tasks {
  /** Starts work that ends by itself or when `signal` aborts. After stop() nothing is started any more. */
  start(name: string, work: (signal: AbortSignal) => Promise<void>): void;
  /** Aborts all work and resolves when it has ended. */
  stop(): Promise<void>;
  /** Names of what runs now. */
  readonly running: readonly string[];
}

export interface TasksOptions {
  /** Told when work ends by an error that was not the abort; the log has it already. */
  readonly failed?: (name: string, error: unknown) => void;
}

export function createTasks(logger: Pick<Logger, "debug" | "error">, options: TasksOptions = {}): Tasks {
  const stopping = new AbortController();
  const running = new Map<symbol, { readonly name: string; readonly ended: Promise<void> }>();

  const own = async (name: string, work: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    try {
      await work(stopping.signal);
      logger.debug({ task: name }, "task ended");
    } catch (error) {
      if (stopping.signal.aborted && isAbort(error)) return;
      logger.error({ task: name, err: error }, "task failed");
      options.failed?.(name, error);
    }
  };

  return {
    start: (name, work) => {
      if (stopping.signal.aborted) return;
      const id = Symbol(name);
      const ended = own(name, work).finally(() => running.delete(id));
      running.set(id, { name, ended });
    },
    stop: async () => {
      stopping.abort();
      await Promise.all([...running.values()].map(({ ended }) => ended));
    },
    get running() {
      return [...running.values()].map(({ name }) => name);
    },
  };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
