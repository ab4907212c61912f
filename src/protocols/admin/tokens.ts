import type { AdminServiceServer, Token } from "../../../proto/gen/signet/v1/admin.ts";
import { TokenState as WireState } from "../../../proto/gen/signet/v1/admin.ts";
import { isCurrent } from "../../authority/authority.ts";
import { CaError } from "../../registry/ca-error.ts";
import { createToken, revokeToken, sha256Hex, type TokenState, tokenState } from "../../registry/tokens.ts";
import { type TokenRecord, tokens } from "../../store/collections/tokens.ts";
import { unary } from "../grpc-call.ts";
import { grpcTable } from "../grpc-table.ts";
import { actorOf } from "./actor.ts";
import type { AdminDeps } from "./handler.ts";
import { agentIdOf } from "./ids.ts";
import { continued, page, pageSize } from "./paging.ts";

const wireStates: { readonly [state in TokenState]: WireState } = {
  open: WireState.TOKEN_STATE_OPEN,
  used: WireState.TOKEN_STATE_USED,
  expired: WireState.TOKEN_STATE_EXPIRED,
  revoked: WireState.TOKEN_STATE_REVOKED,
};

const defaultTtlSeconds = 600;

export function tokenMethods(deps: AdminDeps): Pick<AdminServiceServer, "createToken" | "listTokens" | "revokeToken"> {
  const toWire = (token: TokenRecord): Token => tokenToWire(token, deps.clock.now());
  return {
    createToken: unary(deps, grpcTable, async (request, call) => {
      const addresses = request.addresses.length > 0 ? request.addresses.map(checkAddress) : [...deps.addresses()];
      for (const address of addresses) refuseWildcard(address);
      if (addresses.length === 0) {
        throw new CaError(
          "bad_request",
          "the server listens on every address of its host, and which one nodes dial is not set",
          {
            cure: `signet token create --agent ${request.agent} --address HOST:PORT, or advertise in server.yaml`,
          },
        );
      }
      const roots = deps.state.view().authorities.filter((each) => each.record.kind === "root" && isCurrent(each));
      const made = await createToken(
        deps,
        {
          subject: agentIdOf(deps, request.agent),
          ttlSeconds: request.ttlSeconds === 0 ? defaultTtlSeconds : request.ttlSeconds,
          addresses,
          replace: request.replace,
          rootPins: roots.map((root) => Buffer.from(sha256Hex(root.certificate.raw), "hex")),
        },
        actorOf(deps, call, request.reason),
      );
      return { token: toWire(made.token), joinString: made.joinString, addresses };
    }),
    listTokens: unary(deps, grpcTable, async (request) => {
      const found = await page(
        deps.store.scan(tokens, "created", {}, { reverse: true, ...continued(request.pageToken) }),
        pageSize(request.pageSize),
      );
      return { tokens: found.items.map(({ value }) => toWire(value)), nextPageToken: found.next };
    }),
    revokeToken: unary(deps, grpcTable, async (request, call) => ({
      token: toWire(await revokeToken(deps, request.tokenId, actorOf(deps, call, request.reason))),
    })),
  };
}

function tokenToWire(token: TokenRecord, now: Date): Token {
  const { used } = token;
  return {
    tokenId: token.tokenId,
    spiffeId: token.subject,
    createdAt: new Date(token.createdAt),
    expiresAt: new Date(token.expiresAt),
    state: wireStates[tokenState(token, now)],
    usedFrom: used?.from ?? "",
    reused: token.reused,
    createdBy: token.createdBy,
    ...(used === undefined ? {} : { usedAt: new Date(used.at) }),
  };
}

function checkAddress(text: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? 0);
  if (match === null || port < 1 || port > 65_535) {
    throw new CaError("bad_request", `an address is HOST:PORT, got ${JSON.stringify(text.slice(0, 64))}`);
  }
  return text;
}

function refuseWildcard(address: string): void {
  if (!/^(0\.0\.0\.0|\[::\]):/.test(address)) return;
  throw new CaError("bad_request", `${address} is every address of this host, and nobody can dial it`, {
    cure: "signet token create --agent NAME --address HOST:PORT",
  });
}
