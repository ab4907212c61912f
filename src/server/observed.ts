// Counting and timing, wrapped around the ports here so that the logic knows nothing of it.
import type { IssueSteps } from "../issuing/issue.ts";
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import type { Store } from "../store/store.ts";
import type { HourCounts } from "./last-hour.ts";
import { type ProtocolName, protocolNames, type ServerMetrics, type StepName } from "./metrics.ts";

interface Watch {
  readonly clock: Clock;
  readonly metrics: ServerMetrics;
  readonly hour: HourCounts;
  readonly log: Logger;
}

/** The steps of the line, timed; what is recorded and what is denied is counted and logged. */
export function observedSteps(steps: IssueSteps, { clock, metrics, hour, log }: Watch): IssueSteps {
  const done = (name: StepName, startMs: number): void => metrics.step(name, (clock.monotonicMs() - startMs) / 1000);
  const doneLate = async <R>(name: StepName, startMs: number, step: Promise<R>): Promise<R> => {
    try {
      return await step;
    } finally {
      done(name, startMs);
    }
  };
  // Written out: one wrapper for all steps would pack and unpack the arguments of each.
  return {
    parse: (csrDer) => {
      const start = clock.monotonicMs();
      const csr = steps.parse(csrDer);
      done("parse", start);
      return csr;
    },
    look: (caller, request, csr, now) => doneLate("look", clock.monotonicMs(), steps.look(caller, request, csr, now)),
    decide: (csr, facts) => {
      const start = clock.monotonicMs();
      const decision = steps.decide(csr, facts);
      done("decide", start);
      if (!decision.allow) {
        const protocol =
          facts.caller.kind === "agent" || facts.caller.kind === "device"
            ? "issuance"
            : facts.caller.kind === "server"
              ? "server"
              : "attest";
        metrics.denied(decision.rule, protocol);
        hour.denied(facts.now, decision.rule);
        log.debug({ rule: decision.rule, profile: facts.profile.name, id: facts.id }, "certificate denied");
      }
      return decision;
    },
    build: (allowed) => {
      const start = clock.monotonicMs();
      const unsigned = steps.build(allowed);
      done("build", start);
      return unsigned;
    },
    sign: (unsigned) => doneLate("sign", clock.monotonicMs(), steps.sign(unsigned)),
    record: async (signed, caller, request, now) => {
      const start = clock.monotonicMs();
      const recorded = await doneLate("record", start, steps.record(signed, caller, request, now));
      if (recorded !== undefined) {
        metrics.issued(request.profile, protocolOf(request.protocol));
        hour.issued(now, (clock.now().getTime() - now.getTime()) / 1000);
        const { serialHex, spiffeId, notAfter } = recorded.record;
        log.debug({ serialHex, id: spiffeId, profile: request.profile, notAfter }, "certificate issued");
      }
      return recorded;
    },
  };
}

/** A store whose commits are timed. */
export function observedStore(store: Store, { clock, metrics }: Pick<Watch, "clock" | "metrics">): Store {
  return {
    kind: store.kind,
    get: (collection, key) => store.get(collection, key),
    scan: (collection, index, range, options) => store.scan(collection, index, range, options),
    stats: () => store.stats(),
    health: () => store.health(),
    close: () => store.close(),
    commit: async (ops) => {
      const start = clock.monotonicMs();
      const result = await store.commit(ops);
      if (result.done) metrics.commit((clock.monotonicMs() - start) / 1000, ops.length);
      return result;
    },
  };
}

function protocolOf(name: string): ProtocolName {
  return protocolNames.find((known) => known === name) ?? "issuance";
}
