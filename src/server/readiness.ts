import { currentIssuer } from "../authority/trust-state.ts";
import type { CheckResult } from "../platform/ops-server.ts";
import { counters } from "../store/collections/trust.ts";
import { putIfAbsent, update } from "../store/store.ts";
import type { ServerParts } from "./wire.ts";

/** A write this recent shows that the store takes writes; else one is made to see, milliseconds. */
const recentMs = 10_000;

/** The lines of readyz: the store took a write in the last 10 s, and an active authority is in its life, the clock sure. */
export async function readiness(parts: ServerParts): Promise<readonly CheckResult[]> {
  return [await storeCheck(parts), authorityCheck(parts), clockCheck(parts)];
}

function clockCheck({ clockWatch }: ServerParts): CheckResult {
  const doubt = clockWatch.doubt();
  return { name: "clock", ok: doubt === undefined, detail: doubt?.detail ?? "goes on as the time since boot does" };
}

async function storeCheck({ store, clockWatch }: ServerParts): Promise<CheckResult> {
  const health = store.health();
  if (!health.ok) return { name: "store", ok: false, detail: health.detail };
  try {
    const { lastCommitAt } = await store.stats();
    const now = clockWatch.clock.now().getTime();
    if (lastCommitAt === undefined || Math.abs(now - lastCommitAt) > recentMs) await probe(store);
    return { name: "store", ok: true, detail: "took a write in the last 10 s" };
  } catch (error) {
    return { name: "store", ok: false, detail: error instanceof Error ? error.message : "takes no write" };
  }
}

async function probe(store: ServerParts["store"]): Promise<void> {
  const held = await store.get(counters, "probe");
  const next = { counter: "probe", next: (held?.value.next ?? 0) + 1 };
  // A lost race is a write that went through, by somebody else.
  await store.commit([held === undefined ? putIfAbsent(counters, next) : update(counters, next, held.revision)]);
}

function authorityCheck({ state, clockWatch }: ServerParts): CheckResult {
  const issuer = currentIssuer(state.view(), "services");
  if (issuer === undefined) return { name: "authority", ok: false, detail: "no active intermediate" };
  const { name } = issuer.record;
  const ends = issuer.certificate.notAfter;
  const ok = clockWatch.clock.now() <= ends;
  return { name: "authority", ok, detail: `${name} is active, ${ok ? "until" : "and ended at"} ${ends.toISOString()}` };
}
