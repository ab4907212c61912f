// Attestation by a factory certificate (x509pop): a device gets its identity, a node its agent's certificate. The nonce is
// for one stream and one proof, and not for long.
import type { AttestX509PopProof, AttestX509PopStart } from "../../../proto/gen/signet/v1/issuance.ts";
import { issue } from "../../issuing/issue.ts";
import { CaError } from "../../registry/ca-error.ts";
import { deviceJoinOps } from "../../registry/devices.ts";
import { readFactoryChain } from "../../registry/factory-chain.ts";
import { prepareDeviceJoin, prepareUnregisteredJoin } from "../../registry/factory-join.ts";
import { memberOp } from "../../registry/joining.ts";
import { withRevoked } from "../../registry/nodes.ts";
import { factoryHolder, type X509PopDeps } from "../../registry/x509pop.ts";
import { readAnew, revokeOps } from "../../revocation/revoke.ts";
import { parseSpiffeId, type SpiffeId } from "../../spiffe/id.ts";
import type { CertificateRecord } from "../../store/collections/certificates.ts";
import type { Op } from "../../store/store.ts";
import type { Session } from "../authenticate.ts";
import type { AttestDeps } from "./attest.ts";

export interface AttestX509PopDeps extends AttestDeps {
  readonly x509pop: X509PopDeps;
}

export interface X509PopAsked {
  readonly start: AttestX509PopStart;
  readonly proof: AttestX509PopProof;
  readonly serverNonce: Uint8Array;
  readonly session: Session;
}

/** Judges the proof and issues. `byString` joins a node that was registered as if its string had a secret. */
export async function attestX509Pop(
  deps: AttestX509PopDeps,
  asked: X509PopAsked,
  byString: (id: SpiffeId, secret: Uint8Array) => Promise<CertificateRecord>,
): Promise<CertificateRecord> {
  const { start, proof, serverNonce } = asked;
  const chain = readFactoryChain(start.chainDer);
  const { clientNonce } = start;
  const { csrDer, signature } = proof;
  const holder = await factoryHolder(deps.x509pop, chain, {
    proof: { serverNonce, clientNonce, csrDer, signature },
    now: deps.clock.now(),
  });
  const { fingerprint } = chain;
  switch (holder.kind) {
    case "device":
      return joinDevice(deps, asked, { id: parseSpiffeId(holder.device.value.deviceId), fingerprint });
    case "node":
      return byString(holder.id, holder.secret);
    case "unregistered":
      return joinUnregistered(deps, asked, { id: holder.id, fingerprint });
  }
}

interface Joining {
  readonly id: SpiffeId;
  readonly fingerprint: string;
}

function joinDevice(deps: AttestX509PopDeps, asked: X509PopAsked, joining: Joining): Promise<CertificateRecord> {
  return certified(deps, asked, {
    profile: "device",
    id: joining.id,
    prepare: async (spkiSha256) => {
      const use = { ...joining, spkiSha256, now: deps.clock.now() };
      const prepared = await prepareDeviceJoin(deps.store, use);
      if ("again" in prepared) return prepared;
      const { device, former, conditions } = prepared;
      const { now } = use;
      const { fingerprint } = joining;
      return {
        former,
        ops: (issued) => [
          ...deviceJoinOps(deps, device, { fingerprint, from: asked.session.address, now, issued }),
          ...conditions,
        ],
      };
    },
  });
}

function joinUnregistered(deps: AttestX509PopDeps, asked: X509PopAsked, joining: Joining): Promise<CertificateRecord> {
  return certified(deps, asked, {
    profile: "agent",
    id: joining.id,
    prepare: async (spkiSha256) => {
      const use = { ...joining, spkiSha256, now: deps.clock.now() };
      const prepared = await prepareUnregisteredJoin(deps.store, use);
      if ("again" in prepared) return prepared;
      const { node, former } = prepared;
      const { id, now } = use;
      const held = node === undefined ? undefined : { ...node, value: withRevoked(node.value, former, now) };
      const member = { id, from: asked.session.address, by: "x509pop", now } as const;
      return { former, ops: (issued) => [memberOp(member, held, issued)] };
    },
  });
}

interface Certifying {
  readonly profile: "device" | "agent";
  readonly id: SpiffeId;
  /** Reads what is true now, anew for each attempt. */
  readonly prepare: (spkiSha256: string) => Promise<
    | { readonly again: CertificateRecord }
    | {
        readonly former: readonly CertificateRecord[];
        readonly ops: (issued: CertificateRecord) => readonly Op[];
      }
  >;
}

/** Issues, and denies what the former key has in the same commit; or answers once more what the same key got. */
async function certified(
  deps: AttestX509PopDeps,
  asked: X509PopAsked,
  certifying: Certifying,
): Promise<CertificateRecord> {
  const before = await certifying.prepare(deps.spkiSha256Of(asked.proof.csrDer));
  if ("again" in before) return before.again;
  if (before.former.length === 0) return certifiedNow(deps, asked, certifying);
  // The commit changes the deny list too, so it has its turn among those that do.
  const { revoking } = deps;
  return revoking.oneAtATime(async () => {
    await readAnew(revoking);
    try {
      return await certifiedNow(deps, asked, certifying);
    } finally {
      await readAnew(revoking);
    }
  });
}

async function certifiedNow(
  deps: AttestX509PopDeps,
  { proof }: X509PopAsked,
  { profile, id, prepare }: Certifying,
): Promise<CertificateRecord> {
  let again: CertificateRecord | undefined;
  try {
    const { record } = await issue(
      deps.issuing,
      { kind: "attested", id, by: "x509pop" },
      {
        profile,
        protocol: "attest",
        id,
        csrDer: proof.csrDer,
        together: async (issued) => {
          const prepared = await prepare(issued.spkiSha256);
          if ("again" in prepared) {
            again = prepared.again;
            throw new CaError("conflict", "the same key joins right now", { retry: "same" });
          }
          const denial = await revokeOps(deps.revoking, prepared.former, {
            reason: "superseded",
            at: deps.clock.now(),
            actor: { name: id, reason: "joined again by its factory certificate" },
          });
          return [...prepared.ops(issued), ...denial.ops];
        },
      },
    );
    return record;
  } catch (error) {
    if (again !== undefined) return again;
    throw error;
  }
}
