// What the server issued, judged before it is used: nothing is taken on its word.
import type { TrustBundle } from "../spiffe/bundle.ts";
import type { DenyList } from "../spiffe/deny.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { judgeSvid } from "../spiffe/svid.ts";
import type { Certificate } from "../x509/certificate.ts";
import { sameOctets } from "../x509/der.ts";

export interface IssuedCertificate {
  readonly chainDer: readonly Uint8Array[];
  readonly serialHex: string;
  readonly spiffeId: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly ttlSeconds: number;
  readonly authority: string;
  readonly limitedByAuthority: boolean;
  readonly entryId: string;
  readonly entryRevision: bigint;
  readonly serverTime: Date | undefined;
}

export interface Expected {
  readonly spiffeId: SpiffeId;
  /** Our own key, SubjectPublicKeyInfo in DER. */
  readonly spkiDer: Uint8Array;
  /** Names that the certificate must have, no more and no less; undefined: not looked at, the entry may be newer. */
  readonly names: { readonly dnsNames: readonly string[]; readonly ipAddresses: readonly string[] } | undefined;
  /** What the certificate must be good for. */
  readonly purposes: readonly ("server" | "client")[];
  readonly bundle: TrustBundle;
  readonly denied: DenyList;
  readonly at: Date;
}

export type Judgement =
  | { readonly ok: true; readonly leaf: Certificate }
  /** `reason` is one lower-case sentence for people. */
  | { readonly ok: false; readonly reason: string };

/** Whether an issued certificate is what was asked for: chain, key, names, times. */
export function judgeIssued(issued: IssuedCertificate, expected: Expected): Judgement {
  let leaf: Certificate | undefined;
  for (const purpose of expected.purposes) {
    const verdict = judgeSvid(issued.chainDer, {
      bundle: expected.bundle,
      at: expected.at,
      purpose,
      denied: expected.denied,
    });
    if (!verdict.ok) return refuse(verdict.detail);
    if (verdict.id !== expected.spiffeId) return refuse("it is for another identity than was asked for");
    leaf = verdict.leaf;
  }
  if (leaf === undefined) return refuse("there is nothing it must be good for");
  if (!sameOctets(leaf.publicKey.der, expected.spkiDer)) return refuse("it is for another key than ours");
  if (issued.spiffeId !== expected.spiffeId) return refuse("the answer names another identity");
  if (leaf.serialHex !== issued.serialHex) return refuse("its serial is not the one that the answer names");
  if (leaf.notAfter.getTime() !== issued.notAfter.getTime())
    return refuse("it ends at another time than the answer says");
  if (issued.ttlSeconds < 1) return refuse("the answer grants no lifetime");
  if (!fitsLife(issued, leaf, expected.at))
    return refuse("the answer grants another lifetime than the certificate has");
  if (expected.names !== undefined && !sameNames(leaf, expected.names)) {
    return refuse("its names are not those of the entry");
  }
  return { ok: true, leaf };
}

/** An answer that was lost is given once more, maybe much later: then what is left is the lifetime. */
export function countedFromNow(issued: IssuedCertificate, receivedAt: Date): IssuedCertificate {
  const left = leftSeconds(issued, receivedAt);
  if (issued.ttlSeconds <= left + lifeSlackSeconds(left)) return issued;
  return { ...issued, ttlSeconds: Math.max(0, Math.floor(left)) };
}

/** Seconds that are left of a certificate when it is answered, by the server's clock where it says its time. */
function leftSeconds({ notAfter, serverTime }: IssuedCertificate, receivedAt: Date): number {
  return (notAfter.getTime() - (serverTime ?? receivedAt).getTime()) / 1000;
}

/** How far the granted lifetime may be from what is left: so little that renewal comes before the end. */
function lifeSlackSeconds(left: number): number {
  return Math.min(120, left / 2);
}

/** Renewal is counted from the granted lifetime, so it must be that of the certificate, whatever time the server says. */
function fitsLife(issued: IssuedCertificate, leaf: Certificate, receivedAt: Date): boolean {
  const left = leftSeconds(issued, receivedAt);
  const signed = (leaf.notAfter.getTime() - leaf.notBefore.getTime()) / 1000;
  return Math.abs(left - issued.ttlSeconds) <= lifeSlackSeconds(left) && issued.ttlSeconds <= signed + 120;
}

function sameNames(leaf: Certificate, names: NonNullable<Expected["names"]>): boolean {
  const of = (kind: string): readonly string[] =>
    leaf.names.filter((name) => name.kind === kind).map((name) => name.value);
  const others = leaf.names.filter((name) => name.kind !== "uri" && name.kind !== "dns" && name.kind !== "ip");
  return others.length === 0 && sameSet(of("dns"), names.dnsNames) && sameSet(of("ip"), names.ipAddresses);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  const wanted = new Set(b);
  return new Set(a).size === wanted.size && a.every((name) => wanted.has(name));
}

function refuse(why: string): Judgement {
  return { ok: false, reason: `the certificate that the server issued is not used: ${why}` };
}
