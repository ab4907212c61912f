// First contact with a server that nothing is known of but digests of its roots: the bundle is asked of whoever answers,
// without anything secret, and only the roots that are pinned are kept.
import { createHash } from "node:crypto";
import type { Bundle } from "../../proto/gen/signet/v1/bundle.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";
import { parseTrustDomain, SpiffeError, type TrustDomain } from "../spiffe/id.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { sameOctets } from "../x509/der.ts";
import { X509Error } from "../x509/errors.ts";
import type { ServerChannel } from "./server-channel.ts";

export interface Pins {
  /** Undefined: that which the pinned roots turn out to be of; the second connection proves it. */
  readonly trustDomain: TrustDomain | undefined;
  /** SHA-256 of the DER of each root. */
  readonly rootPins: readonly Uint8Array[];
}

/**
 * Asks over a channel that takes any server, and keeps what is pinned: undefined when no root is. The bundle serves to
 * verify a second connection, and for nothing else. Throws RpcFailure.
 */
export async function firstBundle(
  channel: ServerChannel,
  pins: Pins,
  options: { readonly deadlineMs: number },
): Promise<TrustBundle | undefined> {
  const method = channel.bundles.getBundle.bind(channel.bundles);
  const { bundle } = await channel.call(method, {}, options);
  return pinnedBundle(pins, bundle);
}

/** The offered roots whose SHA-256 is pinned; undefined when none is. Only these are ever parsed. */
function pinnedBundle(pins: Pins, offered: Bundle | undefined): TrustBundle | undefined {
  if (offered === undefined) return undefined;
  const trustDomain = pins.trustDomain ?? trustDomainOf(offered.trustDomain);
  if (trustDomain === undefined || offered.trustDomain !== trustDomain) return undefined;
  const pinned = offered.rootsDer.filter((der) => {
    const digest = createHash("sha256").update(der).digest();
    return pins.rootPins.some((pin) => sameOctets(pin, digest));
  });
  const roots = pinned.map(rootOf).filter((root) => root !== undefined);
  if (roots.length === 0) return undefined;
  return { trustDomain, sequence: 0n, refreshHintSeconds: 300, roots };
}

function trustDomainOf(text: string): TrustDomain | undefined {
  try {
    return parseTrustDomain(text);
  } catch (error) {
    if (error instanceof SpiffeError) return undefined;
    throw error;
  }
}

function rootOf(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(new Uint8Array(der));
  } catch (error) {
    if (error instanceof X509Error) return undefined;
    throw error;
  }
}
