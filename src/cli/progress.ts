// What a wait shows: for what, how far, and what Ctrl-C leaves behind.
import type { Cli } from "./context.ts";
import { wrap } from "./layout.ts";

export interface Progress {
  /** How far it is; drawn over the former line on a terminal, a line of its own elsewhere. */
  update(text: string): void;
  /** Takes the drawn line away, until the next update. */
  clear(): void;
  /** Takes the drawn line away for good. Safe to call twice. */
  stop(): void;
}

const pipeEveryMs = 5000;

/**
 * Shows on stderr what is waited for, from `afterMs` on, so that a quick answer does not flash. Elsewhere than on a
 * terminal a line is written only when its text changed, and not at all before `afterMs`.
 */
export function startProgress(cli: Cli, options: { readonly afterMs: number; readonly leaves: string }): Progress {
  const { print, err } = cli;
  const redraw = err.isTerminal && cli.env["TERM"] !== "dumb";
  const width = err.isTerminal ? Math.max(err.columns() || 80, 20) : 80;
  let text = "";
  let written = "";
  let drawnLines = 0;
  let writtenAt = 0;
  let open = options.afterMs <= 0;
  const clear = (): void => {
    if (drawnLines > 0) print.progress(`\r\u001b[${drawnLines}A\u001b[J`);
    drawnLines = 0;
    if (redraw) written = "";
  };
  const draw = (): void => {
    if (!open || text === "" || print.quiet || text === written) return;
    if (redraw) {
      clear();
      const lines = [...wrap(text, width - 1), ...wrap(options.leaves, width - 1).filter((line) => line !== "")];
      print.progress(`${lines.join("\n")}\n`);
      drawnLines = lines.length;
    } else {
      // A log is not a screen: a new stage at once, the same stage with other numbers now and then.
      const now = cli.clock.monotonicMs();
      const isNewStage = stageOf(text) !== stageOf(written);
      if (!isNewStage && now - writtenAt < pipeEveryMs) return;
      writtenAt = now;
      if (written === "" && err.isTerminal) print.note(options.leaves);
      print.note(text);
    }
    written = text;
  };
  const timer = open
    ? undefined
    : setTimeout(() => {
        open = true;
        draw();
      }, options.afterMs);
  timer?.unref();
  return {
    update: (next) => {
      text = next;
      draw();
    },
    clear,
    stop: () => {
      clearTimeout(timer);
      open = false;
      clear();
    },
  };
}

function stageOf(text: string): string {
  return text.trimStart().split(" ")[0] ?? "";
}
