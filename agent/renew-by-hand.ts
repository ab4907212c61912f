import type { RenewedIdentity } from "../proto/gen/signet/v1/node.ts";
import type { SpiffeId } from "../src/spiffe/id.ts";
import type { IdentityCache } from "./identities/cache.ts";
import type { Rotator } from "./identities/rotator.ts";
import type { IdentityWriter } from "./identities/writer.ts";
import type { Session } from "./session.ts";

/** `signet agent renew`: answers when each identity is on disk, or was tried once in vain. */
export async function renewByHand(
  deps: {
    readonly cache: IdentityCache;
    readonly rotator: Rotator;
    readonly writer: IdentityWriter;
    readonly session: Session;
  },
  ids: readonly SpiffeId[],
  signal: AbortSignal,
): Promise<readonly RenewedIdentity[]> {
  const { cache, rotator, writer, session } = deps;
  const before = new Map(ids.map((id) => [id, cache.get(id)?.held?.serialHex]));
  const away = session.live === undefined ? `the server is away: ${session.contact.lastError}` : undefined;
  if (away === undefined) {
    await rotator.renewNow(ids, signal);
    await writer.settled();
  }
  return ids.map((spiffeId): RenewedIdentity => {
    const slot = cache.get(spiffeId);
    const held = slot?.held;
    const fresh = held !== undefined && held.serialHex !== before.get(spiffeId);
    const shown = slot?.directory === undefined || slot.disk.shown?.serialHex === held?.serialHex;
    const renewed = fresh && shown && slot?.disk.state !== "write_failed";
    const why = away ?? (fresh ? slot?.disk.lastError : slot?.renewal.lastError) ?? "";
    return {
      spiffeId,
      renewed,
      serialHex: held?.serialHex ?? "",
      notAfter: held?.notAfter,
      error: renewed ? "" : why === "" ? "it was not renewed" : why,
    };
  });
}
