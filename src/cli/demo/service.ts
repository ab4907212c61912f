// What one of the two services has said so far.
import type { Clock } from "../../platform/clock.ts";
import { noStats, parseServiceLine, type ServiceLine, type ServiceStats } from "./service-line.ts";

const rateWindowMs = 3000;

/** Takes the lines of a service in; answers what it said last. */
export class ServiceReports {
  readonly #clock: Clock;
  readonly #onLine: (line: ServiceLine) => void;
  readonly #recent: { readonly at: number; readonly calls: number }[] = [];
  readonly #details = new Map<string, string>();
  readonly #authorities = new Set<string>();
  readonly #serials = new Set<string>();
  #stats: ServiceStats = noStats;
  #address: string | undefined;
  #firstCallAt: number | undefined;

  constructor(clock: Clock, onLine: (line: ServiceLine) => void) {
    this.#clock = clock;
    this.#onLine = onLine;
  }

  get stats(): ServiceStats {
    return this.#stats;
  }

  /** Key identifiers of the authorities whose leaves it accepted. */
  get authorities(): ReadonlySet<string> {
    return this.#authorities;
  }

  /** Serials of the leaves that it accepted. */
  get serials(): ReadonlySet<string> {
    return this.#serials;
  }

  /** Where it listens, `host:port`; undefined before it does. */
  get address(): string | undefined {
    return this.#address;
  }

  /** When its first call was answered, Unix milliseconds; undefined before. */
  get firstCallAt(): number | undefined {
    return this.#firstCallAt;
  }

  /** Calls a second, over the last 3 s. */
  get perSecond(): number {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (first === undefined || last === undefined || last.at === first.at) return 0;
    return ((last.calls - first.calls) * 1000) / (last.at - first.at);
  }

  /** The newest sentence in which it refused a peer for this reason. */
  detailOf(reason: string): string | undefined {
    return this.#details.get(reason);
  }

  take(text: string): void {
    const line = parseServiceLine(text);
    if (line === undefined) return;
    if (line.event === "listening") this.#address = line.address;
    if (line.event === "first_call") this.#firstCallAt ??= this.#clock.now().getTime();
    if (line.event === "accepted") {
      this.#authorities.add(line.authorityKeyId);
      this.#serials.add(line.serialHex);
    }
    if (line.event === "refused") this.#details.set(line.reason, line.detail);
    if (line.event === "stats") {
      this.#stats = line;
      const at = this.#clock.monotonicMs();
      this.#recent.push({ at, calls: line.calls });
      while ((this.#recent[0]?.at ?? at) < at - rateWindowMs) this.#recent.shift();
    }
    this.#onLine(line);
  }
}
