import { expect, it } from "vitest";
import { createScreen } from "../../../../src/cli/demo/screen.ts";
import { drawView } from "../../../../src/cli/demo/view.ts";
import { Terminal } from "../../../fakes/terminal.ts";
import { buildScene, startedAt } from "./build-scene.ts";

const screenOn = (terminal: Terminal): ReturnType<typeof createScreen> =>
  createScreen(terminal, { dumb: false, rows: () => terminal.rows });

it("draw() shows the view at the same place again and again, on 24 lines without scrolling", () => {
  const terminal = new Terminal();
  const screen = screenOn(terminal);
  for (const seconds of [34, 35, 36, 40]) {
    const view = drawView(buildScene(), startedAt + seconds * 1000);
    screen.draw(view);
    expect(terminal.lines.slice(0, 23)).toEqual(view);
  }
  expect(terminal.scrolled).toEqual([]);
});

it("draw() writes only lines that changed", () => {
  const terminal = new Terminal();
  const screen = screenOn(terminal);
  screen.draw(["one", "two", "three"]);
  terminal.text = "";
  screen.draw(["one", "2", "three"]);
  expect(terminal.lines.slice(0, 4)).toEqual(["one", "2", "three", ""]);
  expect(terminal.text).not.toMatch(/one|three/);
});

it("draw() takes away what a shorter line or view leaves behind", () => {
  const terminal = new Terminal();
  const screen = screenOn(terminal);
  screen.draw(["a long line", "two", "three"]);
  screen.draw(["short"]);
  expect(terminal.lines.filter((line) => line !== "")).toEqual(["short"]);
});

it("draw() cuts the view to a terminal that became smaller", () => {
  const terminal = new Terminal({ rows: 10, columns: 40 });
  let size = { rows: 24, columns: 80 };
  const out = {
    isTerminal: true,
    columns: (): number => size.columns,
    write: (text: string): void => terminal.write(text),
  };
  const screen = createScreen(out, { dumb: false, rows: () => size.rows });
  size = { rows: 10, columns: 40 };
  screen.draw(drawView(buildScene(), startedAt));
  screen.draw(drawView(buildScene(), startedAt + 1000));
  expect(terminal.scrolled).toEqual([]);
  expect(Math.max(...terminal.lines.map((line) => line.length))).toBeLessThanOrEqual(40);
});

it("createScreen() on a terminal that is smaller than the view prints lines, and says that it is too small", () => {
  for (const size of [
    { rows: 24, columns: 79 },
    { rows: 23, columns: 80 },
  ]) {
    const terminal = new Terminal(size);
    const screen = screenOn(terminal);
    screen.draw(["view"]);
    screen.line("event");
    screen.leave();
    expect(screen).toMatchObject({ live: false, tooSmall: true, width: size.columns });
    expect(terminal.text).toBe("event\n");
  }
  expect(screenOn(new Terminal())).toMatchObject({ live: true, tooSmall: false, width: 80 });
  const unknown = new Terminal({ rows: 0, columns: 0 });
  expect(screenOn(unknown), "a terminal without a size").toMatchObject({ live: true, tooSmall: false, width: 80 });
});

it("line() after leave() stands below the last view, and the cursor is back", () => {
  const terminal = new Terminal();
  const screen = screenOn(terminal);
  screen.draw(["view"]);
  screen.leave();
  screen.leave();
  screen.draw(["not drawn"]);
  screen.line("summary");
  expect(terminal.lines.slice(0, 2)).toEqual(["view", "summary"]);
  expect(terminal.text.split("\u001b[?25l")).toHaveLength(2);
  expect(terminal.text.split("\u001b[?25h")).toHaveLength(2);
});

it("createScreen() in a pipe or on a dumb terminal draws nothing and prints lines as they are", () => {
  for (const terminal of [new Terminal({ isTerminal: false }), new Terminal()]) {
    const screen = createScreen(terminal, { dumb: true });
    screen.draw(["view"]);
    screen.line("event");
    screen.leave();
    expect(screen).toMatchObject({ live: false, tooSmall: false });
    expect(terminal.text).toBe("event\n");
  }
});
