import type { Output } from "../../src/cli/print.ts";

/**
 * A terminal that knows what the demo's screen uses: cursor up, erase to the end of line or screen, modes. `lines` is what
 * a person would see.
 */
export class Terminal implements Output {
  readonly isTerminal: boolean;
  readonly rows: number;
  readonly width: number;
  text = "";
  readonly scrolled: string[] = [];
  readonly #cells: string[];
  #row = 0;
  #column = 0;

  constructor(options: { readonly isTerminal?: boolean; readonly rows?: number; readonly columns?: number } = {}) {
    this.isTerminal = options.isTerminal ?? true;
    this.rows = options.rows ?? 24;
    this.width = options.columns ?? 80;
    this.#cells = Array.from({ length: this.rows }, () => "");
  }

  columns(): number {
    return this.width;
  }

  get lines(): readonly string[] {
    return this.#cells.map((line) => line.trimEnd());
  }

  write(text: string): void {
    this.text += text;
    for (const [part, count, final] of text.matchAll(/\u001b\[(\??\d*)([A-Za-z])|[^\u001b]/g)) {
      if (final === undefined) this.#put(part);
      else if (final === "A") this.#row = Math.max(0, this.#row - Number(count || 1));
      else if (final === "K") this.#set(this.#current().slice(0, this.#column));
      else if (final === "J") {
        this.#set(this.#current().slice(0, this.#column));
        this.#cells.fill("", this.#row + 1);
      } else if (final !== "h" && final !== "l") throw new Error(`the terminal does not know ${JSON.stringify(part)}`);
    }
  }

  #current(): string {
    return this.#cells[this.#row] ?? "";
  }

  #set(line: string): void {
    this.#cells[this.#row] = line;
  }

  #put(char: string): void {
    if (char === "\r") this.#column = 0;
    else if (char === "\n") {
      this.#column = 0;
      if (this.#row < this.rows - 1) this.#row += 1;
      else {
        this.scrolled.push(this.#cells.shift() ?? "");
        this.#cells.push("");
      }
    } else {
      this.#set(
        this.#current().padEnd(this.#column).slice(0, this.#column) + char + this.#current().slice(this.#column + 1),
      );
      this.#column += 1;
    }
  }
}
