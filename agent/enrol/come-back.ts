// When our certificate ended, or the server no longer knows it: back by the key of the last certificate, else by a join
// string if one was given.
import type { Clock } from "../../src/platform/clock.ts";
import type { Logger } from "../../src/platform/logger.ts";
import type { Random } from "../../src/platform/random.ts";
import { ContactError, isAway } from "../../src/sdk/server-channel.ts";
import type { JoinString } from "../../src/spiffe/join-string.ts";
import type { TrustStore } from "../trust.ts";
import { type Attested, type ContactLimits, firstContact } from "./first-contact.ts";
import { JoinError } from "./join-error.ts";
import type { OwnIdentity } from "./own-identity.ts";
import { recover } from "./recover.ts";

export interface ComeBackDeps {
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly own: OwnIdentity;
  readonly trust: TrustStore;
  readonly limits: ContactLimits;
  /** A join string that was given at start; used only when coming back by the key is refused. */
  readonly join: JoinString | undefined;
  /** How long after its end the last certificate may still bring us back; 0: never. */
  readonly graceSeconds: number;
}

/** What kept us away. With `refused` the same try may work later, but not soon; with `banned` look seldom. */
export type CameBack =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly why: string;
      readonly kept: "away" | "refused" | "banned";
      /** The join string was tried and is good for nothing any more. */
      readonly joinRefused: boolean;
    };

/** Tries once, at one address. Rejects only for what is wrong on this node, such as a full disk. */
export async function comeBack(deps: ComeBackDeps, address: string): Promise<CameBack> {
  const last = deps.own.held;
  if (last === undefined) return stay("this agent has not joined", "refused");
  const graceEnd = last.notAfter.getTime() + deps.graceSeconds * 1000;
  if (!deps.own.isAlive(deps.clock.now()) && deps.clock.now().getTime() > graceEnd) {
    if (deps.join !== undefined) return await rejoin(deps, deps.join);
    return stay("the agent's certificate ended longer ago than agent_grace: it needs a new join string", "refused");
  }
  const newKey = await deps.own.nextKey();
  const trust = (): { bundle: TrustStore["state"]["bundle"]; denyList: TrustStore["state"]["denyList"] } =>
    deps.trust.state;
  try {
    const attested = await recover({ ...deps, trust }, last, { address, newKey });
    await deps.trust.offer(attested.trust);
    const held = await install(deps, attested, newKey);
    deps.logger.info(
      { serialHex: held.serialHex, notAfter: held.notAfter, address },
      "came back by the key of the last certificate",
    );
    return { ok: true };
  } catch (error) {
    if (!(error instanceof ContactError)) throw error;
    const final = error.isOtherServer || !isAway(error.failure);
    const banned = error.failure.rule === "node_banned";
    if (!final) return stay(sentence(error), "away");
    if (banned || deps.join === undefined) return stay(sentence(error), banned ? "banned" : "refused");
    return await rejoin(deps, deps.join);
  }
}

async function rejoin(deps: ComeBackDeps, join: JoinString): Promise<CameBack> {
  const { own, trust } = deps;
  if (own.held?.spiffeId !== join.subject) {
    const why = `the join string is for ${join.subject}, this agent is another`;
    return { ...stay(why, "refused"), joinRefused: true };
  }
  try {
    const key = await own.nextKey();
    const attested = await firstContact({ ...deps, key }, join, join.addresses);
    // The string pins its roots, so what it leads to takes the place of what was held, whatever its sequence is.
    await trust.replace(attested.trust, join.addresses);
    await install(deps, attested, key);
    deps.logger.info({ address: attested.address }, "joined anew by the join string");
    return { ok: true };
  } catch (error) {
    if (!(error instanceof JoinError)) throw error;
    const kept = error.reason === "unreachable" ? "away" : "refused";
    return { ...stay(error.message, kept), joinRefused: error.reason === "refused" };
  }
}

function stay(why: string, kept: "away" | "refused" | "banned"): Extract<CameBack, { readonly ok: false }> {
  return { ok: false, why, kept, joinRefused: false };
}

function install(
  { own, trust, clock, random }: ComeBackDeps,
  { issued, sentAt }: Attested,
  key: Awaited<ReturnType<OwnIdentity["nextKey"]>>,
): ReturnType<OwnIdentity["install"]> {
  const id = own.held?.spiffeId;
  if (id === undefined) throw new Error("an agent without an identity cannot come back");
  const jitter = random.fraction() * 2 - 1;
  return own.install({ issued, key, id, trust: trust.state, sentAt, now: clock.now(), jitter });
}

function sentence(error: ContactError): string {
  const { cure } = error.failure;
  return cure === "" ? error.message : `${error.message} (on the server: ${cure})`;
}
