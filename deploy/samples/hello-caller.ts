// Says hello to the other service all the time: on one long connection, and now and then on a new one, so that both ends
// prove themselves anew.
import { createInterface } from "node:readline";
import {
  type DirectorySource,
  exactly,
  type Http2Client,
  type Http2ClientOptions,
  openHttp2Client,
  type PeerCounter,
  type SpiffeId,
} from "signet/sdk";
import type { HelloConfig } from "./hello-config.ts";
import type { Report, Stats } from "./hello-report.ts";

export interface Caller {
  counts(): Omit<Stats, "refused">;
  /** Starts no more calls; resolves when those in flight are done. */
  close(): Promise<void>;
}

const freshEveryMs = 700;
const maxInFlight = 50;

/** Starts calling; resolves when it does, or when there is nobody to call. */
export async function startCaller(
  { call, expect, everyMs }: HelloConfig,
  deps: {
    readonly source: DirectorySource;
    readonly counter: PeerCounter;
    readonly report: Report;
    readonly stop: AbortSignal;
  },
): Promise<Caller> {
  const { source, counter, report, stop } = deps;
  const tally = { calls: 0, failed: 0, retried: 0, handshakes: 0, slowestMs: 0 };
  const target = call === "-" ? await firstLineOfStdin(stop) : call;
  if (target === undefined || expect === undefined) return { counts: () => tally, close: async () => {} };

  const options: Http2ClientOptions = {
    authorize: exactly(expect),
    counter,
    connectMs: 2_000,
    onAccepted: (peer) => {
      tally.handshakes++;
      report.accepted(peer, "client");
    },
    onRefused: (refused) => report.refused(refused, "client"),
  };
  const long = openHttp2Client(source, target, options);
  const inFlight = new Set<Promise<void>>();
  let reached = false;

  const count = async (client: Http2Client): Promise<void> => {
    const started = performance.now();
    const problem = await hello(client, expect);
    // The other service may start after us: what is called before it is there is no failed call.
    if (!reached) {
      if (problem !== undefined) return;
      reached = true;
      report.firstCall();
    }
    tally.calls++;
    if (problem === undefined) {
      tally.slowestMs = Math.max(tally.slowestMs, Math.round(performance.now() - started));
    } else {
      tally.failed++;
      report.failed(problem);
    }
  };
  // Each attempt that was not processed is one more call.
  const countRetries = (client: Http2Client, before: number): void => {
    const more = client.counts().retried - before;
    tally.retried += more;
    tally.calls += more;
  };
  const start = (work: Promise<void>): void => {
    const done = work.finally(() => inFlight.delete(done));
    inFlight.add(done);
  };
  const onNewConnection = async (): Promise<void> => {
    const client = openHttp2Client(source, target, options);
    await count(client);
    countRetries(client, 0);
    await client.close();
  };
  let seenRetried = 0;
  const onLongConnection = async (): Promise<void> => {
    await count(long);
    countRetries(long, seenRetried);
    seenRetried = long.counts().retried;
  };

  const timers = [
    setInterval(() => {
      if (inFlight.size < maxInFlight) start(onLongConnection());
    }, everyMs),
    setInterval(() => {
      if (reached && inFlight.size < maxInFlight) start(onNewConnection());
    }, freshEveryMs),
  ];
  return {
    counts: () => tally,
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      await Promise.all(inFlight);
      await long.close();
    },
  };
}

/** One call; answers what went wrong. Only 200 from who must answer is right: a cut connection can look like an end. */
async function hello(client: Http2Client, expect: SpiffeId): Promise<string | undefined> {
  try {
    const { status, peer } = await client.request({ path: "/hello", deadlineMs: 5_000 });
    if (status !== 200) return `the answer was ${status}`;
    return peer.spiffeId === expect ? undefined : `${peer.spiffeId} answered`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function firstLineOfStdin(stop: AbortSignal): Promise<string | undefined> {
  try {
    for await (const line of createInterface({ input: process.stdin, signal: stop })) {
      if (line.trim() !== "") return line.trim();
    }
    return undefined;
  } finally {
    // Whoever started us may keep its end open; that shall not keep us alive.
    process.stdin.pause();
    process.stdin.unref?.();
  }
}
