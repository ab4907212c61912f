// What the server sends, read into our own types, by agents and devices. Everything is narrowed here; what does not fit is refused.
import type * as wireBundle from "../../proto/gen/signet/v1/bundle.ts";
import type * as wire from "../../proto/gen/signet/v1/issuance.ts";
import { bundleJson, parseBundle, type TrustBundle } from "../spiffe/bundle.ts";
import { type DenyList, denyListJson, parseDenyList } from "../spiffe/deny.ts";
import { SpiffeError, type TrustDomain } from "../spiffe/id.ts";
import { parseCertificate } from "../x509/certificate.ts";
import { X509Error } from "../x509/errors.ts";
import type { IssuedCertificate } from "./judge-issued.ts";

/** An answer that is not what the protocol says. The message is for people. */
export class WireError extends Error {
  override readonly name = "WireError";
}

const mostRoots = 100;

/** Reads a bundle of our own trust domain. Throws WireError. */
export function bundleFromWire(bundle: wireBundle.Bundle | undefined, trustDomain: TrustDomain): TrustBundle {
  if (bundle === undefined) throw new WireError("the server sent no bundle");
  if (bundle.trustDomain !== trustDomain) throw new WireError("the server's bundle is of another trust domain");
  if (bundle.rootsDer.length > mostRoots) {
    throw new WireError(`the server's bundle has ${bundle.rootsDer.length} roots, at most ${mostRoots} are taken`);
  }
  try {
    const roots = bundle.rootsDer.map((der) => parseCertificate(plain(der)));
    const { sequence, refreshHintSeconds } = bundle;
    // It is kept as this document: what the next start could not read is not taken now.
    return parseBundle(bundleJson({ trustDomain, sequence, refreshHintSeconds, roots }), trustDomain);
  } catch (cause) {
    if (cause instanceof SpiffeError) throw new WireError(`from the server: ${cause.message}`, { cause });
    if (cause instanceof X509Error) throw new WireError(`a root of the server's bundle: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Reads a deny list with its CRLs. Throws WireError. */
export function denyListFromWire(list: wire.DenyList | undefined): {
  readonly denyList: DenyList;
  readonly crlsDer: readonly Uint8Array[];
} {
  if (list === undefined) throw new WireError("the server sent no deny list");
  try {
    // As with the bundle: what the next start could not read is not taken now.
    return { denyList: parseDenyList(denyListJson(list)), crlsDer: list.crlsDer.map(plain) };
  } catch (cause) {
    if (cause instanceof SpiffeError) throw new WireError(`from the server: ${cause.message}`, { cause });
    throw cause;
  }
}

/** Reads an issued certificate; it is judged elsewhere. Throws WireError. */
export function issuedFromWire(certificate: wire.Certificate | undefined): IssuedCertificate {
  if (certificate === undefined) throw new WireError("the server sent no certificate");
  const { notBefore, notAfter } = certificate;
  if (notBefore === undefined || notAfter === undefined) throw new WireError("the server's certificate has no times");
  return {
    chainDer: certificate.chainDer.map(plain),
    serialHex: certificate.serialHex,
    spiffeId: certificate.spiffeId,
    notBefore,
    notAfter,
    ttlSeconds: certificate.ttlSeconds,
    authority: /^[a-z0-9-]{1,64}$/.test(certificate.authority) ? certificate.authority : "",
    limitedByAuthority: certificate.limitedBy === "authority",
    entryId: certificate.entryId.slice(0, 64),
    entryRevision: certificate.entryRevision,
    serverTime: certificate.serverTime,
  };
}

/** Addresses that can be dialled; others are dropped. */
export function addressesFromWire(addresses: readonly string[]): readonly string[] {
  return addresses
    .filter((address) => address.length <= 255 && /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/.test(address))
    .slice(0, 16);
}

/** ts-proto hands out Buffers; inner code has plain octets. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
