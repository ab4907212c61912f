// A process that commits as fast as it can until it is killed. Each acknowledged commit is written to stdout at once, by
// a plain write: what the parent has read was acknowledged.

import { writeSync } from "node:fs";
import { openLevelStore } from "../../src/store/level.ts";
import { putIfAbsent, update } from "../../src/store/store.ts";
import { others, thing, things } from "../fakes/things.ts";
import { wallClock } from "./stores.ts";

const [dir = "", round = ""] = process.argv.slice(2);
const store = await openLevelStore(dir, { clock: wallClock, mark: `${dir}.mark` });
const note = "x".repeat(700);
const counter = (await store.get(things, "counter")) ?? { value: thing("counter"), revision: 0 };
if (counter.revision === 0) {
  const made = await store.commit([putIfAbsent(things, counter.value)]);
  if (!made.done) throw new Error("the counter is there already");
}
writeSync(1, "open\n");

async function writer(name: number): Promise<void> {
  for (let i = 0; ; i++) {
    const id = `${round}-${name}-${i}`;
    // Two collections in one commit: one without the other would be torn.
    const ops = [putIfAbsent(things, thing(id, { size: i, owner: `${name}`, note })), putIfAbsent(others, thing(id))];
    if (!(await store.commit(ops)).done) throw new Error(`${id} is there already`);
    writeSync(1, `${id}\n`);
  }
}

async function count(): Promise<void> {
  for (;;) {
    const held = await store.get(things, "counter");
    if (held === undefined) throw new Error("the counter is gone");
    const size = held.value.size + 1;
    const result = await store.commit([update(things, thing("counter", { size }), held.revision)]);
    if (!result.done) throw new Error("the counter was changed by another");
    writeSync(1, `counter ${size}\n`);
  }
}

await Promise.all([count(), ...Array.from({ length: 16 }, (_, name) => writer(name))]);
