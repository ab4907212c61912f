import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** The one record of the clock (registry/clock-watch.ts). Milliseconds; all but `bootMs` Unix time. */
export interface ClockRecord {
  /** The latest time that was used while the clock was sure. */
  readonly latest: number;
  /** The time since boot then, and which boot of the machine it was. */
  readonly bootMs: number;
  readonly bootId?: string;
  /** When the clock stopped being sure. */
  readonly unsureSince?: number;
}

export const clockKey = "clock";

export const clocks: Collection<ClockRecord> = {
  name: "clock",
  key: () => clockKey,
  indexes: {},
  version: 1,
  ...jsonCodec<ClockRecord>(),
};
