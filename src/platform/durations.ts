// Lengths of time: as people write them in a configuration, and as screens show them.

/** A text that is no duration. The message names the text and says how to write one. */
export class DurationError extends Error {
  override readonly name = "DurationError";
}

const secondsOf = { d: 86_400, h: 3600, m: 60, s: 1 } as const;
const units = ["d", "h", "m", "s"] as const;
const example = "write it as 90s, 10m, 1h30m or 30d";
/** A hundred years. Longer than anything here lives, and well inside what a Date can hold. */
const longestSeconds = 36_525 * secondsOf.d;

/**
 * Reads `1h30m`, `30d`, `90s`: whole numbers with a unit (d, h, m, s), the larger unit first, each once. `0` needs no
 * unit. Throws DurationError.
 */
export function parseDuration(text: string): number {
  const shown = JSON.stringify(text.length > 32 ? `${text.slice(0, 32)}…` : text);
  if (text === "0") return 0;
  if (/^\d{1,20}$/.test(text)) throw new DurationError(`${shown} has no unit: ${example}; ${text}s is seconds`);
  const match = text.length > 64 ? null : /^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text);
  if (match === null || text === "") throw new DurationError(`${shown} is not a duration: ${example}`);
  let seconds = 0;
  for (const [index, unit] of units.entries()) seconds += Number(match[index + 1] ?? 0) * secondsOf[unit];
  if (seconds > longestSeconds) throw new DurationError(`${shown} is too long: a duration is at most 36525d`);
  return seconds;
}

/** The shortest text that parseDuration() reads as this many whole seconds: `1h30m`. */
export function writeDuration(seconds: number): string {
  let left = Math.max(0, Math.floor(seconds));
  let text = "";
  for (const unit of units) {
    const count = Math.floor(left / secondsOf[unit]);
    left -= count * secondsOf[unit];
    if (count > 0) text += `${count}${unit}`;
  }
  return text === "" ? "0s" : text;
}

/**
 * A length of time for people: `9 y`, `30 d`, `22 min`, `40 s`. Cut down to one unit, of which there are two at least
 * or exactly one; a second unit stands there when it makes the length exact (`1 h 30 min`).
 */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const { d, h, m } = secondsOf;
  if (whole >= 730 * d) return `${Math.floor(whole / (365 * d))} y`;
  if (whole >= 2 * d) return inTwo(whole, [d, "d"], [h, "h"]);
  if (whole >= 2 * h || (whole >= h && whole % m === 0)) return inTwo(whole, [h, "h"], [m, "min"]);
  if (whole >= 2 * m || whole === m) return `${Math.floor(whole / m)} min`;
  return `${whole} s`;
}

type Unit = readonly [size: number, name: string];

function inTwo(whole: number, [size, name]: Unit, [nextSize, nextName]: Unit): string {
  const rest = whole % size;
  const first = `${Math.floor(whole / size)} ${name}`;
  return rest > 0 && rest % nextSize === 0 ? `${first} ${rest / nextSize} ${nextName}` : first;
}

/** What is left until `date`: `22 min left`, or `ended 4 s ago`. */
export function formatLeft(date: Date, now: Date): string {
  const seconds = (date.getTime() - now.getTime()) / 1000;
  return seconds > 0 ? `${formatDuration(seconds)} left` : `ended ${formatDuration(-seconds)} ago`;
}
