// Objects as `-o json` and `-o yaml` show them: names of the protocol in camelCase, times RFC 3339, 64-bit numbers and
// serials as text, states as words. What is absent is left out.
import type {
  Authority,
  CertificateRecord,
  EntryState,
  ExplainResponse,
  GetStatusResponse,
  Node,
  Token,
} from "../../proto/gen/signet/v1/admin.ts";
import type { Bundle } from "../../proto/gen/signet/v1/bundle.ts";
import type { IdentityReport } from "../../proto/gen/signet/v1/issuance.ts";
import type { GetAgentStatusResponse, RenewedIdentity } from "../../proto/gen/signet/v1/node.ts";
import { authorityState, identityState, nodeState, tokenState } from "./words.ts";

/** An object whose absent members are gone. */
export type Shown = Readonly<Record<string, unknown>>;

export function tokenObject(token: Token): Shown {
  return shown({ ...token, state: tokenState(token.state) });
}

/** Entry and state in one flat object; `reported` is what the agent last said of the identity. */
export function entryObject(state: EntryState): Shown {
  const { entry, reported, ...rest } = state;
  return shown({ ...entry, ...rest, reported: reported === undefined ? undefined : reportObject(reported) });
}

export function nodeObject(node: Node): Shown {
  return shown({ ...node, state: nodeState(node.state), identities: node.identities.map(reportObject) });
}

export function certificateObject(certificate: CertificateRecord): Shown {
  return shown({ ...certificate });
}

export function authorityObject(authority: Authority): Shown {
  return shown({ ...authority, state: authorityState(authority.state) });
}

export function statusObject(status: GetStatusResponse): Shown {
  return shown({ ...status, authorities: status.authorities.map(authorityObject) });
}

export function explainObject(answer: ExplainResponse): Shown {
  return shown({ ...answer });
}

export function bundleObject(bundle: Bundle): Shown {
  return shown({ ...bundle });
}

export function agentStatusObject(status: GetAgentStatusResponse): Shown {
  const identities = status.identities.map(({ report, ...rest }) =>
    shown({ ...(report === undefined ? {} : reportObject(report)), ...rest }),
  );
  return shown({ ...status, identities });
}

export function renewedObject(result: RenewedIdentity): Shown {
  return shown({ ...result });
}

function reportObject(report: IdentityReport): Shown {
  return shown({ ...report, state: identityState(report.state) });
}

/** Turns the values of the wire into those of JSON, and leaves out what is undefined. */
export function shown(object: Readonly<Record<string, unknown>>): Shown {
  return Object.fromEntries(
    Object.entries(object)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, shownValue(value)]),
  );
}

function shownValue(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : rfc3339(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (Array.isArray(value)) return value.map(shownValue);
  if (typeof value === "object" && value !== null) return shown({ ...value });
  return value;
}

/** UTC, without a fraction where there is none. */
function rfc3339(date: Date): string {
  return date.toISOString().replace(".000Z", "Z");
}
