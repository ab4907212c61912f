// Who may call what on the api listener: judged once a call, before its message is read, and handed to the handler.
import type { Caller } from "../issuing/caller.ts";
import { CaError } from "../registry/ca-error.ts";
import { findDevice, unknownDevice } from "../registry/devices.ts";
import { findNode } from "../registry/nodes.ts";
import { parseSpiffeId, type SpiffeId } from "../spiffe/id.ts";
import { kindOf } from "../spiffe/kind.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { type AuthenticateDeps, authenticate, endOfSession, isRevokedSession, type Session } from "./authenticate.ts";

/** The callers of a method. `anyone` is not even looked at; `holder`: whoever has an own certificate, agent or device. */
export type MayCall = "anyone" | "agent" | "holder";

/** One rule for each method of a service: a new method does not compile without. */
export type MayCallTable<Service> = { readonly [method in keyof Service]: MayCall };

/** What a handler and the listener in front of it both hold of one call: grpc-js passes this very object on. */
export interface AdmittedCall {
  readonly metadata: object;
}

export interface Gate {
  /** Whether everybody may call this method. */
  readonly isOpen: (path: string) => boolean;
  /** Judges who calls, now. Throws CaError "unauthenticated", "denied" and what the store answers. */
  readonly judge: (path: string, session: Session) => Promise<Caller>;
  /** The same, and remembers it for the handler of this call. */
  readonly admit: (call: AdmittedCall, path: string, session: Session) => Promise<void>;
  /**
   * Judges anew a call that was admitted a while ago, or before trust changed: its peer may have kept the request back.
   * Undefined when there is nothing to judge.
   */
  readonly confirm: (call: AdmittedCall) => Promise<void> | undefined;
  /** Whether the certificate of a session would be good now, had it not been revoked. */
  readonly isRevoked: (session: Session) => Promise<boolean>;
  /** Who calls. Throws TypeError for a call that was not admitted: no handler may run without. */
  readonly callerOf: (call: AdmittedCall) => Caller;
}

export interface GateDeps extends AuthenticateDeps {
  /** By the path of each method. */
  readonly rules: ReadonlyMap<string, MayCall>;
}

/** So long an admission is taken for now, while trust is the same and no certificate has ended, milliseconds. */
const freshMs = 1000;

export function createGate(deps: GateDeps): Gate {
  interface Admission {
    readonly caller: Caller;
    readonly path: string;
    readonly session: Session;
    readonly on: unknown;
    readonly atMs: number;
  }
  const admissions = new WeakMap<object, Admission>();
  const judge = async (path: string, session: Session): Promise<Caller> => {
    const rule = deps.rules.get(path);
    if (rule === "anyone") return { kind: "anonymous" };
    return rule === "holder" ? demandHolder(deps, session) : demandAgent(deps, session);
  };
  const admit: Gate["admit"] = async ({ metadata }, path, session) => {
    const on = deps.state.view();
    const atMs = deps.clock.monotonicMs();
    const caller = await judge(path, session);
    admissions.set(metadata, { caller, path, session, on, atMs });
  };
  return {
    isOpen: (path) => deps.rules.get(path) === "anyone",
    judge,
    admit,
    confirm: (call) => {
      const held = admissions.get(call.metadata);
      if (held === undefined) return Promise.reject(new TypeError("a call that was not admitted is confirmed"));
      const fresh =
        held.on === deps.state.view() &&
        deps.clock.monotonicMs() - held.atMs <= freshMs &&
        deps.clock.now() <= endOfSession(held.session);
      return fresh ? undefined : admit(call, held.path, held.session);
    },
    isRevoked: async (session) => {
      await authenticate(deps, session);
      return isRevokedSession(session);
    },
    callerOf: ({ metadata }) => {
      const held = admissions.get(metadata);
      if (held === undefined) throw new TypeError("a handler runs for a call that was not admitted");
      return held.caller;
    },
  };
}

/** The rules of a service by the paths of its methods. */
export function rulesOf<Service extends { readonly [method: string]: { readonly path: string } }>(
  service: Service,
  table: { readonly [method in keyof Service]: MayCall },
): readonly (readonly [string, MayCall])[] {
  return Object.entries(service).map(([method, { path }]) => [path, table[method as keyof Service]]);
}

/** What anybody but a living agent is answered. */
export function noAgent(): CaError {
  return new CaError("unauthenticated", "this call needs a living agent certificate of this trust domain", {
    cure: "signet agent --join-file FILE",
  });
}

/**
 * What a session that is no living agent's is answered. Who proved to hold the key of a certificate that was revoked is
 * told so: it may be replaced, and a banned node learns that it need not try.
 */
async function refusal(deps: AuthenticateDeps, session: Session): Promise<CaError> {
  const id = session.leafDer !== undefined && isRevokedSession(session) ? agentIdOf(session.leafDer) : undefined;
  if (id === undefined) return noAgent();
  const node = await findNode(deps.store, id);
  return node?.value.state === "banned"
    ? new CaError("denied", `${id} is banned`, { rule: "node_banned", retry: "never" })
    : new CaError("unauthenticated", `the certificate of ${id} was revoked`, { rule: "certificate_revoked" });
}

/** The agent of a leaf that our own authority signed; undefined when it is none. */
function agentIdOf(leafDer: Uint8Array): SpiffeId | undefined {
  const name = parseCertificate(leafDer).names.find(({ kind }) => kind === "uri");
  if (name?.kind !== "uri") return undefined;
  const id = parseSpiffeId(name.value);
  return kindOf(id) === "agent" ? id : undefined;
}

/** Demands an agent that is a member. Throws CaError "unauthenticated", "denied" `node_banned`. */
async function demandAgent(deps: AuthenticateDeps, session: Session): Promise<Extract<Caller, { kind: "agent" }>> {
  return memberOf(deps, session, await authenticate(deps, session));
}

/** Demands an agent that is a member, or a device that is registered. Throws CaError "unauthenticated", "denied". */
async function demandHolder(
  deps: AuthenticateDeps,
  session: Session,
): Promise<Extract<Caller, { kind: "agent" | "device" }>> {
  const caller = await authenticate(deps, session);
  if (caller.kind !== "device") return memberOf(deps, session, caller);
  if ((await findDevice(deps.store, caller.id)) === undefined) throw unknownDevice(caller.id);
  return caller;
}

async function memberOf(
  deps: AuthenticateDeps,
  session: Session,
  caller: Caller,
): Promise<Extract<Caller, { kind: "agent" }>> {
  if (caller.kind !== "agent") throw await refusal(deps, session);
  const node = await findNode(deps.store, caller.id);
  if (node === undefined || node.value.state !== "member") {
    const state = node?.value.state ?? "unknown";
    throw new CaError("denied", `${caller.id} is ${state}`, {
      rule: state === "banned" ? "node_banned" : "node_unknown",
    });
  }
  return caller;
}
