// Rotation of intermediates. Each step is one commit; a key is made before it and destroyed after it.
//
// | killed                                        | what a restart finds and does                                |
// | after the key was made, before the commit     | a key without an authority: made anew under the same name    |
// | after "prepared" was committed                | waits for its time and for acknowledgements, then activates  |
// | after "active" and "old" were committed       | the old one signs nothing; it retires when its last leaf ends |
// | after "retired" was committed, before the key | a key of a retired authority: destroyed at the next look     |
import { type Actor, audited, serverActor } from "../audit/audit.ts";
import type { KeyManager, KeyType } from "../keys/key-manager.ts";
import type { Clock } from "../platform/clock.ts";
import type { Random } from "../platform/random.ts";
import type { Announcements } from "../registry/announcements.ts";
import { CaError } from "../registry/ca-error.ts";
import { commit } from "../registry/committed.ts";
import { longestDeviceTtlSeconds } from "../registry/device-classes.ts";
import { longestTtlSeconds } from "../registry/entries.ts";
import { withoutDenyList } from "../registry/nodes.ts";
import { type AuthorityRecord, authorities, type Serves } from "../store/collections/authorities.ts";
import { crls } from "../store/collections/crls.ts";
import { trust } from "../store/collections/trust.ts";
import { type Op, putIfAbsent, remove, type Store, update } from "../store/store.ts";
import type { Signer } from "../x509/signature.ts";
import type { Authority } from "./authority.ts";
import { lastLeafEnds } from "./leaves.ts";
import { makeIntermediate, makeKey } from "./make-authority.ts";
import type { OneAtATime } from "./one-at-a-time.ts";
import { type NextStep, nextSteps, type RotationSettings } from "./schedule.ts";
import { signCrl } from "./sign-crl.ts";
import { currentIssuer, type TrustState, type TrustView } from "./trust-state.ts";

export interface RotationDeps {
  readonly store: Store;
  readonly keys: KeyManager;
  readonly clock: Clock;
  readonly random: Random;
  readonly announcements: Announcements;
  readonly state: TrustState;
  /** Makes authorities one after the other: a key stands under the name of the next authority before its commit. */
  readonly oneAtATime: OneAtATime;
  /** `intermediateTtlSeconds` 0: a successor lives as long as the one that it follows. */
  readonly settings: RotationSettings & { readonly intermediateTtlSeconds: { readonly [serves in Serves]: number } };
}

export interface PrepareWish {
  /** The root's key, when it is not on the server; held in memory for this call only. */
  readonly rootSigner?: Signer;
  readonly keyType?: KeyType;
  /** What it is for; by default services. The first one that serves devices follows nobody. */
  readonly serves?: Serves;
  /** Ops of the same commit, made anew for each attempt; they may throw. */
  readonly together?: () => Promise<readonly Op[]>;
  /** The command that helps when the root's key is not on the server. */
  readonly rootKeyCure?: string;
  /** When its activation is due. */
  readonly activateFrom: Date;
}

/**
 * Makes the successor of the active intermediate that serves the same, with its empty CRL, in the state prepared. One
 * that is prepared already is taken, and its activation brought forward. Throws CaError "denied" `root_key_elsewhere`, "conflict".
 */
export function prepareIntermediate(deps: RotationDeps, wish: PrepareWish, actor: Actor): Promise<Authority> {
  return deps.oneAtATime(() => prepareAlone(deps, wish, actor));
}

async function prepareAlone(deps: RotationDeps, wish: PrepareWish, actor: Actor): Promise<Authority> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const view = await deps.state.reload();
    const waiting = view.authorities.find(
      ({ record }) =>
        record.kind === "intermediate" && record.state === "prepared" && record.serves.includes(servedBy(wish)),
    );
    const ops = [
      ...(waiting === undefined
        ? await newIntermediate(deps, view, wish, actor)
        : bringForward(deps, waiting, wish, actor)),
      ...((await wish.together?.()) ?? []),
    ];
    const name = waiting?.record.name ?? nextName(view);
    if (ops.length > 0 && !(await commit(deps.store, ops)).done) continue;
    const made = (await deps.state.reload()).authorities.find(({ record }) => record.name === name);
    deps.announcements.trustChanged();
    if (made !== undefined) return made;
  }
  throw new CaError("conflict", "the authorities are being changed by somebody else", { retry: "later" });
}

function servedBy({ serves = "services" }: Pick<PrepareWish, "serves">): Serves {
  return serves;
}

function nextName(view: TrustView): string {
  return `int-${view.trust.value.nextIntermediate}`;
}

async function newIntermediate(
  deps: RotationDeps,
  view: TrustView,
  wish: PrepareWish,
  actor: Actor,
): Promise<readonly Op[]> {
  const root = view.authorities.findLast(({ record }) => record.kind === "root" && record.state === "active");
  const serves = servedBy(wish);
  const followed = currentIssuer(view, serves);
  const active = followed ?? currentIssuer(view, "services");
  if (root === undefined || active === undefined)
    throw new CaError("denied", "there is no active root and intermediate", { rule: "no_authority" });
  const rootSigner = wish.rootSigner ?? (await rootKeyHere(deps, root, wish));
  const now = deps.clock.now();
  const name = nextName(view);
  const keyType = wish.keyType ?? (active.record.keyType as KeyType);
  const key = await makeKey(deps.keys, name, keyType);
  const certificate = await makeIntermediate(deps, rootSigner, {
    trustDomain: view.trustDomain,
    name,
    lifeSeconds: deps.settings.intermediateTtlSeconds[serves] || lifeSecondsOf(active),
    issuer: root.certificate,
    spkiDer: key.spkiDer,
  });
  const crl = await signCrl({ name, certificate }, key, {
    number: 1n,
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + deps.settings.crlLifeSeconds.intermediate * 1000),
    revoked: [],
  });
  const deniedSequence = view.trust.value.deniedSequence + 1n;
  const record: AuthorityRecord = {
    name,
    kind: "intermediate",
    state: "prepared",
    parent: root.record.name,
    keyType,
    keyId: certificate.subjectKeyId ?? "",
    certificateDer: certificate.raw,
    serves: followed?.record.serves ?? [serves],
    keyHere: true,
    preparedAt: now.getTime(),
    announcedBy: deniedSequence,
    activateFrom: wish.activateFrom.getTime(),
  };
  return [
    update(
      trust,
      { ...view.trust.value, deniedSequence, nextIntermediate: view.trust.value.nextIntermediate + 1 },
      view.trust.revision,
    ),
    putIfAbsent(authorities, record),
    putIfAbsent(crls, crl),
    audited(deps, actor, {
      at: now,
      action: "authority.prepare",
      subject: name,
      before: { active: active.record.name },
      after: { name, state: record.state, keyId: record.keyId, parent: record.parent, keyType },
    }),
  ];
}

function lifeSecondsOf({ certificate, record }: Authority): number {
  return Math.round((certificate.notAfter.getTime() - record.preparedAt) / 1000);
}

function bringForward(deps: RotationDeps, waiting: Authority, wish: PrepareWish, actor: Actor): readonly Op[] {
  const { record, revision } = waiting;
  if ((record.activateFrom ?? Infinity) <= wish.activateFrom.getTime()) return [];
  const activateFrom = wish.activateFrom.getTime();
  return [
    update(authorities, { ...record, activateFrom }, revision),
    audited(deps, actor, {
      at: deps.clock.now(),
      action: "authority.bring_forward",
      subject: record.name,
      before: { activateFrom: record.activateFrom },
      after: { activateFrom },
    }),
  ];
}

async function rootKeyHere(deps: RotationDeps, root: Authority, wish: PrepareWish): Promise<Signer> {
  if (root.record.keyHere) return deps.keys.open(root.record.name);
  throw new CaError("denied", `the key of ${root.record.name} is not on this server`, {
    rule: "root_key_elsewhere",
    value: root.record.name,
    cure: wish.rootKeyCure ?? rotateByHand(servedBy(wish)),
  });
}

/** The command that makes a successor where the root's key is not on the server. */
export function rotateByHand(serves: Serves): string {
  return `signet authority rotate${serves === "devices" ? " --devices" : ""} --root-key FILE`;
}

/** Live agents that do not have the CRL of a prepared authority on disk. */
export async function waitingFor(
  deps: Pick<RotationDeps, "store" | "clock">,
  authority: Authority,
): Promise<readonly string[]> {
  const views = await withoutDenyList(deps.store, authority.record.announcedBy, deps.clock.now());
  return views.map((view) => view.node.agentId);
}

/** Makes a prepared intermediate the one that signs; those that served the same become old. Throws CaError "conflict". */
export async function activate(
  deps: RotationDeps,
  authority: Authority,
  unacknowledged: readonly string[],
  actor: Actor,
): Promise<void> {
  const view = await deps.state.reload();
  const now = deps.clock.now();
  const former = view.authorities.filter(
    ({ record }) =>
      record.name !== authority.record.name &&
      record.kind === "intermediate" &&
      record.state === "active" &&
      record.serves.some((each) => authority.record.serves.includes(each)),
  );
  const { activateFrom: _, ...record } = authority.record;
  const result = await commit(deps.store, [
    update(authorities, { ...record, state: "active", activatedAt: now.getTime() }, authority.revision),
    ...former.map((old) => update(authorities, { ...old.record, state: "old", oldAt: now.getTime() }, old.revision)),
    audited(deps, actor, {
      at: now,
      action: "authority.activate",
      subject: record.name,
      before: { active: former.map((old) => old.record.name) },
      after: { active: record.name, unacknowledged },
    }),
  ]);
  if (!result.done)
    throw new CaError("conflict", `${record.name} was changed by somebody else meanwhile`, { retry: "later" });
  await deps.state.reload();
  deps.announcements.trustChanged();
}

/** Retires an old intermediate whose last leaf has ended: its CRL goes with it, then its key is destroyed. */
async function retire(deps: RotationDeps, authority: Authority): Promise<void> {
  const view = await deps.state.reload();
  const now = deps.clock.now();
  const crl = view.crls.find(({ value }) => value.authority === authority.record.name);
  const result = await commit(deps.store, [
    update(
      authorities,
      { ...authority.record, state: "retired", keyHere: false, retiredAt: now.getTime() },
      authority.revision,
    ),
    update(trust, { ...view.trust.value, deniedSequence: view.trust.value.deniedSequence + 1n }, view.trust.revision),
    ...(crl === undefined ? [] : [remove(crls, crl.value.authority, crl.revision)]),
    audited(deps, serverActor, {
      at: now,
      action: "authority.retire",
      subject: authority.record.name,
      before: { state: authority.record.state },
      after: { state: "retired" },
    }),
  ]);
  if (!result.done) return; // Somebody changed it: the next look decides anew.
  await deps.keys.destroy(authority.record.name);
  await deps.state.reload();
  deps.announcements.trustChanged();
}

/** What a look at the schedule did, or found that it cannot do. */
export interface Looked {
  readonly done: readonly string[];
  /** For what a successor is due and only the root's key is missing. */
  readonly rootKeyWanted: readonly Serves[];
  /** Agents that a due activation still waits for. */
  readonly waitingFor: readonly string[];
}

/** Does what is due now, each step at most once. Steps that are not due stay for the next look. */
export async function rotateWhatIsDue(deps: RotationDeps): Promise<Looked> {
  const done: string[] = [];
  let rootKeyWanted: readonly Serves[] = [];
  let waiting: readonly string[] = [];
  for (const next of await stepsToCome(deps)) {
    const now = deps.clock.now();
    if (now < next.at) continue;
    switch (next.step) {
      case "prepare": {
        const root = deps.state
          .view()
          .authorities.findLast(({ record }) => record.kind === "root" && record.state === "active");
        if (root?.record.keyHere === false) {
          rootKeyWanted = [...rootKeyWanted, ...next.after.record.serves];
          break;
        }
        const [serves = "services"] = next.after.record.serves;
        const made = await prepareIntermediate(deps, { serves, activateFrom: next.activateAt }, serverActor);
        done.push(`${made.record.name} prepared`);
        break;
      }
      case "activate":
        waiting = await waitingFor(deps, next.authority);
        if (waiting.length > 0 && now < next.waitUntil) break;
        await activate(deps, next.authority, waiting, serverActor);
        done.push(`${next.authority.record.name} active`);
        break;
      case "retire":
        await retire(deps, next.authority);
        done.push(`${next.authority.record.name} retired`);
        break;
    }
  }
  return { done, rootKeyWanted, waitingFor: waiting };
}

/** All steps to come with the time at which each is due. */
export async function stepsToCome(
  deps: Pick<RotationDeps, "store" | "state" | "settings">,
): Promise<readonly NextStep[]> {
  const view = deps.state.view();
  const lastLeaf = new Map<string, Date>();
  for (const { record } of view.authorities) {
    if (record.state !== "old") continue;
    const ends = await lastLeafEnds(deps.store, record.name);
    // A certificate is valid to the last moment of its notAfter, and the second after it ends.
    if (ends !== undefined) lastLeaf.set(record.name, new Date(ends.getTime() + 1000));
  }
  const known = deps.settings.longestTtlMs;
  const longestTtlMs = {
    services: Math.max(known.services, (await longestTtlSeconds(deps.store)) * 1000),
    devices: Math.max(known.devices, (await longestDeviceTtlSeconds(deps.store)) * 1000),
  };
  return nextSteps(view, { ...deps.settings, longestTtlMs }, lastLeaf);
}

/** Destroys keys of retired authorities that a crash, or a commit in doubt, left behind. */
export async function destroyRetiredKeys(deps: Pick<RotationDeps, "keys" | "state">): Promise<void> {
  const { authorities: all } = await deps.state.reload();
  const names = new Set(await deps.keys.list());
  for (const { record } of all) {
    if (record.state === "retired" && names.has(record.name)) await deps.keys.destroy(record.name);
  }
}
