import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";

import type { Clock } from "../../platform/clock.ts";
import {
  type AgentView,
  type CallsView,
  emptyScene,
  type IdentityView,
  type Scene,
  type StrangerKind,
  type StrangerView,
} from "./scene.ts";
import type { Screen } from "./screen.ts";
import { drawView, eventText } from "./view.ts";

/** Holds the scene, shows it, and writes down what happens: an event a line in `events.jsonl`. */
export class Stage {
  readonly #clock: Clock;
  readonly #screen: Screen;
  readonly #log: FileHandle;
  #scene: Scene;
  #written: Promise<void> = Promise.resolve();

  private constructor(deps: { readonly clock: Clock; readonly screen: Screen }, log: FileHandle, scene: Scene) {
    this.#clock = deps.clock;
    this.#screen = deps.screen;
    this.#log = log;
    this.#scene = scene;
  }

  static async open(
    deps: { readonly clock: Clock; readonly screen: Screen },
    options: { readonly eventsFile: string; readonly trustDomain: string; readonly forSeconds: number },
  ): Promise<Stage> {
    const log = await open(options.eventsFile, "w", 0o600);
    return new Stage(deps, log, emptyScene(options));
  }

  get scene(): Scene {
    return this.#scene;
  }

  change(changes: Partial<Scene>): void {
    this.#scene = { ...this.#scene, ...changes };
  }

  changeAgent(name: "one" | "two", changes: Partial<AgentView>): void {
    this.change({ [name]: { ...this.#scene[name], ...changes } });
  }

  changeIdentity(name: "one" | "two", changes: Partial<IdentityView>): void {
    this.changeAgent(name, { identity: { ...this.#scene[name].identity, ...changes } });
  }

  changeCalls(name: "a" | "b", changes: Partial<CallsView>): void {
    this.change({ [name]: { ...this.#scene[name], ...changes } });
  }

  changeStranger(kind: StrangerKind, changes: Partial<StrangerView>): void {
    const strangers = this.#scene.strangers.map((each) => (each.kind === kind ? { ...each, ...changes } : each));
    this.change({ strangers });
  }

  /** Something happened: shown at once, and kept. */
  tell(subject: string, text: string, more: Readonly<Record<string, unknown>> = {}): void {
    const event = { at: this.#clock.now().getTime(), subject, text };
    this.change({ events: [...this.#scene.events.slice(-49), event] });
    this.record("demo", { event: "told", subject, text, ...more });
    if (this.#screen.live) return;
    for (const line of eventText(this.#scene, event, this.#screen.width)) this.#screen.line(line);
  }

  /** Writes what a service said to `events.jsonl` only. */
  record(from: string, fields: Readonly<Record<string, unknown>>): void {
    const now = this.#clock.now();
    const { startedAt } = this.#scene;
    const seconds = startedAt === undefined ? undefined : Math.round(now.getTime() - startedAt) / 1000;
    const line = `${JSON.stringify({ time: now.toISOString(), seconds, from, ...fields })}\n`;
    this.#written = this.#written
      .then(() => this.#log.appendFile(line))
      .then(
        () => undefined,
        () => undefined,
      );
  }

  draw(): void {
    this.#screen.draw(drawView(this.#scene, this.#clock.now().getTime()));
  }

  /** Draws for the last time and closes the file. */
  async close(): Promise<void> {
    this.draw();
    this.#screen.leave();
    await this.#written;
    await this.#log.close();
  }
}
