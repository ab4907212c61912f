import { join as joinPath } from "node:path";
import type { Clock } from "../../src/platform/clock.ts";
import type { Random } from "../../src/platform/random.ts";
import { WireError } from "../../src/sdk/from-wire.ts";
import type { JoinString } from "../../src/spiffe/join-string.ts";
import { saveTrust, type TrustState, type WriteDurably } from "../trust.ts";
import { type ContactLimits, firstContact } from "./first-contact.ts";
import { JoinError } from "./join-error.ts";
import type { OwnIdentity } from "./own-identity.ts";

export interface JoinDeps {
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "fraction">;
  readonly own: OwnIdentity;
  /** The data directory. */
  readonly directory: string;
  readonly write: WriteDurably;
  readonly limits: ContactLimits;
  /** `server:` of the configuration; empty: the addresses of the join string. */
  readonly servers: readonly string[];
}

export interface Joined {
  readonly trust: TrustState;
  /** host:port that answered. */
  readonly address: string;
}

/**
 * Joins for the first time: our key is durable before the server is asked, trust before the identity, and the identity
 * before this resolves. Throws JoinError.
 */
export async function joinTrustDomain(deps: JoinDeps, join: JoinString): Promise<Joined> {
  const { clock, random, own, directory, write, limits, servers } = deps;
  const { trustDomain, subject, addresses: joinAddresses } = join;
  const key = await own.nextKey();
  const attested = await firstContact({ clock, key, limits }, join, servers.length > 0 ? servers : joinAddresses);
  const { bundle, denyList, crlsDer, addresses: pushedAddresses } = attested.trust;
  const trust: TrustState = { trustDomain, bundle, denyList, crlsDer, pushedAddresses, joinAddresses };
  await saveTrust({ path: joinPath(directory, "trust.json"), write }, trust);
  try {
    const { issued, sentAt } = attested;
    const jitter = random.fraction() * 2 - 1;
    await own.install({ issued, key, id: subject, trust, sentAt, now: clock.now(), jitter });
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new JoinError("bad_answer", `cannot join ${trustDomain}: ${error.message}`, { cause: error });
  }
  return { trust, address: attested.address };
}
