// Points of time for people: a time stands with what is left of it. Times of day are those of this machine.
import { formatDuration } from "../platform/durations.ts";

const daySeconds = 86_400;

/** `14:12:09` today, `11-26 02:12` within a day of now, else `2026-12-24`. */
export function moment(date: Date, now: Date): string {
  if (day(date) === day(now)) return timeOfDay(date);
  const apart = Math.abs(date.getTime() - now.getTime()) / 1000;
  return apart < daySeconds ? `${day(date).slice(5)} ${timeOfDay(date).slice(0, 5)}` : day(date);
}

export function timeOfDay(date: Date): string {
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function day(date: Date): string {
  return `${String(date.getFullYear()).padStart(4, "0")}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** `10 min left`, or `ended 4 s ago`. */
export function left(date: Date, now: Date): string {
  const seconds = secondsTo(date, now);
  return seconds > 0 ? `${formatDuration(seconds)} left` : `ended ${ago(date, now)}`;
}

/** `14:12:09, 10 min left`; a date that is over says since when. */
export function ends(date: Date | undefined, now: Date): string {
  return date === undefined ? "" : `${moment(date, now)}, ${left(date, now)}`;
}

/** `2036-11-21, 9 y`, for a column whose head says that it is an end. */
export function endsShort(date: Date | undefined, now: Date): string {
  if (date === undefined) return "";
  const seconds = secondsTo(date, now);
  return `${moment(date, now)}, ${seconds > 0 ? formatDuration(seconds) : "over"}`;
}

/** `2 s ago`. */
export function ago(date: Date | undefined, now: Date): string {
  return date === undefined ? "never" : `${formatDuration(Math.max(0, -secondsTo(date, now)))} ago`;
}

/** `in 41 min`, or the date when it is over a day away. */
export function when(date: Date | undefined, now: Date): string {
  if (date === undefined) return "";
  const seconds = secondsTo(date, now);
  if (seconds <= 0) return "now";
  return seconds < daySeconds ? `in ${formatDuration(seconds)}` : day(date);
}

/** Seconds until a moment, a begun one counted whole: what was made for 10 min just now has 10 min left, not 9. */
export function secondsTo(date: Date, now: Date): number {
  return Math.ceil((date.getTime() - now.getTime()) / 1000);
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
