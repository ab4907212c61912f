// The admin protocol: what the command line calls. Reads go to the collections, writes through the noun's room.
import type { AdminServiceServer } from "../../../proto/gen/signet/v1/admin.ts";
import type { RotationDeps } from "../../authority/rotation.ts";
import type { TrustState } from "../../authority/trust-state.ts";
import type { IssueSteps } from "../../issuing/issue.ts";
import type { LineDeps } from "../../issuing/line.ts";
import type { ClockWatch } from "../../registry/clock-watch.ts";
import type { EntryDeps } from "../../registry/entries.ts";
import type { FactoryCasReader } from "../../registry/factory-cas.ts";
import type { TokenDeps } from "../../registry/tokens.ts";
import type { Signer } from "../../x509/signature.ts";
import type { AdmittedCall } from "../gate.ts";
import type { CallDeps } from "../grpc-call.ts";
import { authorityMethods } from "./authorities.ts";
import { certificateMethods } from "./certificates.ts";
import { clockMethods } from "./clock.ts";
import { deviceMethods } from "./devices.ts";
import { entryMethods } from "./entries.ts";
import { nodeMethods } from "./nodes.ts";
import { methodsNotYet } from "./not-yet.ts";
import { revocationMethods } from "./revocation.ts";
import { statusMethods } from "./status.ts";
import { tokenMethods } from "./tokens.ts";

/** What the line did in the last hour. */
export interface LastHour {
  readonly issued: number;
  readonly denied: number;
  /** Most frequent first. */
  readonly rules: readonly string[];
  readonly p99Seconds: number;
}

export interface AdminDeps extends CallDeps, EntryDeps, TokenDeps {
  readonly state: TrustState;
  /** How the audit trail names who makes a call: a SPIFFE ID, or "local" on the unix socket. */
  readonly nameOfCaller: (call: AdmittedCall) => string;
  readonly rotation: RotationDeps;
  readonly line: LineDeps;
  readonly steps: Pick<IssueSteps, "parse">;
  /** Whether the server's clock is sure. */
  readonly clockWatch: ClockWatch;
  /** The CAs of all device classes, as joining devices are held against. */
  readonly factoryCas: Pick<FactoryCasReader, "forget">;
  /** A quarter of the life of the devices' intermediate, seconds. */
  readonly maxDeviceTtlSeconds: () => number;
  /** Makes the server look at its rotation schedule at once. */
  readonly lookNow: () => void;
  /** A signer from a root key that an admin brought, PKCS#8 PEM. Throws CaError "bad_request". */
  readonly rootSigner: (pem: Uint8Array) => Signer;
  /** Where nodes reach the api listener, host:port. */
  readonly addresses: () => readonly string[];
  /** Whether an agent's sync stream is open. */
  readonly connected: (agentId: string) => boolean;
  /** Silence after which a live agent is late, milliseconds. */
  readonly lateAfterMs: number;
  readonly lastHour: () => LastHour;
  readonly version: string;
  readonly startedAt: Date;
  readonly stopping: AbortSignal;
}

export function adminHandler(deps: AdminDeps): AdminServiceServer {
  return {
    ...statusMethods(deps),
    ...tokenMethods(deps),
    ...entryMethods(deps),
    ...nodeMethods(deps),
    ...certificateMethods(deps),
    ...authorityMethods(deps),
    ...revocationMethods(deps),
    ...clockMethods(deps),
    ...deviceMethods(deps),
    ...methodsNotYet(deps),
  };
}
