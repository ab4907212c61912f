// Loaded into a process by NODE_OPTIONS=--import: its wall clock is off by the milliseconds that stand in the file
// SHIFT_FILE; the time since boot and timers are the machine's. The product has no switch for it.
import { readFileSync } from "node:fs";

const file = process.env["SHIFT_FILE"] ?? "";
const realNow = Date.now;

function shiftedNow(): number {
  try {
    return realNow() + Number(readFileSync(file, "utf8"));
  } catch {
    return realNow();
  }
}

class ShiftedDate extends Date {
  constructor(...given: [] | [value: number | string | Date]) {
    if (given.length === 0) super(shiftedNow());
    else super(...given);
  }
  static override now(): number {
    return shiftedNow();
  }
}

globalThis.Date = ShiftedDate as DateConstructor;
