// The metrics of a process: one registry, and series that exist from the start at 0, since an alert on a series that
// is not there yet never fires.
import PromGauge from "prom-client/lib/gauge.js";
import PromRegistry from "prom-client/lib/registry.js";
import {
  type CounterSeries,
  counterMetric,
  type HistogramSeries,
  histogramMetric,
  type RegistryMetric,
} from "./metric-series.ts";

/** Label names, each with the closed list of its values. */
export type LabelValues<Label extends string> = Readonly<Record<Label, readonly string[]>>;

/** One value a label. */
export type Labels<Label extends string> = Readonly<Record<Label, string>>;

/** Labels of a series that has none. */
export const noLabels: Labels<never> = {};

export interface Counter<Label extends string> {
  inc(labels: Labels<Label>, by?: number): void;
  /** One series, looked up once: for what is counted often. */
  series(labels: Labels<Label>): CounterSeries;
}

export interface Gauge<Label extends string> {
  set(labels: Labels<Label>, value: number): void;
}

export interface Histogram<Label extends string> {
  observe(labels: Labels<Label>, value: number): void;
  /** One series, looked up once: for what is observed often. */
  series(labels: Labels<Label>): HistogramSeries;
}

/** One series of a gauge that is asked at each scrape. */
export interface Sample<Label extends string> {
  readonly labels: Labels<Label>;
  readonly value: number;
}

export interface Metrics {
  /** A counter, all its series at 0. Its name ends in `_total`. */
  counter<Label extends string = never>(name: string, help: string, labels?: LabelValues<Label>): Counter<Label>;
  /** A gauge, all its series at 0. */
  gauge<Label extends string = never>(name: string, help: string, labels?: LabelValues<Label>): Gauge<Label>;
  /** A gauge whose series are made anew at each scrape: for those whose labels come and go. */
  sampled<Label extends string = never>(
    name: string,
    help: string,
    source: { readonly labels: readonly Label[]; readonly sample: () => readonly Sample<Label>[] },
  ): void;
  /** A histogram, all its series at 0. `buckets` are upper bounds, rising. */
  histogram<Label extends string = never>(
    name: string,
    help: string,
    shape: { readonly buckets: readonly number[]; readonly labels?: LabelValues<Label> },
  ): Histogram<Label>;
  /** All series in the text format of Prometheus, version 0.0.4. */
  text(): Promise<string>;
}

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/** Upper bounds in seconds for what takes from 0.1 ms to 10 s. */
export const secondsBuckets: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** A registry of its own for this process. A name given twice is a TypeError. */
export function createMetrics(): Metrics {
  const registry = new PromRegistry();
  const registers = [registry];
  const fresh = (name: string, help: string): { readonly name: string; readonly help: string } => {
    if (registry.getSingleMetric(name) !== undefined) throw new TypeError(`the metric ${name} exists already`);
    return { name, help };
  };
  // It asks a metric for its name and for `get`, and its own types know its own classes only.
  const register = (metric: RegistryMetric): void => registry.registerMetric(metric as never);
  return {
    counter: (name, help, labels) => {
      if (!name.endsWith("_total")) throw new TypeError(`the name of a counter ends in _total, got ${name}`);
      const { metric, series } = counterMetric({ ...fresh(name, help), labelNames: labelNames(labels) });
      register(metric);
      for (const each of everySeries(labels)) series(each);
      return { inc: (of, by = 1) => series(of).inc(by), series };
    },
    gauge: (name, help, labels) => {
      const gauge = new PromGauge({ ...fresh(name, help), labelNames: labelNames(labels), registers });
      for (const series of everySeries(labels)) gauge.set(series, 0);
      return { set: (series, value) => gauge.set({ ...series }, value) };
    },
    sampled: (name, help, { labels, sample }) => {
      new PromGauge({
        ...fresh(name, help),
        labelNames: [...labels],
        registers,
        collect() {
          this.reset();
          for (const { labels: series, value } of sample()) this.set({ ...series }, value);
        },
      });
    },
    histogram: (name, help, { buckets, labels }) => {
      const { metric, series } = histogramMetric({ ...fresh(name, help), labelNames: labelNames(labels) }, buckets);
      register(metric);
      for (const each of everySeries(labels)) series(each);
      return { observe: (of, value) => series(of).observe(value), series };
    },
    text: () => registry.metrics(),
  };
}

type AnyLabels = Readonly<Record<string, readonly string[]>> | undefined;

function labelNames(labels: AnyLabels): string[] {
  return Object.keys(labels ?? {});
}

/** Every combination of the labels' values. */
function everySeries(labels: AnyLabels): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [name, values] of Object.entries(labels ?? {})) {
    all = all.flatMap((series) => values.map((value) => ({ ...series, [name]: value })));
  }
  return all;
}
