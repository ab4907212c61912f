// Coming back: an agent whose certificate ended proves itself by the key of that certificate, and gets one for a new key.
import { createHash } from "node:crypto";
import type { Clock } from "../../src/platform/clock.ts";
import type { Random } from "../../src/platform/random.ts";
import { AttestStream, resultOf } from "../../src/sdk/attest-stream.ts";
import {
  addressesFromWire,
  bundleFromWire,
  denyListFromWire,
  issuedFromWire,
  WireError,
} from "../../src/sdk/from-wire.ts";
import { type NodeKey, openNodeKey } from "../../src/sdk/node-key.ts";
import { RpcFailure } from "../../src/sdk/rpc.ts";
import { ContactError, ServerChannel, type ServerTrust } from "../../src/sdk/server-channel.ts";
import { trustDomainOf } from "../../src/spiffe/id.ts";
import { recoverTranscript } from "../../src/spiffe/recover-proof.ts";
import { buildCsr } from "../../src/x509/csr.ts";
import type { HeldIdentity } from "../identities/held-identity.ts";
import { wallOf } from "../session.ts";
import type { Attested, ContactLimits } from "./first-contact.ts";

export interface RecoverDeps {
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
  readonly trust: () => ServerTrust;
  readonly limits: Pick<ContactLimits, "attestDeadlineMs" | "messageBytes">;
}

/**
 * Asks for a certificate for `newKey`, which is durable already. The server is verified by the roots that are held; our
 * old certificate is not shown to it, since its record counts and not its chain. Throws ContactError and WireError.
 */
export async function recover(
  deps: RecoverDeps,
  last: HeldIdentity,
  { address, newKey }: { readonly address: string; readonly newKey: NodeKey },
): Promise<Attested> {
  const channel = recoverChannel(deps, address);
  const stream = new AttestStream(channel, { deadlineMs: deps.limits.attestDeadlineMs, now: () => deps.clock.now() });
  try {
    const trustDomain = trustDomainOf(last.spiffeId);
    const csrDer = await buildCsr(newKey);
    const clientNonce = deps.random.bytes(32);
    const start = { spiffeId: last.spiffeId, serialHex: last.serialHex, clientNonce };
    const challenge = await stream.step({ $case: "recoverStart", value: start });
    if (challenge.$case !== "challenge") throw new WireError("the server sent no challenge");
    const { serverNonce } = challenge.value;
    if (serverNonce.length !== 32)
      throw new WireError(`the server's nonce has ${serverNonce.length} octets, 32 are due`);
    const transcript = recoverTranscript({
      trustDomain,
      id: last.spiffeId,
      serialHex: last.serialHex,
      clientNonce,
      serverNonce: new Uint8Array(serverNonce),
      csrSha256: new Uint8Array(createHash("sha256").update(csrDer).digest()),
    });
    const signature = await openNodeKey(last.keyDer).sign(transcript);
    const sentAt = deps.clock.now();
    const result = resultOf(await stream.step({ $case: "recoverProof", value: { csrDer, signature } }));
    return {
      issued: issuedFromWire(result.certificate),
      trust: {
        bundle: bundleFromWire(result.bundle, trustDomain),
        ...denyListFromWire(result.denyList),
        addresses: addressesFromWire(result.addresses),
      },
      address,
      sentAt,
    };
  } catch (error) {
    throw error instanceof RpcFailure ? new ContactError(error, channel) : error;
  } finally {
    stream.close();
    channel.retire();
  }
}

function recoverChannel(deps: RecoverDeps, address: string): ServerChannel {
  return new ServerChannel({
    address,
    trust: deps.trust,
    identity: undefined,
    now: () => deps.clock.now(),
    otherNow: () => wallOf(deps.clock),
    maxMessageBytes: deps.limits.messageBytes,
  });
}
