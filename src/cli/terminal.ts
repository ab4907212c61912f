// The real streams, clock and signals of this process.
import { createInterface } from "node:readline";
import { systemClock } from "../platform/clock.ts";
import type { CliContext, Input, Interrupts } from "./context.ts";
import type { Output } from "./print.ts";

/** The context of a real run. `flushed` resolves when all that was written has left this process. */
export function terminalContext(
  from: NodeJS.Process,
  starters: CliContext["starters"],
): { readonly context: CliContext; readonly flushed: () => Promise<void> } {
  const interrupts = createInterrupts(from);
  const out = createOutput(from.stdout, interrupts.stop);
  const err = createOutput(from.stderr, () => undefined);
  return {
    context: {
      out: out.output,
      err: err.output,
      input: createInput(from.stdin),
      env: from.env,
      cwd: from.cwd(),
      clock: systemClock,
      interrupts,
      starters,
      etcDir: "/etc/signet",
    },
    flushed: async () => {
      await Promise.all([out.flushed(), err.flushed()]);
    },
  };
}

interface WatchedOutput {
  readonly output: Output;
  flushed(): Promise<void>;
}

// Who reads may go away before the end, as `head` does. That is no failure: what follows is dropped, and what runs on for
// its output alone ends.
function createOutput(stream: NodeJS.WriteStream, onGone: () => void): WatchedOutput {
  let gone = false;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    gone = true;
    if (error.code === "EPIPE") onGone();
  });
  return {
    output: {
      write: (text) => {
        if (!gone) stream.write(text);
      },
      isTerminal: stream.isTTY === true,
      columns: () => (stream.isTTY === true ? stream.columns : undefined),
    },
    flushed: () =>
      new Promise((resolve) => {
        if (gone || stream.writableLength === 0) resolve();
        else {
          stream.write("", () => resolve());
          stream.once("error", () => resolve());
        }
      }),
  };
}

function createInput(stream: NodeJS.ReadStream): Input {
  return {
    isTerminal: stream.isTTY === true,
    line: (signal) =>
      new Promise((resolve) => {
        const lines = createInterface({ input: stream, terminal: false });
        let answer: string | undefined;
        const stop = (): void => lines.close();
        signal?.addEventListener("abort", stop, { once: true });
        lines.once("line", (line) => {
          answer = line;
          lines.close();
        });
        lines.once("close", () => {
          signal?.removeEventListener("abort", stop);
          stream.pause();
          resolve(answer);
        });
        if (signal?.aborted === true) stop();
      }),
    all: async (maxBytes) => {
      const parts: Buffer[] = [];
      let size = 0;
      for await (const part of stream) {
        const octets = Buffer.from(part as Uint8Array);
        size += octets.length;
        if (size > maxBytes) throw new Error(`the standard input is longer than ${maxBytes} octets`);
        parts.push(octets);
      }
      return Buffer.concat(parts).toString("utf8");
    },
  };
}

function createInterrupts(from: NodeJS.Process): Interrupts & { readonly stop: () => void } {
  const controller = new AbortController();
  let listening = false;
  return {
    signal: () => {
      if (!listening) {
        listening = true;
        from.on("SIGINT", () => {
          if (controller.signal.aborted) from.exit(130);
          controller.abort();
        });
      }
      return controller.signal;
    },
    stop: () => controller.abort(),
  };
}
