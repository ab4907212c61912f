// Metrics in Prometheus' text form. Names and labels are fixed where they are made; every series exists from the start.
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
  /** Labels that are closed lists get every combination at 0 from the start. */
  counter(name: string, help: string, labels?: LabelValues): CounterMetric;
  gauge(name: string, help: string, labels?: readonly string[]): GaugeMetric;
  histogram(name: string, help: string, buckets: readonly number[], labels?: LabelValues): HistogramMetric;
}

export type LabelValues = { readonly [label: string]: readonly string[] };
export type Labels = { readonly [label: string]: string };

export interface CounterMetric {
  add(labels?: Labels, by?: number): void;
}
export interface GaugeMetric {
  set(value: number, labels?: Labels): void;
  /** Forgets all series, before they are set anew. */
  reset(): void;
  /** Called before each reading. */
  onRead(fill: () => void | Promise<void>): void;
}
export interface HistogramMetric {
  observe(seconds: number, labels?: Labels): void;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const fills: (() => void | Promise<void>)[] = [];
  return {
    contentType: registry.contentType,
    text: async () => {
      for (const fill of fills) await fill();
      return registry.metrics();
    },
    counter: (name, help, labels = {}) => {
      const counter = new Counter({ name, help, labelNames: Object.keys(labels), registers: [registry] });
      for (const each of combinations(labels)) counter.inc(each, 0);
      return { add: (of = {}, by = 1) => counter.inc(of, by) };
    },
    gauge: (name, help, labels = []) => {
      const gauge = new Gauge({ name, help, labelNames: [...labels], registers: [registry] });
      return {
        set: (value, of = {}) => gauge.set(of, value),
        reset: () => gauge.reset(),
        onRead: (fill) => void fills.push(fill),
      };
    },
    histogram: (name, help, buckets, labels = {}) => {
      const histogram = new Histogram({ name, help, buckets: [...buckets], labelNames: Object.keys(labels), registers: [registry] });
      for (const each of combinations(labels)) histogram.zero(each);
      return { observe: (seconds, of = {}) => histogram.observe(of, seconds) };
    },
  };
}

function combinations(labels: LabelValues): readonly { [label: string]: string }[] {
  return Object.entries(labels).reduce<readonly { [label: string]: string }[]>(
    (found, [label, values]) => found.flatMap((each) => values.map((value) => ({ ...each, [label]: value }))),
    [{}],
  );
}
