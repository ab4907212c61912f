import type {
  AdminServiceServer,
  RotateAuthorityRequest,
  RotateAuthorityResponse,
  Authority as WireAuthority,
} from "../../../proto/gen/signet/v1/admin.ts";
import { RotateStep, AuthorityState as WireState } from "../../../proto/gen/signet/v1/admin.ts";
import type { Actor } from "../../audit/audit.ts";
import type { Authority } from "../../authority/authority.ts";
import { lastLeafEnds, liveLeaves, movedFrom } from "../../authority/leaves.ts";
import { prepareIntermediate, stepsToCome, waitingFor } from "../../authority/rotation.ts";
import type { NextStep } from "../../authority/schedule.ts";
import { currentIssuer, findAuthority } from "../../authority/trust-state.ts";
import type { KeyType } from "../../keys/key-manager.ts";
import { CaError } from "../../registry/ca-error.ts";
import type { AuthorityState } from "../../store/collections/authorities.ts";
import { serverStream, unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { bundleToWire } from "../trust-to-wire.ts";
import { actorOf } from "./actor.ts";
import { announced } from "./announced.ts";
import type { AdminDeps } from "./handler.ts";

const wireStates: { readonly [state in AuthorityState]: WireState } = {
  prepared: WireState.AUTHORITY_STATE_PREPARED,
  active: WireState.AUTHORITY_STATE_ACTIVE,
  old: WireState.AUTHORITY_STATE_OLD,
  retired: WireState.AUTHORITY_STATE_RETIRED,
  tainted: WireState.AUTHORITY_STATE_TAINTED,
  revoked: WireState.AUTHORITY_STATE_REVOKED,
};

const keyTypes: readonly KeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];

type Methods = "listAuthorities" | "getAuthority" | "rotateAuthority" | "getTrustBundle";

export function authorityMethods(deps: AdminDeps): Pick<AdminServiceServer, Methods> {
  return {
    listAuthorities: unary(deps, grpcTable, async () => ({ authorities: [...(await authoritiesToWire(deps))] })),
    getAuthority: unary(deps, grpcTable, async (request) => {
      const authority = findAuthority(deps.state.view(), request.name);
      return { authority: await authorityOnWire(deps, authority) };
    }),
    rotateAuthority: serverStream(deps, grpcTable, (request, signal, call) =>
      rotate(deps, request, { signal, by: actorOf(deps, call, request.reason) }),
    ),
    getTrustBundle: unary(deps, grpcTable, async () => ({ bundle: bundleToWire(deps.state.view().bundle) })),
  };
}

/** Prepares, waits for the activation that the server itself does, and where asked watches the leaves move. */
async function* rotate(
  deps: AdminDeps,
  request: Pick<RotateAuthorityRequest, "rootKeyPem" | "watch" | "keyType" | "serves">,
  { signal, by }: { readonly signal: AbortSignal; readonly by: Actor },
): AsyncIterable<RotateAuthorityResponse> {
  const keyType = keyTypes.find((type) => type === request.keyType);
  if (keyType === undefined && request.keyType !== "") {
    throw new CaError(
      "bad_request",
      `no key type ${JSON.stringify(request.keyType.slice(0, 64))}: one of ${keyTypes.join(", ")}`,
    );
  }
  deps.clockWatch.sureNow(); // Nothing is signed while it throws.
  const serves = request.serves === "" ? "services" : request.serves;
  if (serves !== "services" && serves !== "devices") {
    throw new CaError("bad_request", "an intermediate serves services or devices", { value: serves.slice(0, 64) });
  }
  const previous = currentIssuer(deps.state.view(), serves);
  if (serves === "devices" && previous === undefined) {
    throw new CaError("not_found", "there is no intermediate for devices yet: the first device class makes it", {
      cure: "signet device class create NAME --ca FILE",
    });
  }
  const made = await prepareIntermediate(
    deps.rotation,
    {
      serves,
      activateFrom: deps.clock.now(),
      ...(keyType === undefined ? {} : { keyType }),
      ...(request.rootKeyPem.length === 0 ? {} : { rootSigner: deps.rootSigner(request.rootKeyPem) }),
    },
    by,
  );
  deps.lookNow();
  const answer = async (
    step: RotateStep,
    more: Partial<RotateAuthorityResponse> = {},
  ): Promise<RotateAuthorityResponse> => {
    const view = deps.state.view();
    const steps = await stepsToCome(deps.rotation);
    const wire = (name: string): Promise<WireAuthority> => authorityToWire(deps, findAuthority(view, name), steps);
    return {
      step,
      authority: await wire(made.record.name),
      waitingFor: [],
      leavesMoved: 0n,
      leavesTotal: 0n,
      ...(previous === undefined ? {} : { previous: await wire(previous.record.name) }),
      ...more,
    };
  };
  yield await answer(RotateStep.ROTATE_STEP_PREPARED);
  let activated = false;
  let lastWaiting = "";
  for await (const _ of announced(deps, signal)) {
    const { record } = findAuthority(deps.state.view(), made.record.name);
    if (record.state === "prepared") {
      const waiting = await waitingFor(deps.rotation, made);
      if (waiting.join() !== lastWaiting)
        yield await answer(RotateStep.ROTATE_STEP_WAITING, { waitingFor: [...waiting] });
      lastWaiting = waiting.join();
      continue;
    }
    const numbers = previous === undefined ? {} : await moving(deps, previous);
    if (!activated) {
      const waiting = await waitingFor(deps.rotation, made);
      yield await answer(RotateStep.ROTATE_STEP_ACTIVATED, { ...numbers, waitingFor: [...waiting] });
    }
    activated = true;
    if (!request.watch || previous === undefined) return;
    if (numbers.leavesMoved === numbers.leavesTotal) {
      yield await answer(RotateStep.ROTATE_STEP_DONE, numbers);
      return;
    }
    yield await answer(RotateStep.ROTATE_STEP_MOVING, numbers);
  }
}

/** How far agents and identities have moved away from an authority. */
async function moving(deps: AdminDeps, previous: Authority): Promise<Partial<RotateAuthorityResponse>> {
  const { moved, total, movedBy } = await movedFrom(deps.store, previous.record, deps.clock.now());
  const ends = await lastLeafEnds(deps.store, previous.record.name);
  return {
    leavesMoved: BigInt(moved),
    leavesTotal: BigInt(total),
    ...(ends === undefined ? {} : { lastLeafEnds: ends }),
    ...(movedBy === undefined ? {} : { movedBy }),
  };
}

export async function authoritiesToWire(deps: AdminDeps): Promise<readonly WireAuthority[]> {
  const steps = await stepsToCome(deps.rotation);
  return Promise.all(deps.state.view().authorities.map((authority) => authorityToWire(deps, authority, steps)));
}

export async function authorityOnWire(deps: AdminDeps, authority: Authority): Promise<WireAuthority> {
  return authorityToWire(deps, authority, await stepsToCome(deps.rotation));
}

async function authorityToWire(
  deps: AdminDeps,
  authority: Authority,
  steps: readonly NextStep[],
): Promise<WireAuthority> {
  const { record, certificate } = authority;
  const crl = deps.state.view().crls.find(({ value }) => value.authority === record.name);
  const ends = record.kind === "root" ? undefined : await lastLeafEnds(deps.store, record.name);
  const next = nextOf(record.name, steps);
  return {
    name: record.name,
    kind: record.kind,
    state: wireStates[record.state],
    parent: record.parent,
    keyType: record.keyType,
    keyId: record.keyId,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    serves: [...record.serves],
    liveLeaves: record.kind === "root" ? 0n : BigInt(await liveLeaves(deps.store, record.name, deps.clock.now())),
    nextStep: next?.text ?? "",
    blockedBy: blockedBy(deps, authority, next),
    certificateDer: Buffer.from(certificate.raw),
    keyOnServer: record.keyHere,
    preparedAt: new Date(record.preparedAt),
    ...(ends === undefined ? {} : { lastLeafEnds: ends }),
    ...(next === undefined ? {} : { nextStepAt: next.at }),
    ...(crl === undefined ? {} : { crlNextUpdate: new Date(crl.value.nextUpdate) }),
    ...(record.activatedAt === undefined ? {} : { activatedAt: new Date(record.activatedAt) }),
    ...(record.retiredAt === undefined ? {} : { retiredAt: new Date(record.retiredAt) }),
  };
}

function nextOf(name: string, steps: readonly NextStep[]): { readonly text: string; readonly at: Date } | undefined {
  for (const step of steps) {
    if (step.step === "prepare" && step.after.record.name === name) return { text: "successor", at: step.at };
    if (step.step === "activate" && step.authority.record.name === name) return { text: "active", at: step.at };
    if (step.step === "retire" && step.authority.record.name === name) return { text: "dropped", at: step.at };
  }
  return undefined;
}

function blockedBy(
  deps: AdminDeps,
  authority: Authority,
  next: { readonly text: string; readonly at: Date } | undefined,
): string {
  const root = findAuthority(deps.state.view(), authority.record.parent);
  const due = next !== undefined && deps.clock.now() >= next.at;
  return due && next.text === "successor" && !root.record.keyHere
    ? `the key of ${root.record.name} is not on this server`
    : "";
}
