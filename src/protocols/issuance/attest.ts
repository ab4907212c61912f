// Attest: a node or device proves who it is, by a join string, by a factory certificate or by the key of its last
// certificate, and gets its certificate in the same commit that notes it.
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type {
  AttestJoin,
  AttestRecoverProof,
  AttestRecoverStart,
  AttestRequest,
  AttestResponse,
  AttestResult,
} from "../../../proto/gen/signet/v1/issuance.ts";
import { findAuthority, type TrustState } from "../../authority/trust-state.ts";
import { type IssueDeps, issue } from "../../issuing/issue.ts";
import type { Pace } from "../../platform/paced.ts";
import { CaError } from "../../registry/ca-error.ts";
import {
  type JoinUse,
  joinOps,
  prepareJoin,
  prepareRecover,
  type RecoverUse,
  renewedOp,
} from "../../registry/joining.ts";
import { deviceRecoverOps, prepareDeviceRecover } from "../../registry/recover-device.ts";
import { countReuse, type TokenDeps, tokenOfSecret } from "../../registry/tokens.ts";
import type { DenyListWithCrls } from "../../revocation/deny-list.ts";
import { finishRevocation } from "../../revocation/open-revocations.ts";
import { type Replacing, replacedNodeOps } from "../../revocation/replace-node.ts";
import { type RevokeDeps, readAnew } from "../../revocation/revoke.ts";
import { parseSpiffeId, type SpiffeId } from "../../spiffe/id.ts";
import { kindOf } from "../../spiffe/kind.ts";
import type { CertificateRecord } from "../../store/collections/certificates.ts";
import type { Session } from "../authenticate.ts";
import { bundleToWire, denyListToWire } from "../trust-to-wire.ts";
import { type AttestX509PopDeps, attestX509Pop } from "./attest-x509pop.ts";
import { certificateToWire } from "./certificate-to-wire.ts";

export interface AttestDeps extends TokenDeps {
  readonly issuing: IssueDeps;
  readonly state: TrustState;
  readonly denyList: () => Promise<DenyListWithCrls>;
  readonly addresses: () => readonly string[];
  /** How long after its end a certificate still brings its node back, seconds. */
  readonly graceSeconds: number;
  readonly spkiSha256Of: (csrDer: Uint8Array) => string;
  readonly tokenReused: () => void;
  /** For a join string that takes the place of a node. */
  readonly revoking: RevokeDeps;
  /** Strangers are slowed down, and never locked out: what costs them little and the server much waits its turn. */
  readonly pace: Pace;
  /** How long a challenge is good for: the wait for its proof, milliseconds. */
  readonly nonceLifeMs: number;
  /** Longest wait for the first message of the peer, milliseconds. */
  readonly stepTimeoutMs: number;
}

/** Runs one Attest stream to its result. Throws CaError for what is refused. */
export async function attest(
  deps: AttestX509PopDeps,
  session: Session,
  stream: ServerDuplexStream<AttestRequest, AttestResponse>,
): Promise<void> {
  const messages = readMessages(stream, deps);
  const first = await messages.next();
  switch (first?.step?.$case) {
    case "join":
      await myTurn(deps, messages.gone);
      stream.write({ step: { $case: "result", value: await join(deps, session, first.step.value) } });
      break;
    case "recoverStart": {
      const start = first.step.value;
      const { serverNonce, answer } = await challenge(deps, { stream, messages }, start.clientNonce);
      if (answer?.step?.$case !== "recoverProof") throw unanswered();
      const value = await recover(deps, { start, proof: answer.step.value, serverNonce });
      stream.write({ step: { $case: "result", value } });
      break;
    }
    case "x509popStart": {
      const start = first.step.value;
      const { serverNonce, answer } = await challenge(deps, { stream, messages }, start.clientNonce);
      if (answer?.step?.$case !== "x509popProof") throw unanswered();
      const asked = { start, proof: answer.step.value, serverNonce, session };
      const record = await attestX509Pop(deps, asked, (id, secret) =>
        joinByString(deps, session, { id, secret, csrDer: asked.proof.csrDer, by: "x509pop" }),
      );
      stream.write({ step: { $case: "result", value: await result(deps, record) } });
      break;
    }
    case "recoverProof":
    case "x509popProof":
    case undefined:
      throw new CaError(
        "bad_request",
        "an attestation begins with a join string, a factory certificate or with coming back",
      );
  }
  stream.end();
}

/** Sends a nonce for this stream alone and waits for what answers it, then for a turn. */
async function challenge(
  deps: AttestDeps,
  peer: { readonly stream: ServerDuplexStream<AttestRequest, AttestResponse>; readonly messages: Messages },
  clientNonce: Uint8Array,
): Promise<{ readonly serverNonce: Uint8Array; readonly answer: AttestRequest | undefined }> {
  if (clientNonce.length !== 32) throw new CaError("bad_request", `a nonce has 32 octets, got ${clientNonce.length}`);
  const serverNonce = deps.random.bytes(32);
  peer.stream.write({ step: { $case: "challenge", value: { serverNonce: Buffer.from(serverNonce) } } });
  // A key in a slow chip may take a while.
  const answer = await peer.messages.next(deps.nonceLifeMs);
  if (answer !== undefined) await myTurn(deps, peer.messages.gone);
  return { serverNonce, answer };
}

function unknownString(): CaError {
  return new CaError("token_unknown", "this server knows no such join string", {
    cure: "signet token create --agent NAME",
  });
}

function unanswered(): CaError {
  return new CaError("bad_request", "the challenge was not answered by a proof");
}

async function myTurn({ pace }: AttestDeps, gone: AbortSignal): Promise<void> {
  if (await pace.next(gone)) return;
  throw new CaError("unavailable", "too many nodes join or come back right now", {
    retry: "later",
    retryAfterSeconds: pace.fullLineSeconds,
  });
}

async function join(deps: AttestDeps, session: Session, wish: AttestJoin): Promise<AttestResult> {
  const id = idOf(wish.spiffeId);
  if (wish.secret.length !== 32) throw unknownString();
  // Before the CSR: that is parsed and verified for those only who hold a string.
  await tokenOfSecret(deps, { secret: wish.secret, subject: id });
  const { secret, csrDer } = wish;
  return result(deps, await joinByString(deps, session, { id, secret, csrDer, by: "join_string" }));
}

async function joinByString(
  deps: AttestDeps,
  session: Session,
  wish: Pick<JoinUse, "id" | "secret"> & { readonly csrDer: Uint8Array; readonly by: "join_string" | "x509pop" },
): Promise<CertificateRecord> {
  const use = {
    id: wish.id,
    secret: wish.secret,
    spkiSha256: deps.spkiSha256Of(wish.csrDer),
    from: session.address,
    by: wish.by,
    now: deps.clock.now(),
  };
  try {
    return await joined(deps, use, wish.csrDer);
  } catch (error) {
    if (error instanceof CaError && error.code === "token_used") {
      deps.tokenReused();
      await countReuse(deps, use);
    }
    throw error;
  }
}

/** The certificate of a join string: a new one, or the one that the same key got, also when it gets it just now. */
async function joined(
  deps: AttestDeps,
  use: JoinUse & { readonly by: "join_string" | "x509pop" },
  csrDer: Uint8Array,
): Promise<CertificateRecord> {
  const prepared = await prepareJoin(deps, use);
  if ("again" in prepared) return prepared.again;
  if (!prepared.replaces) return (await joinNow(deps, use, csrDer)).record;
  // The commit changes the deny list too, so it has its turn among those that do.
  const { revoking } = deps;
  const { record, noteKey } = await revoking.oneAtATime(async () => {
    await readAnew(revoking);
    try {
      return await joinNow(deps, use, csrDer);
    } finally {
      await readAnew(revoking);
    }
  });
  if (noteKey !== undefined) await finishRevocation(revoking, noteKey);
  return record;
}

async function joinNow(
  deps: AttestDeps,
  use: JoinUse & { readonly by: "join_string" | "x509pop" },
  csrDer: Uint8Array,
): Promise<{ readonly record: CertificateRecord; readonly noteKey?: string }> {
  let again: CertificateRecord | undefined;
  let replacing: Replacing | undefined;
  try {
    const recorded = await issue(
      deps.issuing,
      { kind: "attested", id: use.id, by: use.by },
      {
        profile: "agent",
        protocol: "attest",
        id: use.id,
        csrDer,
        together: async (issued) => {
          const now = await prepareJoin(deps, use);
          if (!("again" in now)) {
            if (!now.replaces) return joinOps(use, now, issued);
            const actor = { name: use.id, reason: `replaced by the join string ${now.token.value.tokenId}` };
            replacing = await replacedNodeOps(deps.revoking, use.id, { issued, actor });
            return [...joinOps(use, { ...now, replaced: replacing.revoked }, issued), ...replacing.ops];
          }
          again = now.again;
          throw new CaError("conflict", "the same join string is being used right now", { retry: "same" });
        },
      },
    );
    return { record: recorded.record, ...(replacing === undefined ? {} : { noteKey: replacing.noteKey }) };
  } catch (error) {
    if (again !== undefined) return { record: again };
    throw error;
  }
}

async function recover(
  deps: AttestDeps,
  asked: { readonly start: AttestRecoverStart; readonly proof: AttestRecoverProof; readonly serverNonce: Uint8Array },
): Promise<AttestResult> {
  const { start, proof, serverNonce } = asked;
  const id = idOf(start.spiffeId);
  const use = {
    id,
    serialHex: start.serialHex,
    clientNonce: start.clientNonce,
    serverNonce,
    csrDer: proof.csrDer,
    signature: proof.signature,
    spkiSha256: deps.spkiSha256Of(proof.csrDer),
    now: deps.clock.now(),
  };
  if (kindOf(id) === "device") return result(deps, await recoverDevice(deps, use));
  await prepareRecover(deps, use);
  const recorded = await issue(
    deps.issuing,
    { kind: "attested", id, by: "recover" },
    {
      profile: "agent",
      protocol: "attest",
      id,
      csrDer: proof.csrDer,
      together: async (issued) => [renewedOp(await prepareRecover(deps, use), issued)],
    },
  );
  return result(deps, recorded.record);
}

async function recoverDevice(deps: AttestDeps, use: RecoverUse): Promise<CertificateRecord> {
  await prepareDeviceRecover(deps, use);
  const { record } = await issue(
    deps.issuing,
    { kind: "attested", id: use.id, by: "recover" },
    {
      profile: "device",
      protocol: "attest",
      id: use.id,
      csrDer: use.csrDer,
      together: async (issued) => deviceRecoverOps(await prepareDeviceRecover(deps, use), issued),
    },
  );
  return record;
}

async function result(deps: AttestDeps, record: CertificateRecord): Promise<AttestResult> {
  const issuer = findAuthority(deps.state.view(), record.authority);
  return {
    certificate: certificateToWire(record, [record.der, issuer.certificate.raw], deps.clock.now()),
    bundle: bundleToWire(deps.state.view().bundle),
    denyList: denyListToWire(await deps.denyList()),
    addresses: [...deps.addresses()],
  };
}

function idOf(text: string): SpiffeId {
  try {
    return parseSpiffeId(text);
  } catch (error) {
    throw new CaError("bad_request", error instanceof Error ? error.message : "not a SPIFFE ID", { cause: error });
  }
}

type Messages = ReturnType<typeof readMessages>;

/** Reads one message at a time; undefined when the peer ended or is silent for too long. `gone`: nobody waits any more. */
function readMessages(
  stream: ServerDuplexStream<AttestRequest, AttestResponse>,
  deps: Pick<AttestDeps, "clock" | "stepTimeoutMs">,
): { next(timeoutMs?: number): Promise<AttestRequest | undefined>; readonly gone: AbortSignal } {
  const waiting: AttestRequest[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  const gone = new AbortController();
  stream.on("data", (message: AttestRequest) => {
    // Two messages are the longest attestation; more is nobody's protocol.
    if (waiting.length < 2) waiting.push(message);
    wake?.();
  });
  for (const event of ["end", "cancelled", "error"]) {
    stream.on(event, () => {
      ended = true;
      if (event !== "end") gone.abort();
      wake?.();
    });
  }
  return {
    gone: gone.signal,
    next: async (timeoutMs = deps.stepTimeoutMs) => {
      if (waiting.length === 0 && !ended) {
        const timer = new AbortController();
        const woken = new Promise<void>((resolve) => {
          wake = resolve;
        });
        await Promise.race([woken, deps.clock.sleep(timeoutMs, { signal: timer.signal, unref: true })]);
        timer.abort();
        wake = undefined;
      }
      return waiting.shift();
    },
  };
}
