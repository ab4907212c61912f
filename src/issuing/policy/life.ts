import { backdateMs } from "../../authority/backdate.ts";
import type { Facts } from "./facts.ts";

/** What a leaf would be granted: its life is counted from `now`, and never longer than its issuer's. */
export interface Life {
  readonly wantedSeconds: number;
  readonly grantedSeconds: number;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** The life of a leaf by these facts; undefined without an issuer. Certificates have whole seconds (RFC 5280 4.1.2.5). */
export function lifeOf(facts: Pick<Facts, "now" | "issuer" | "ttlSeconds" | "entry" | "profile">): Life | undefined {
  const { issuer } = facts;
  if (issuer === undefined) return undefined;
  const wantedSeconds = facts.ttlSeconds ?? facts.entry?.value.ttlSeconds ?? facts.profile.ttlSeconds;
  // Rounded so that nobody gets less than was granted: up from now on, down for what lies behind.
  const fromSeconds = Math.ceil(facts.now.getTime() / 1000);
  const backdatedSeconds = Math.floor((facts.now.getTime() - backdateMs) / 1000);
  const issuerStart = Math.ceil(issuer.certificate.notBefore.getTime() / 1000);
  const issuerEnd = Math.floor(issuer.certificate.notAfter.getTime() / 1000);
  const grantedSeconds = Math.max(0, Math.min(wantedSeconds, issuerEnd - fromSeconds));
  return {
    wantedSeconds,
    grantedSeconds,
    notBefore: new Date(Math.max(backdatedSeconds, issuerStart) * 1000),
    notAfter: new Date((fromSeconds + grantedSeconds) * 1000),
  };
}
