/** What a process does on a signal. */
export interface SignalHandlers {
  /** TERM or the first INT: drain and end. */
  drain(signal: "SIGTERM" | "SIGINT"): void;
  /** A second INT or TERM: stop at once. */
  stopNow(): void;
  /** HUP: read certificates and the log level again. */
  reload?(): void;
  /** USR2: debug logging for a while. */
  debug?(): void;
}

/** Listens to this process's signals until the returned function is called. */
export function onSignals(handlers: SignalHandlers): () => void {
  let draining = false;
  const end = (signal: "SIGTERM" | "SIGINT") => (): void => {
    if (draining) return handlers.stopNow();
    draining = true;
    handlers.drain(signal);
  };
  const listeners: readonly [NodeJS.Signals, () => void][] = [
    ["SIGTERM", end("SIGTERM")],
    ["SIGINT", end("SIGINT")],
    ["SIGHUP", () => handlers.reload?.()],
    ["SIGUSR2", () => handlers.debug?.()],
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) process.removeListener(signal, listener);
  };
}
