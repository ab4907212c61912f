// Tells others that something changed. A slow listener misses values in between, never the latest.

export interface Changes<T> {
  /** Brings `value` to every subscriber, later in this turn of the loop. */
  publish(value: T): void;
  /**
   * Calls `listener` with each value that is published from now on, one call at a time; while a call runs, only the
   * latest value waits. Returns the end of the subscription.
   */
  subscribe(listener: (value: T) => void | Promise<void>): () => void;
}

/** `onError` is told what a listener threw; the listener stays subscribed. */
export function createChanges<T>(onError: (error: unknown) => void): Changes<T> {
  const subscribers = new Set<(value: T) => void>();
  return {
    publish: (value) => {
      for (const offer of subscribers) offer(value);
    },
    subscribe: (listener) => {
      let waiting: { readonly value: T } | undefined;
      let isRunning = false;
      let isOver = false;
      const run = async (): Promise<void> => {
        await Promise.resolve();
        while (waiting !== undefined && !isOver) {
          const { value } = waiting;
          waiting = undefined;
          try {
            await listener(value);
          } catch (error) {
            onError(error);
          }
        }
        isRunning = false;
      };
      const offer = (value: T): void => {
        waiting = { value };
        if (isRunning) return;
        isRunning = true;
        void run();
      };
      subscribers.add(offer);
      return () => {
        isOver = true;
        subscribers.delete(offer);
      };
    },
  };
}
