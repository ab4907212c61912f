// What signals mean to our processes.

/** Where signals come from and how a process ends; `process`, but for tests. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  removeListener(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
}

export interface SignalHandlers {
  /** The first TERM or INT: stop accepting, finish, flush. Called once. */
  drain(signal: "SIGTERM" | "SIGINT"): void;
  /** An INT after the first TERM or INT: end at once, exit code 130. */
  stopNow(): void;
  /** HUP: read certificates and the log level again. */
  reload?(): void;
  /** USR2: debug logging for a while. */
  debug?(): void;
}

/** Listens for TERM, INT, HUP and USR2 until the function that it returns is called. */
export function onSignals(handlers: SignalHandlers, source: SignalSource = process): () => void {
  let isDraining = false;
  const end = (signal: NodeJS.Signals): void => {
    if (isDraining) {
      if (signal === "SIGINT") handlers.stopNow();
      return;
    }
    isDraining = true;
    handlers.drain(signal === "SIGINT" ? "SIGINT" : "SIGTERM");
  };
  const reload = (): void => handlers.reload?.();
  const debug = (): void => handlers.debug?.();
  const listeners: readonly (readonly [NodeJS.Signals, (signal: NodeJS.Signals) => void])[] = [
    ["SIGTERM", end],
    ["SIGINT", end],
    ["SIGHUP", reload],
    ["SIGUSR2", debug],
  ];
  for (const [signal, listener] of listeners) source.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) source.removeListener(signal, listener);
  };
}

/** Exit code of a process that a second Ctrl-C ended. */
export const interruptedExitCode = 130;
