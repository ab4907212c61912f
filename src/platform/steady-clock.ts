// A clock for who holds things that end: when the wall clock jumps it goes on by the time since boot, until somebody who is
// trusted says the same time as the wall clock. So a jump ends nothing, renews nothing all at once, and a clock that was
// wrong at the start is right again as soon as it was mended and the server has said its time.

import type { BootClock, Clock } from "./clock.ts";
import { agrees, type ClockAnchor, type ClockReading, expectedMs, followed, toleranceMs } from "./clock-anchor.ts";

export interface SteadyClock extends Clock {
  /** The wall clock as it is. */
  wall(): Date;
  /** A time that was just heard from somebody who is trusted. */
  heard(time: Date): void;
}

export function steadyClock(clock: Clock, boot: BootClock): SteadyClock {
  const read = (): ClockReading => ({ wallMs: clock.now().getTime(), bootMs: boot.sinceBootMs() });
  let anchor: ClockAnchor = read();
  const now = (): Date => {
    const reading = read();
    if (!agrees(anchor, reading)) return new Date(Math.round(expectedMs(anchor, reading.bootMs)));
    anchor = followed(anchor, reading);
    return new Date(reading.wallMs);
  };
  return {
    now,
    wall: () => clock.now(),
    heard: (time) => {
      const reading = read();
      if (Math.abs(time.getTime() - reading.wallMs) <= toleranceMs) anchor = reading;
    },
    monotonicMs: () => clock.monotonicMs(),
    sleep: (ms, options) => clock.sleep(ms, options),
  };
}
