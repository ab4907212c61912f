// Where the demo's picture goes: drawn in place on a terminal, one line an event in a pipe.
import type { Output } from "../print.ts";

export interface Screen {
  /** True when the view is drawn in place. */
  readonly live: boolean;
  /** True on a terminal that could draw but is smaller than the view. */
  readonly tooSmall: boolean;
  /** Columns that a line which stays may fill; in a pipe as good as no limit. */
  readonly width: number;
  /** Shows the view as it is now; nothing in a pipe. */
  draw(lines: readonly string[]): void;
  /** A line that stays: an event in a pipe, the summary behind the view on a terminal. */
  line(text: string): void;
  /** Leaves the view as it was drawn last, and gives the cursor back. Safe to call twice. */
  leave(): void;
}

/** A terminal of this size has room for the view. */
export const leastSize = { columns: 80, rows: 24 } as const;

const escape = "\u001b[";
const pipeWidth = 10_000;
const leastWidth = 20;

/**
 * A screen on `out`. Only lines that changed are written again, within one synchronized update, so nothing flickers. A
 * terminal below `leastSize` gets lines as a pipe does; one that shrinks later shows the upper left part of the view.
 */
export function createScreen(
  out: Output,
  options: { readonly dumb: boolean; readonly rows?: () => number | undefined },
): Screen {
  const rowsNow = options.rows ?? (() => process.stdout.rows);
  // A terminal that nobody told its size says 0.
  const columnsNow = (): number => out.columns() || leastSize.columns;
  const linesNow = (): number => rowsNow() || leastSize.rows;
  const small = columnsNow() < leastSize.columns || linesNow() < leastSize.rows;
  const capable = out.isTerminal && !options.dumb;
  const live = capable && !small;
  let drawn: readonly string[] = [];
  let size = "";
  let open = live;
  return {
    live,
    tooSmall: capable && small,
    get width() {
      return out.isTerminal ? Math.max(columnsNow(), leastWidth) : pipeWidth;
    },
    draw: (lines) => {
      if (!open) return;
      const columns = columnsNow();
      const rows = Math.max(1, linesNow() - 1);
      const shown = lines.slice(0, rows).map((line) => line.slice(0, columns));
      const first = drawn.length === 0;
      // After a resize the terminal may have wrapped what was drawn: everything is written again.
      const again = size !== `${columns}x${rows}`;
      size = `${columns}x${rows}`;
      let text = first ? `${escape}?25l` : `${escape}${drawn.length}A\r`;
      if (again && !first) text += `${escape}J`;
      for (const [index, line] of shown.entries()) {
        text += first || again || line !== drawn[index] ? `${line}${escape}K\n` : "\n";
      }
      if (drawn.length > shown.length) text += `${escape}J`;
      drawn = shown;
      out.write(`${escape}?2026h${text}${escape}?2026l`);
    },
    line: (text) => out.write(`${text}\n`),
    leave: () => {
      if (open && drawn.length > 0) out.write(`${escape}?25h`);
      open = false;
    },
  };
}
