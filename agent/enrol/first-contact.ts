// Joining: three steps, and nothing secret before the server is verified.
import type { Clock } from "../../src/platform/clock.ts";
import { AttestStream, resultOf } from "../../src/sdk/attest-stream.ts";
import { firstBundle } from "../../src/sdk/first-bundle.ts";
import {
  addressesFromWire,
  bundleFromWire,
  denyListFromWire,
  issuedFromWire,
  WireError,
} from "../../src/sdk/from-wire.ts";
import { countedFromNow, type IssuedCertificate } from "../../src/sdk/judge-issued.ts";
import type { NodeKey } from "../../src/sdk/node-key.ts";
import { type RpcCode, RpcFailure } from "../../src/sdk/rpc.ts";
import { connectionFault, isAway, isOtherServer, ServerChannel } from "../../src/sdk/server-channel.ts";
import type { TrustBundle } from "../../src/spiffe/bundle.ts";
import type { JoinString } from "../../src/spiffe/join-string.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import type { TrustOffer } from "../trust.ts";
import { JoinError } from "./join-error.ts";

export interface FirstContactDeps {
  readonly clock: Pick<Clock, "now">;
  /** Our key, durable already: what is signed for it must not be lost. */
  readonly key: NodeKey;
  readonly limits: ContactLimits;
}

export interface ContactLimits {
  /** For GetBundle over the unverified connection. */
  readonly bundleDeadlineMs: number;
  readonly bundleBytes: number;
  readonly attestDeadlineMs: number;
  readonly messageBytes: number;
}

/** What attestation gives: our certificate, not judged yet, and what to trust. */
export interface Attested {
  readonly issued: IssuedCertificate;
  readonly trust: Required<TrustOffer>;
  /** host:port that answered. */
  readonly address: string;
  /** By our clock, before it was asked for. */
  readonly sentAt: Date;
}

/** Joins by a join string, at the first of its addresses that answers. Throws JoinError. */
export async function firstContact(
  deps: FirstContactDeps,
  join: JoinString,
  addresses: readonly string[],
): Promise<Attested> {
  const csrDer = await buildCsr(deps.key);
  let last: JoinError | undefined;
  for (const address of addresses) {
    try {
      return await joinAt(deps, join, { address, csrDer });
    } catch (error) {
      if (!(error instanceof JoinError) || error.reason !== "unreachable") throw error;
      last = error;
    }
  }
  throw last ?? new JoinError("unreachable", `cannot join ${join.trustDomain}: the join string holds no address`);
}

async function joinAt(
  deps: FirstContactDeps,
  join: JoinString,
  { address, csrDer }: { readonly address: string; readonly csrDer: Uint8Array },
): Promise<Attested> {
  const cannot = `cannot join ${join.trustDomain}`;
  // 1. Ask anybody for the bundle. Nothing secret is sent: who answers is not known.
  // 2. Keep the roots that the join string pins, and nothing else.
  const bundle = await unverifiedBundle(deps, join, address);
  if (bundle === undefined) {
    throw new JoinError(
      "other_server",
      `${cannot}: ${address} is not the server that this join string is from: no root of its bundle is pinned by it`,
    );
  }
  // 3. A second connection, verified by these roots. Only here go the secret and the CSR.
  const channel = new ServerChannel({
    address,
    trust: () => ({ bundle }),
    identity: undefined,
    now: () => deps.clock.now(),
    maxMessageBytes: deps.limits.messageBytes,
  });
  const stream = new AttestStream(channel, { deadlineMs: deps.limits.attestDeadlineMs, now: () => deps.clock.now() });
  try {
    const sentAt = deps.clock.now();
    const value = { spiffeId: join.subject, secret: join.secret, csrDer };
    const result = resultOf(await stream.step({ $case: "join", value }));
    return {
      issued: countedFromNow(issuedFromWire(result.certificate), deps.clock.now()),
      trust: {
        bundle: bundleFromWire(result.bundle, join.trustDomain),
        ...denyListFromWire(result.denyList),
        addresses: addressesFromWire(result.addresses),
      },
      address,
      sentAt,
    };
  } catch (error) {
    throw joinError(error, cannot, channel);
  } finally {
    stream.close();
    channel.retire();
  }
}

async function unverifiedBundle(
  deps: FirstContactDeps,
  join: JoinString,
  address: string,
): Promise<TrustBundle | undefined> {
  const channel = new ServerChannel({
    address,
    trust: undefined,
    identity: undefined,
    now: () => deps.clock.now(),
    maxMessageBytes: deps.limits.bundleBytes,
  });
  try {
    return await firstBundle(channel, join, { deadlineMs: deps.limits.bundleDeadlineMs });
  } catch (error) {
    throw joinError(error, `cannot join ${join.trustDomain}`, channel);
  } finally {
    channel.retire();
  }
}

function joinError(error: unknown, cannot: string, channel: ServerChannel): JoinError {
  if (error instanceof WireError) return new JoinError("bad_answer", `${cannot}: ${error.message}`, { cause: error });
  if (!(error instanceof RpcFailure)) throw error;
  if (isOtherServer(error, channel)) {
    return new JoinError("other_server", `${cannot}: ${connectionFault(error, channel)}`, { cause: error });
  }
  if (isAway(error)) {
    return new JoinError("unreachable", `cannot reach the server: ${connectionFault(error, channel)}`, {
      cause: error,
    });
  }
  const options = { cause: error, cure: error.cure };
  return new JoinError(refusals.has(error.code) ? "refused" : "bad_answer", `${cannot}: ${error.detail}`, options);
}

/** The server does not want this node; anything else is an answer that makes no sense here. */
const refusals: ReadonlySet<RpcCode> = new Set([
  "token_used",
  "token_expired",
  "token_unknown",
  "denied",
  "agent_alive",
  "unauthenticated",
]);
