// The ops listener: metrics and health of the agent.
import { type Address, formatAddress } from "../src/platform/address.ts";
import type { Clock } from "../src/platform/clock.ts";
import type { DataDir } from "../src/platform/data-dir.ts";
import {
  type Check,
  type CheckResult,
  type OpsServer,
  type OpsServerOptions,
  startOpsServer,
} from "../src/platform/ops-server.ts";
import { JoinError } from "./enrol/join-error.ts";
import type { OwnIdentity } from "./enrol/own-identity.ts";
import { type IdentityCache, notReadyReason } from "./identities/cache.ts";
import { codeOf } from "./identities/directory-error.ts";
import type { Session } from "./session.ts";

/** Opens the listener. With port 0 the port of the last start is tried first. Throws JoinError. */
export async function openOps(
  { dir, opsAddress }: { readonly dir: Pick<DataDir, "readJson" | "writeJson">; readonly opsAddress: Address },
  options: Pick<OpsServerOptions, "metrics" | "ready">,
): Promise<OpsServer> {
  if (opsAddress.port !== 0) return await openAt(opsAddress, options);
  // Any free port, but the one of the last start if it is free: what scrapes it need not look again.
  const remembered = rememberedPort(await dir.readJson("ports.json"));
  if (remembered !== undefined) {
    const again = await startOpsServer({ ...options, listen: { ...opsAddress, port: remembered } }).catch(
      () => undefined,
    );
    if (again !== undefined) return again;
  }
  const ops = await openAt(opsAddress, options);
  await dir.writeJson("ports.json", { ops: ops.address.port });
  return ops;
}

async function openAt(address: Address, options: Pick<OpsServerOptions, "metrics" | "ready">): Promise<OpsServer> {
  try {
    return await startOpsServer({ ...options, listen: address });
  } catch (cause) {
    const why =
      codeOf(cause) === "EADDRINUSE" ? "the address is in use" : cause instanceof Error ? cause.message : String(cause);
    const cure = "signet agent --listen-ops 127.0.0.1:0";
    throw new JoinError("in_use", `cannot listen on ${formatAddress(address)}: ${why}`, { cause, cure });
  }
}

function rememberedPort(value: unknown): number | undefined {
  if (typeof value !== "object" || value === null || !("ops" in value)) return undefined;
  return typeof value.ops === "number" && Number.isInteger(value.ops) && value.ops > 0 && value.ops < 65_536
    ? value.ops
    : undefined;
}

/** Three checks: identities can fail; server and agent only explain. */
export function readyChecks(facts: {
  readonly cache: IdentityCache;
  readonly session: Session;
  readonly own: OwnIdentity;
  readonly clock: Clock;
  readonly notReady: () => readonly string[];
}): readonly Check[] {
  const { cache, session, own, clock } = facts;
  const identities = (): CheckResult => {
    const reasons = facts.notReady();
    const valid = cache.all().filter((slot) => notReadyReason(slot, clock.now()) === undefined);
    const first = valid.flatMap(({ held }) => held?.notAfter.getTime() ?? []).sort((a, b) => a - b)[0];
    const until = first === undefined ? "" : `, the first until ${new Date(first).toISOString()}`;
    return {
      name: "identities",
      ok: reasons.length === 0,
      detail: reasons.join("; ") || `${valid.length} valid on disk${until}`,
    };
  };
  // Never a failed probe: what is valid stays in use without a server.
  const server = (): CheckResult => {
    const { contact } = session;
    const since = (contact.awaySince ?? clock.now()).toISOString();
    const why = contact.lastError === "" ? "" : `: ${contact.lastError}`;
    return {
      name: "server",
      ok: true,
      detail: contact.connected ? `${contact.address} answers` : `away since ${since}${why}`,
    };
  };
  const agent = (): CheckResult => {
    const end = own.held?.notAfter.toISOString() ?? "";
    const detail = own.isAlive(clock.now())
      ? `certificate until ${end}`
      : `certificate ended at ${end}, it comes back by its key`;
    return { name: "agent", ok: true, detail };
  };
  return [identities, server, agent];
}
