// The issuance protocol: what agents call. Each method turns its wire form into (Caller, IssueRequest) and back.
import type { ServerDuplexStream, ServerUnaryCall } from "@grpc/grpc-js";
import type {
  BatchIssueResult,
  Certificate,
  IssuanceServiceServer,
  IssueItem,
  RenewResponse,
  SyncRequest,
  SyncResponse,
} from "../../../proto/gen/signet/v1/issuance.ts";
import { IssuanceServiceService } from "../../../proto/gen/signet/v1/issuance.ts";
import type { Caller } from "../../issuing/caller.ts";
import { issue } from "../../issuing/issue.ts";
import type { Recorded } from "../../issuing/record.ts";
import { CaError } from "../../registry/ca-error.ts";
import { deviceRenewOps } from "../../registry/devices.ts";
import { renewOps } from "../../registry/joining.ts";
import { parseSpiffeId } from "../../spiffe/id.ts";
import { endOfSession, type Session } from "../authenticate.ts";
import { type AdmittedCall, type Gate, noAgent } from "../gate.ts";
import { type CallDeps, caErrorOf, errorDetail, grpcStatus, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { bundleToWire, denyListToWire } from "../trust-to-wire.ts";
import { attest } from "./attest.ts";
import type { AttestX509PopDeps } from "./attest-x509pop.ts";
import { certificateToWire } from "./certificate-to-wire.ts";
import { activeName, type SyncDeps, sync } from "./sync.ts";

export interface IssuanceDeps extends CallDeps, AttestX509PopDeps, SyncDeps {
  /** The TLS session of a call. */
  readonly session: (call: AnyCall) => Session;
  /** Has admitted every call that comes here. */
  readonly gate: Pick<Gate, "callerOf" | "judge">;
  /** Notes that an agent's sync stream is open, until the returned function is called. */
  readonly streamOpened: (agentId: string) => () => void;
  /** Ends the streams at shutdown. */
  readonly stopping: AbortSignal;
}

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, "getPeer" | "getAuthContext">;
type Agent = Extract<Caller, { kind: "agent" }>;

/** Items of one batch. */
const maxBatch = 100;

export function issuanceHandler(deps: IssuanceDeps): IssuanceServiceServer {
  const toWire = (recorded: Recorded): Certificate =>
    certificateToWire(recorded.record, recorded.chainDer, deps.clock.now());
  const issueItem = async (agent: Agent, item: IssueItem): Promise<Certificate> => {
    const recorded = await issue(deps.issuing, agent, {
      profile: "workload",
      protocol: "issuance",
      id: parsedId(item.spiffeId),
      csrDer: item.csrDer,
      ...(item.ttlSeconds === 0 ? {} : { ttlSeconds: item.ttlSeconds }),
    });
    return toWire(recorded);
  };
  return {
    attest: (call) => {
      attest(deps, deps.session(call), call).catch((error: unknown) => {
        call.emit("error", grpcStatus(grpcTable, caErrorOf(deps, error)));
      });
    },
    renew: unary(deps, grpcTable, async ({ csrDer }, call) => {
      const caller = deps.gate.callerOf(call);
      if (caller.kind === "device") return renewDevice(deps, caller, csrDer);
      const agent = agentOf(deps, call);
      const recorded = await issue(deps.issuing, agent, {
        profile: "agent",
        protocol: "issuance",
        id: agent.id,
        csrDer,
        together: (issued) => renewOps(deps.store, agent, issued),
      });
      return { certificate: toWire(recorded), addresses: [] };
    }),
    issue: unary(deps, grpcTable, async ({ item }, call) => {
      const agent = agentOf(deps, call);
      if (item === undefined) throw new CaError("bad_request", "nothing is asked for");
      return { certificate: await issueItem(agent, item) };
    }),
    batchIssue: unary(deps, grpcTable, async ({ items }, call) => {
      const agent = agentOf(deps, call);
      if (items.length === 0 || items.length > maxBatch) {
        throw new CaError("bad_request", `a batch holds 1 to ${maxBatch} items, got ${items.length}`);
      }
      const one = async (item: IssueItem): Promise<BatchIssueResult> => {
        try {
          return { result: { $case: "certificate", value: await issueItem(agent, item) } };
        } catch (error) {
          return { result: { $case: "error", value: errorDetail(caErrorOf(deps, error)) } };
        }
      };
      return { results: await Promise.all(items.map(one)) };
    }),
    sync: (call) => {
      serveSync(deps, call).catch((error: unknown) => {
        if (!call.destroyed) call.emit("error", grpcStatus(grpcTable, caErrorOf(deps, error)));
      });
    },
  };
}

/** A device has no sync stream, so what to trust comes with its certificate. */
async function renewDevice(
  deps: IssuanceDeps,
  device: Extract<Caller, { kind: "device" }>,
  csrDer: Uint8Array,
): Promise<RenewResponse> {
  const { id } = device;
  const recorded = await issue(deps.issuing, device, {
    profile: "device",
    protocol: "issuance",
    id,
    csrDer,
    together: (issued) => deviceRenewOps(deps.store, { id, presented: device }, issued),
  });
  return {
    certificate: certificateToWire(recorded.record, recorded.chainDer, deps.clock.now()),
    bundle: bundleToWire(deps.state.view().bundle),
    denyList: denyListToWire(await deps.denyList()),
    addresses: [...deps.addresses()],
  };
}

async function serveSync(deps: IssuanceDeps, stream: ServerDuplexStream<SyncRequest, SyncResponse>): Promise<void> {
  const session = deps.session(stream);
  const agent = agentOf(deps, stream);
  const closed = deps.streamOpened(agent.id);
  try {
    const { id } = agent;
    const demand = (): Promise<unknown> => deps.gate.judge(IssuanceServiceService.sync.path, session);
    await sync(
      deps,
      {
        id,
        address: session.address,
        activeAuthority: activeName(deps.state),
        notAfter: endOfSession(session),
        demand,
      },
      stream,
      deps.stopping,
    );
  } finally {
    closed();
  }
}

/** The agent that the gate let in. */
function agentOf(deps: Pick<IssuanceDeps, "gate">, call: AdmittedCall): Agent {
  const caller = deps.gate.callerOf(call);
  if (caller.kind !== "agent") throw noAgent();
  return caller;
}

function parsedId(text: string): ReturnType<typeof parseSpiffeId> {
  try {
    return parseSpiffeId(text);
  } catch (error) {
    throw new CaError("bad_request", error instanceof Error ? error.message : "not a SPIFFE ID", { cause: error });
  }
}
