// One BatchIssue: each item with an answer of its own, whatever became of the call.

import { issuedFromWire, WireError } from "../src/sdk/from-wire.ts";
import { failureOfDetail, RpcFailure } from "../src/sdk/rpc.ts";
import { isAway } from "../src/sdk/server-channel.ts";
import type { IssueAnswer, IssueItem } from "./identities/rotator.ts";
import type { Session } from "./session.ts";

/** Asks the server for identities; answers in the order asked. Never rejects for what the server or the network did. */
export async function issueBatch(
  session: Session,
  items: readonly IssueItem[],
  options: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<readonly IssueAnswer[]> {
  const all = (answer: IssueAnswer): readonly IssueAnswer[] => items.map(() => answer);
  const channel = session.live;
  if (channel === undefined) return all({ ok: false, detail: "the server is away", away: true, retryAfterSeconds: 0 });
  try {
    const method = channel.issuance.batchIssue.bind(channel.issuance);
    const request = { items: items.map(({ spiffeId, csrDer }) => ({ spiffeId, csrDer, ttlSeconds: 0 })) };
    const { results } = await channel.call(method, request, options);
    session.heard();
    return items.map((_, i): IssueAnswer => {
      const result = results[i]?.result;
      if (result === undefined)
        return { ok: false, detail: "the server did not answer for it", away: false, retryAfterSeconds: 0 };
      if (result.$case === "error") return refusal(failureOfDetail(result.value));
      try {
        return { ok: true, issued: issuedFromWire(result.value) };
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        return { ok: false, detail: error.message, away: false, retryAfterSeconds: 0 };
      }
    });
  } catch (error) {
    if (error instanceof RpcFailure) return all(refusal(error));
    throw error;
  }
}

function refusal(failure: RpcFailure): IssueAnswer {
  const rule = failure.rule === "" ? "" : `refused by ${failure.rule}: `;
  return {
    ok: false,
    detail: `${rule}${failure.detail}`,
    away: isAway(failure),
    retryAfterSeconds: failure.retryAfterSeconds,
  };
}
