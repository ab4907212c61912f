import type { LastHour } from "../protocols/admin/handler.ts";

/** Counts of the line over the last hour, minute by minute; bounded whatever comes in. */
export interface HourCounts {
  issued(now: Date, seconds: number): void;
  denied(now: Date, rule: string): void;
  read(now: Date): LastHour;
}

interface Minute {
  readonly minute: number;
  issued: number;
  readonly denied: Map<string, number>;
  /** Issue times by bucket of a quarter power of two milliseconds. */
  readonly times: Map<number, number>;
}

export function createHourCounts(): HourCounts {
  const minutes: Minute[] = [];
  const current = (now: Date): Minute => {
    const minute = Math.floor(now.getTime() / 60_000);
    const last = minutes.at(-1);
    if (last?.minute === minute) return last;
    const fresh = { minute, issued: 0, denied: new Map<string, number>(), times: new Map<number, number>() };
    minutes.push(fresh);
    while (minutes.length > 61) minutes.shift();
    return fresh;
  };
  return {
    issued: (now, seconds) => {
      const at = current(now);
      at.issued++;
      const bucket = Math.ceil(4 * Math.log2(Math.max(seconds, 1e-6) * 1000));
      at.times.set(bucket, (at.times.get(bucket) ?? 0) + 1);
    },
    denied: (now, rule) => {
      const { denied } = current(now);
      denied.set(rule, (denied.get(rule) ?? 0) + 1);
    },
    read: (now) => {
      const since = Math.floor(now.getTime() / 60_000) - 60;
      const recent = minutes.filter(({ minute }) => minute > since);
      const rules = new Map<string, number>();
      const times = new Map<number, number>();
      for (const { denied, times: of } of recent) {
        for (const [rule, count] of denied) rules.set(rule, (rules.get(rule) ?? 0) + count);
        for (const [bucket, count] of of) times.set(bucket, (times.get(bucket) ?? 0) + count);
      }
      const issued = recent.reduce((sum, each) => sum + each.issued, 0);
      return {
        issued,
        denied: [...rules.values()].reduce((sum, count) => sum + count, 0),
        rules: [...rules].sort((one, other) => other[1] - one[1]).map(([rule]) => rule),
        p99Seconds: p99(times, issued),
      };
    },
  };
}

function p99(times: ReadonlyMap<number, number>, total: number): number {
  let seen = 0;
  for (const [bucket, count] of [...times].sort((one, other) => one[0] - other[0])) {
    seen += count;
    if (seen >= total * 0.99) return 2 ** (bucket / 4) / 1000;
  }
  return 0;
}
