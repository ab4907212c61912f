// What the trust domain is right now, read from the store as a whole and kept until something changes.

import { CaError } from "../registry/ca-error.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";
import type { TrustDomain } from "../spiffe/id.ts";
import { parseTrustDomain } from "../spiffe/id.ts";
import { authorities, type Serves } from "../store/collections/authorities.ts";
import { type CrlRecord, crls } from "../store/collections/crls.ts";
import { type TrustRecord, trust, trustKey } from "../store/collections/trust.ts";
import type { Store, Stored } from "../store/store.ts";
import { type Authority, authorityOf, isCurrent } from "./authority.ts";

/** One consistent reading. */
export interface TrustView {
  readonly trust: Stored<TrustRecord>;
  readonly trustDomain: TrustDomain;
  /** All, retired ones too, roots first, each in the order of their numbers. */
  readonly authorities: readonly Authority[];
  /** The newest CRL of each current authority. */
  readonly crls: readonly Stored<CrlRecord>[];
  readonly bundle: TrustBundle;
}

export interface TrustState {
  /** The last reading. */
  view(): TrustView;
  /** Reads anew; what was read before stays whole for who holds it. */
  reload(): Promise<TrustView>;
}

/** Reads the trust domain. Throws CaError "not_found" when there is none in this store. */
export async function openTrustState(
  store: Pick<Store, "get" | "scan">,
  options: { readonly refreshHintSeconds: number },
): Promise<TrustState> {
  let current = await read(store, options.refreshHintSeconds);
  let reading: Promise<unknown> = Promise.resolve();
  let next: Promise<TrustView> | undefined;
  return {
    view: () => current,
    reload: () => {
      // A reading that began before this call may have missed what the caller knows of, so another one follows it; all
      // who call meanwhile share that one. One at a time: an older reading never takes the place of a newer one.
      next ??= reading.then(async () => {
        next = undefined;
        const begun = read(store, options.refreshHintSeconds);
        reading = begun.catch(() => undefined);
        current = await begun;
        return current;
      });
      return next;
    },
  };
}

async function read(store: Pick<Store, "get" | "scan">, refreshHintSeconds: number): Promise<TrustView> {
  const held = await store.get(trust, trustKey);
  if (held === undefined)
    throw new CaError("not_found", "no trust domain in this store", { cure: "signet init --trust-domain NAME" });
  const trustDomain = parseTrustDomain(held.value.trustDomain);
  const all = (await Array.fromAsync(store.scan(authorities, "key"))).map(authorityOf).sort(byKindAndNumber);
  const lists: Stored<CrlRecord>[] = [];
  for (const authority of all.filter(isCurrent)) {
    const crl = await store.get(crls, authority.record.name);
    if (crl !== undefined) lists.push(crl);
  }
  return {
    trust: held,
    trustDomain,
    authorities: all,
    crls: lists,
    bundle: {
      trustDomain,
      sequence: held.value.bundleSequence,
      refreshHintSeconds,
      roots: all
        .filter((authority) => authority.record.kind === "root" && isCurrent(authority))
        .map((root) => root.certificate),
    },
  };
}

/** The authority that signs what these profiles need now: the active one that serves them, newest first. */
export function currentIssuer(view: TrustView, serves: Serves): Authority | undefined {
  return view.authorities.findLast(
    ({ record }) => record.kind === "intermediate" && record.state === "active" && record.serves.includes(serves),
  );
}

export function findAuthority(view: TrustView, name: string): Authority {
  const found = view.authorities.find(({ record }) => record.name === name);
  if (found !== undefined) return found;
  throw new CaError("not_found", `no authority ${name.slice(0, 64)}`, { cure: "signet authority list" });
}

/** The number in root-1 or int-2. */
function authorityNumber(name: string): number {
  return Number(name.slice(name.lastIndexOf("-") + 1));
}

function byKindAndNumber(one: Authority, other: Authority): number {
  if (one.record.kind !== other.record.kind) return one.record.kind === "root" ? -1 : 1;
  return authorityNumber(one.record.name) - authorityNumber(other.record.name);
}
