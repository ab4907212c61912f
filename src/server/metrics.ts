// The server's metrics: names of the interface, closed labels, every series from the start.
import type { Authority } from "../authority/authority.ts";
import { isCurrent } from "../authority/authority.ts";
import type { TrustView } from "../authority/trust-state.ts";
import { type RuleName, rules } from "../issuing/policy/rules.ts";
import type { HistogramSeries } from "../platform/metric-series.ts";
import { type Metrics, noLabels, type Sample, secondsBuckets } from "../platform/metrics.ts";
import type { DeviceState } from "../registry/devices.ts";
import type { NodeState } from "../registry/nodes.ts";
import { authorityStates } from "../store/collections/authorities.ts";

export const protocolNames = ["issuance", "attest", "server"] as const;
export type ProtocolName = (typeof protocolNames)[number];
const profileNames = ["workload", "agent", "server", "device"] as const;
const stepNames = ["parse", "look", "decide", "build", "sign", "record"] as const;
export type StepName = (typeof stepNames)[number];
const deviceStates: readonly DeviceState[] = ["expected", "live", "asleep", "gone"];
const nodeStates: readonly NodeState[] = ["live", "late", "gone", "banned"];

export interface ServerMetrics {
  readonly issued: (profile: (typeof profileNames)[number], protocol: ProtocolName) => void;
  readonly denied: (rule: RuleName, protocol: ProtocolName) => void;
  readonly step: (step: StepName, seconds: number) => void;
  readonly commit: (seconds: number, records: number) => void;
  readonly tokenReused: () => void;
  readonly devices: (counts: Readonly<Record<DeviceState, number>>) => void;
  readonly agents: (counts: Readonly<Record<NodeState, number>>, bundleBehind: number) => void;
}

/** What is read at each scrape. */
export interface ScrapedState {
  readonly view: () => TrustView;
  readonly own: () => { readonly notBefore: number; readonly notAfter: number; readonly authority: string } | undefined;
}

export function serverMetrics(metrics: Metrics, version: string): ServerMetrics {
  const issued = metrics.counter("signet_issue_certificates_total", "Certificates issued and recorded.", {
    profile: profileNames,
    protocol: protocolNames,
  });
  const denied = metrics.counter("signet_issue_denied_total", "Requests that the line denied, by the rule that did.", {
    rule: rules.map(({ name }) => name),
    protocol: protocolNames,
  });
  const step = metrics.histogram("signet_issue_step_duration_seconds", "Time in each step of the issuing line.", {
    buckets: secondsBuckets,
    labels: { step: stepNames },
  });
  const commit = metrics.histogram(
    "signet_store_commit_duration_seconds",
    "Time from a commit to its durable answer.",
    {
      buckets: secondsBuckets,
    },
  );
  const records = metrics.histogram("signet_store_commit_records", "Records that a commit changes.", {
    buckets: [1, 2, 4, 8, 16, 32, 64],
  });
  const reused = metrics.counter("signet_token_reused_total", "Attempts to use a join string again with another key.");
  const agents = metrics.gauge("signet_agents", "Nodes that have joined, by state.", { state: nodeStates });
  const devices = metrics.gauge("signet_devices", "Devices that are registered, by state.", { state: deviceStates });
  const behind = metrics.gauge("signet_agents_bundle_behind", "Live agents without the newest bundle on disk.");
  metrics
    .gauge("signet_build_info", "1, with the version of this program.", { version: [version] })
    .set({ version }, 1);
  const steps = Object.fromEntries(stepNames.map((name) => [name, step.series({ step: name })])) as Readonly<
    Record<StepName, HistogramSeries>
  >;
  const commits = commit.series(noLabels);
  const committedRecords = records.series(noLabels);
  return {
    issued: (profile, protocol) => issued.inc({ profile, protocol }),
    denied: (rule, protocol) => denied.inc({ rule, protocol }),
    step: (name, seconds) => steps[name].observe(seconds),
    commit: (seconds, count) => {
      commits.observe(seconds);
      committedRecords.observe(count);
    },
    tokenReused: () => reused.inc(noLabels),
    devices: (counts) => {
      for (const state of deviceStates) devices.set({ state }, counts[state]);
    },
    agents: (counts, bundleBehind) => {
      for (const state of nodeStates) agents.set({ state }, counts[state]);
      behind.set(noLabels, bundleBehind);
    },
  };
}

/** Whether the clock is sure, and how far it is from where it was expected. */
export function sampleClock(metrics: Metrics, doubt: () => { readonly offMs: number } | undefined): void {
  metrics.sampled("signet_clock_unsure", "1 while the server's clock is not sure and nothing is signed.", {
    labels: [],
    sample: () => [{ labels: {}, value: doubt() === undefined ? 0 : 1 }],
  });
  metrics.sampled("signet_clock_jump_seconds", "How far the clock is from where it was expected; 0 while it is sure.", {
    labels: [],
    sample: () => [{ labels: {}, value: (doubt()?.offMs ?? 0) / 1000 }],
  });
}

/** Certificates, CRLs and states of authorities, as they are at each scrape. */
export function sampleTrust(metrics: Metrics, { view, own }: ScrapedState): void {
  type CertificateLabel = "kind" | "authority";
  const certificates = (of: "notBefore" | "notAfter"): readonly Sample<CertificateLabel>[] => {
    const all = view().authorities.filter(isCurrent);
    const samples = all.map(({ certificate, record }) => ({
      labels: { kind: record.kind, authority: record.name },
      value: certificate[of].getTime() / 1000,
    }));
    const mine = own();
    if (mine === undefined) return samples;
    return [...samples, { labels: { kind: "server", authority: mine.authority }, value: mine[of] / 1000 }];
  };
  const labels = ["kind", "authority"] as const;
  metrics.sampled("x509_cert_not_after", "End of a certificate, Unix seconds.", {
    labels,
    sample: () => certificates("notAfter"),
  });
  metrics.sampled("x509_cert_not_before", "Begin of a certificate, Unix seconds.", {
    labels,
    sample: () => certificates("notBefore"),
  });
  metrics.sampled("x509_crl_next_update", "When the next CRL of an authority is due, Unix seconds.", {
    labels: ["authority"],
    sample: () =>
      view().crls.map(({ value }) => ({ labels: { authority: value.authority }, value: value.nextUpdate / 1000 })),
  });
  metrics.sampled("signet_authority_state", "1 for the state that an authority is in.", {
    labels: ["authority", "state"],
    sample: () => view().authorities.flatMap(statesOf),
  });
}

function statesOf({ record }: Authority): readonly Sample<"authority" | "state">[] {
  return authorityStates.map((state) => ({
    labels: { authority: record.name, state },
    value: state === record.state ? 1 : 0,
  }));
}
