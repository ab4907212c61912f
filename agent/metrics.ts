// What Prometheus reads of an agent. Names are those of INTERFACE; every series exists from the start.
import { join } from "node:path";
import { type Metrics, noLabels } from "../src/platform/metrics.ts";
import type { IdentitySlot } from "./identities/cache.ts";
import { type WriteFailureReason, writeFailureReasons } from "./identities/directory-error.ts";
import type { HeldIdentity } from "./identities/held-identity.ts";
import type { RenewalResult } from "./identities/rotator.ts";
import type { Contact } from "./session.ts";
import type { TrustState } from "./trust.ts";

export interface MetricsFacts {
  readonly contact: Contact;
  readonly own: HeldIdentity | undefined;
  readonly slots: readonly IdentitySlot[];
  readonly trust: TrustState;
  readonly now: Date;
}

export interface AgentMetrics {
  renewal(result: RenewalResult): void;
  writeFailure(reason: WriteFailureReason): void;
  reload(result: "ok" | "failed"): void;
}

const renewalResults: readonly RenewalResult[] = ["renewed", "refused", "unavailable", "not_accepted", "disk"];
/** Series of certificates that carry a SPIFFE ID; beyond that only those that end first. */
const mostSeries = 100;

/** Registers the metrics of an agent; what it holds is read from `facts` at each scrape. */
export function agentMetrics(metrics: Metrics, facts: () => MetricsFacts, version: string): AgentMetrics {
  const renewals = metrics.counter("signet_agent_renewals_total", "Tries to renew a certificate.", {
    result: renewalResults,
  });
  const writes = metrics.counter(
    "signet_agent_write_failures_total",
    "Identity directories that could not be written.",
    {
      reason: writeFailureReasons,
    },
  );
  const reloads = metrics.counter("signet_agent_reloads_total", "Reload actions that were run.", {
    result: ["ok", "failed"],
  });
  const value = (name: string, help: string, read: (now: MetricsFacts) => number): void => {
    metrics.sampled(name, help, { labels: [], sample: () => [{ labels: noLabels, value: read(facts()) }] });
  };
  value("signet_agent_server_connected", "1 while the server answers.", ({ contact }) => (contact.connected ? 1 : 0));
  value(
    "signet_agent_last_success_timestamp_seconds",
    "When the server answered last, in Unix seconds; 0 when it never did.",
    ({ contact }) => (contact.lastSuccess?.getTime() ?? 0) / 1000,
  );
  value(
    "signet_agent_runway_seconds",
    "Until the first certificate ends of those that are held; below 0 once one has ended.",
    runwaySeconds,
  );
  value(
    "signet_agent_clock_offset_seconds",
    "The agent's clock minus the server's.",
    ({ contact }) => contact.clockOffsetSeconds,
  );
  const certificates = (name: string, help: string, read: (of: Series) => Date): void => {
    const sample = (): readonly { readonly labels: Series["labels"]; readonly value: number }[] =>
      series(facts()).map((each) => ({ labels: each.labels, value: read(each).getTime() / 1000 }));
    metrics.sampled(name, help, { labels: ["kind", "authority", "spiffe_id", "filepath"], sample });
  };
  certificates("x509_cert_not_after", "End of a certificate in Unix seconds.", (of) => of.notAfter);
  certificates("x509_cert_not_before", "Begin of a certificate in Unix seconds.", (of) => of.notBefore);
  metrics.gauge("signet_build_info", "Always 1; the version is the label.", { version: [version] }).set({ version }, 1);
  return {
    renewal: (result) => renewals.inc({ result }),
    writeFailure: (reason) => writes.inc({ reason }),
    reload: (result) => reloads.inc({ result }),
  };
}

function runwaySeconds({ own, slots, now }: MetricsFacts): number {
  const live = slots.filter((slot) => !slot.withdrawn).map((slot) => slot.held);
  const ends = [own, ...live].flatMap((held) => held?.notAfter.getTime() ?? []);
  return ends.length === 0 ? 0 : (Math.min(...ends) - now.getTime()) / 1000;
}

interface Series {
  readonly labels: Readonly<Record<"kind" | "authority" | "spiffe_id" | "filepath", string>>;
  readonly notAfter: Date;
  readonly notBefore: Date;
}

function series({ own, slots, trust }: MetricsFacts): readonly Series[] {
  const roots = trust.bundle.roots.map((root) => ({
    labels: {
      kind: "root",
      authority: /CN=([^,]+)/.exec(root.subjectText)?.[1] ?? root.subjectKeyId ?? "",
      spiffe_id: "",
      filepath: "",
    },
    notAfter: root.notAfter,
    notBefore: root.notBefore,
  }));
  const held = slots
    .flatMap(({ held, directory }) => (held === undefined ? [] : [of("identity", held, directory)]))
    .sort((a, b) => a.notAfter.getTime() - b.notAfter.getTime());
  const ours = own === undefined ? [] : [of("agent", own, undefined)];
  return [...roots, ...ours, ...held.slice(0, mostSeries - ours.length)];
}

function of(kind: "agent" | "identity", held: HeldIdentity, directory: string | undefined): Series {
  const filepath = directory === undefined ? "" : join(directory, "tls.crt");
  return {
    labels: { kind, authority: held.authority, spiffe_id: held.spiffeId, filepath },
    notAfter: held.notAfter,
    notBefore: held.notBefore,
  };
}
