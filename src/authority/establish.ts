// The first authorities of a trust domain.
import { type Actor, audited } from "../audit/audit.ts";
import type { KeyManager, KeyType } from "../keys/key-manager.ts";
import { CaError } from "../registry/ca-error.ts";
import { commit } from "../registry/committed.ts";
import type { TrustDomain } from "../spiffe/id.ts";
import { type AuthorityRecord, authorities } from "../store/collections/authorities.ts";
import { crls } from "../store/collections/crls.ts";
import { trust } from "../store/collections/trust.ts";
import { putIfAbsent, type Store } from "../store/store.ts";
import type { Certificate } from "../x509/certificate.ts";
import { type MakeDeps, makeIntermediate, makeKey, makeRoot } from "./make-authority.ts";
import { firstCrlLifeSeconds, signCrl } from "./sign-crl.ts";

export interface EstablishDeps extends MakeDeps {
  readonly store: Store;
  /** Where the intermediate's key stays. */
  readonly keys: KeyManager;
  /** Where the root's key stays: the same, or one that keeps it outside the server. */
  readonly rootKeys: KeyManager;
}

export interface EstablishWish {
  readonly trustDomain: TrustDomain;
  readonly keyType: KeyType;
  readonly rootTtlSeconds: number;
  readonly intermediateTtlSeconds: number;
}

/**
 * Makes root-1 and int-1 with their empty CRLs and commits all of it at once. Throws CaError "exists" when the store has
 * a trust domain.
 */
export async function establish(
  deps: EstablishDeps,
  wish: EstablishWish,
  actor: Actor,
): Promise<{ readonly root: Certificate; readonly intermediate: Certificate }> {
  const now = deps.clock.now();
  const rootKey = await makeKey(deps.rootKeys, "root-1", wish.keyType);
  const root = await makeRoot(deps, rootKey, {
    trustDomain: wish.trustDomain,
    name: "root-1",
    lifeSeconds: wish.rootTtlSeconds,
  });
  const key = await makeKey(deps.keys, "int-1", wish.keyType);
  const intermediate = await makeIntermediate(deps, rootKey, {
    trustDomain: wish.trustDomain,
    name: "int-1",
    lifeSeconds: wish.intermediateTtlSeconds,
    issuer: root,
    spkiDer: key.spkiDer,
  });
  const content = (kind: "root" | "intermediate") => ({
    number: 1n,
    thisUpdate: now,
    nextUpdate: new Date(Math.min(now.getTime() + firstCrlLifeSeconds[kind] * 1000, root.notAfter.getTime())),
    revoked: [],
  });
  const records = [
    record(root, "root-1", deps.rootKeys === deps.keys, wish.keyType, now),
    record(intermediate, "int-1", true, wish.keyType, now),
  ];
  const result = await commit(deps.store, [
    putIfAbsent(trust, {
      trustDomain: wish.trustDomain,
      createdAt: now.getTime(),
      bundleSequence: 1n,
      deniedSequence: 1n,
      nextRoot: 2,
      nextIntermediate: 2,
    }),
    ...records.map((each) => putIfAbsent(authorities, each)),
    putIfAbsent(crls, await signCrl({ name: "root-1", certificate: root }, rootKey, content("root"))),
    putIfAbsent(crls, await signCrl({ name: "int-1", certificate: intermediate }, key, content("intermediate"))),
    ...records.map((each) =>
      audited(deps, actor, { at: now, action: "authority.create", subject: each.name, after: { keyId: each.keyId } }),
    ),
  ]);
  if (!result.done) throw new CaError("exists", "this store has a trust domain already");
  return { root, intermediate };
}

function record(
  certificate: Certificate,
  name: string,
  keyHere: boolean,
  keyType: KeyType,
  now: Date,
): AuthorityRecord {
  const kind = name.startsWith("root-") ? "root" : "intermediate";
  return {
    name,
    kind,
    state: "active",
    parent: "root-1",
    keyType,
    keyId: certificate.subjectKeyId ?? "",
    certificateDer: certificate.raw,
    serves: kind === "root" ? [] : ["services"],
    keyHere,
    preparedAt: now.getTime(),
    activatedAt: now.getTime(),
    announcedBy: 1n,
  };
}
