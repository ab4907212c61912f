import { SpiffeError, type SpiffeId, type TrustDomain, trustDomainOf } from "./id.ts";

/** Says whether a peer with this ID, already verified, may go on. */
export type Authorizer = (id: SpiffeId) => boolean;

/** Lets in every ID that has been verified. */
export function any(): Authorizer {
  return () => true;
}

/** Lets in one ID. */
export function exactly(allowed: SpiffeId): Authorizer {
  return (id) => id === allowed;
}

/** Lets in the IDs of a list; nobody when it is empty. */
export function oneOf(allowed: Iterable<SpiffeId>): Authorizer {
  const set = new Set(allowed);
  return (id) => set.has(id);
}

/** Lets in all IDs of a trust domain. */
export function memberOf(trustDomain: TrustDomain): Authorizer {
  return (id) => trustDomainOf(id) === trustDomain;
}

/**
 * Lets in the IDs below a prefix: `under("spiffe://prod.example/ns/web")` takes `/ns/web/a`, but neither `/ns/web`
 * itself nor `/ns/web2/a`. Throws SpiffeError "bad_id" when the prefix has no path: that is memberOf().
 */
export function under(prefix: SpiffeId): Authorizer {
  if (prefix === `spiffe://${trustDomainOf(prefix)}`) {
    throw new SpiffeError("bad_id", "the prefix needs a path; for a whole trust domain use memberOf()");
  }
  const start = `${prefix}/`;
  return (id) => id.startsWith(start);
}
