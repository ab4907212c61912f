/**
 * Takes callers in turn and lets the event loop breathe: each `next(caller)` resolves in arrival order of its caller,
 * callers alternate, and after `burst` turns other events run first.
 */
export interface Turns {
  next(caller: string): Promise<void>;
  readonly waiting: number;
}

export function createTurns(burst: number): Turns {
  const queues = new Map<string, (() => void)[]>();
  let waiting = 0;
  let scheduled = false;
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(run);
  };
  const run = (): void => {
    scheduled = false;
    for (let turn = 0; turn < burst; turn++) {
      const first = queues.entries().next();
      if (first.done === true) return;
      const [caller, queue] = first.value;
      queues.delete(caller);
      const resolve = queue.shift();
      if (queue.length > 0) queues.set(caller, queue); // Behind everybody else.
      waiting--;
      resolve?.();
    }
    if (queues.size > 0) schedule();
  };
  return {
    next: (caller) =>
      new Promise((resolve) => {
        const queue = queues.get(caller);
        if (queue === undefined) queues.set(caller, [resolve]);
        else queue.push(resolve);
        waiting++;
        schedule();
      }),
    get waiting() {
      return waiting;
    },
  };
}
