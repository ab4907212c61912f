// Counters and histograms that are counted for every certificate: their series are numbers in arrays, and the registry
// asks for them at a scrape. Those of prom-client look a series up by a text made of sorted labels at each observation,
// which six times a certificate is a fiftieth of what it costs.

type AnyLabels = Readonly<Record<string, string>>;

/** What the registry of prom-client asks of a metric. */
export interface RegistryMetric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "histogram";
  get(): Promise<RegistryMetric & { readonly values: readonly RegistryValue[] }>;
}

interface RegistryValue {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName: string;
}

interface Described {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

export interface CounterSeries {
  inc(by: number): void;
}

export interface HistogramSeries {
  /** Throws a TypeError for what is no finite number. */
  observe(value: number): void;
}

/** A counter and the way to its series, which are made when they are first asked for. */
export function counterMetric(described: Described): {
  readonly metric: RegistryMetric;
  readonly series: (labels: AnyLabels) => CounterSeries;
} {
  const family = createFamily(described.labelNames, () => ({ value: 0 }));
  return {
    metric: metricOf(described, "counter", () =>
      family.all().map(({ labels, held }) => ({ labels, value: held.value, metricName: described.name })),
    ),
    series: (labels) => {
      const held = family.find(labels);
      return {
        inc: (by) => {
          if (!(by >= 0 && Number.isFinite(by))) throw new TypeError(`a counter only grows, got ${by}`);
          held.value += by;
        },
      };
    },
  };
}

/** A histogram and the way to its series. `buckets` are upper bounds, rising. */
export function histogramMetric(
  described: Described,
  buckets: readonly number[],
): { readonly metric: RegistryMetric; readonly series: (labels: AnyLabels) => HistogramSeries } {
  const { name } = described;
  // The last count is of what lies above all bounds.
  const family = createFamily(described.labelNames, () => ({ counts: new Float64Array(buckets.length + 1), sum: 0 }));
  const values = (): readonly RegistryValue[] =>
    family.all().flatMap(({ labels, held }) => {
      let count = 0;
      const cumulative = [...buckets, "+Inf"].map((le, i): RegistryValue => {
        count += held.counts[i] ?? 0;
        return { labels: { le, ...labels }, value: count, metricName: `${name}_bucket` };
      });
      const sum = { labels, value: held.sum, metricName: `${name}_sum` };
      return [...cumulative, sum, { labels, value: count, metricName: `${name}_count` }];
    });
  return {
    metric: metricOf(described, "histogram", values),
    series: (labels) => {
      const held = family.find(labels);
      return {
        observe: (value) => {
          if (!Number.isFinite(value)) throw new TypeError(`${name} cannot hold ${value}`);
          let bucket = 0;
          while (bucket < buckets.length && value > (buckets[bucket] ?? 0)) bucket++;
          held.counts[bucket] = (held.counts[bucket] ?? 0) + 1;
          held.sum += value;
        },
      };
    },
  };
}

function metricOf(
  { name, help }: Described,
  type: RegistryMetric["type"],
  values: () => readonly RegistryValue[],
): RegistryMetric {
  const metric: RegistryMetric = {
    name,
    help,
    type,
    get: () => Promise.resolve({ ...metric, values: values() }),
  };
  return metric;
}

interface Family<Held> {
  find(labels: AnyLabels): Held;
  all(): readonly { readonly labels: AnyLabels; readonly held: Held }[];
}

function createFamily<Held>(names: readonly string[], make: () => Held): Family<Held> {
  const series = new Map<string, { readonly labels: AnyLabels; readonly held: Held }>();
  return {
    find: (labels) => {
      const key = names.map((name) => labels[name]).join("\0");
      let found = series.get(key);
      if (found === undefined) {
        found = { labels: Object.fromEntries(names.map((name) => [name, labels[name] ?? ""])), held: make() };
        series.set(key, found);
      }
      return found.held;
    },
    all: () => [...series.values()],
  };
}
