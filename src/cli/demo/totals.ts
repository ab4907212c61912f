import type { ServiceStats } from "./service-line.ts";

/** The numbers of a whole run: the last line of the demo, for scripts. */
export interface Totals {
  readonly calls: number;
  readonly failed: number;
  readonly retried: number;
  readonly handshakes: number;
  /** Distinct leaf serials that a peer accepted in a handshake, without the first of each service. */
  readonly rotations: number;
  readonly authorities: number;
  /** Kinds of stranger that were refused by a rule and got no byte of application data. */
  readonly refused: number;
  readonly tls: readonly string[];
  readonly slowestMs: number;
  /** Rotations of each service, as its peer saw them. */
  readonly rotationsOfA: number;
  readonly rotationsOfB: number;
}

/** What one service counted, and the key identifiers of the authorities whose leaves it accepted. */
export interface Counted {
  readonly stats: ServiceStats;
  readonly authorities: ReadonlySet<string>;
}

/** Adds up what the two services counted. What A accepted are B's serials, and the other way round. */
export function totalsOf(a: Counted, b: Counted, refused: number): Totals {
  const sum = (name: "calls" | "failed" | "retried" | "handshakes" | "serials"): number =>
    a.stats[name] + b.stats[name];
  return {
    calls: sum("calls"),
    failed: sum("failed"),
    retried: sum("retried"),
    handshakes: sum("handshakes"),
    rotations: Math.max(0, sum("serials") - 2),
    authorities: new Set([...a.authorities, ...b.authorities]).size,
    refused,
    tls: [...new Set([...a.stats.tls, ...b.stats.tls])].sort(),
    slowestMs: Math.max(a.stats.slowestMs, b.stats.slowestMs),
    rotationsOfA: Math.max(0, b.stats.serials - 1),
    rotationsOfB: Math.max(0, a.stats.serials - 1),
  };
}

/** The last line, always the same form: `demo: calls=N failed=N ... tls=TLSv1.3`. */
export function lastLine(totals: Totals): string {
  const { calls, failed, retried, handshakes, rotations, authorities, refused } = totals;
  const numbers = { calls, failed, retried, handshakes, rotations, authorities, refused };
  const fields = Object.entries(numbers).map(([name, value]) => `${name}=${value}`);
  return `demo: ${[...fields, `tls=${totals.tls.length === 0 ? "none" : totals.tls.join(",")}`].join(" ")}`;
}
