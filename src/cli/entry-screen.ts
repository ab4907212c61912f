// How an entry looks.
import type { EntryState } from "../../proto/gen/signet/v1/admin.ts";
import { formatDuration } from "../platform/durations.ts";
import { foreign } from "../platform/foreign-text.ts";
import { type Column, facts, plain } from "./layout.ts";
import { ends, endsShort } from "./moments.ts";
import { identityState, pathUnder, spaced, toneOf, trustDomainIn } from "./words.ts";

/** The entry with its meaning, as `create`, `show` and `update` print it. */
export function entryLines(
  state: EntryState,
  options: { readonly now: Date; readonly width: number },
): readonly string[] {
  const { entry } = state;
  if (entry === undefined) return [];
  const trustDomain = trustDomainIn(entry.spiffeId);
  const names = [...entry.dnsNames, ...entry.ipAddresses];
  return [
    `${plain(entry.entryId)}  ${plain(entry.spiffeId)}`,
    ...facts(
      [
        ["for", `${pathUnder(trustDomain, entry.agentId)}, ${agentPresence(state)}`],
        ["names", names.length === 0 ? "none but the SPIFFE ID" : names.join(", ")],
        ["life", `${formatDuration(entry.ttlSeconds)}, renewed after about ${formatDuration(entry.ttlSeconds / 2)}`],
        ["hint", foreign(entry.hint)],
        [
          "goes",
          entry.selectors.length === 0
            ? "to files only: an entry without selectors is never given over a socket"
            : `to files; over a socket, which this version does not open yet, to ${entry.selectors.join(", ")}`,
        ],
        ["now", state.reported === undefined ? undefined : reportText(state, options.now)],
      ],
      { width: options.width },
    ),
  ];
}

export function entryColumns(trustDomain: string, now: Date): readonly Column<EntryState>[] {
  return [
    { head: "ENTRY", cell: ({ entry }) => entry?.entryId ?? "" },
    { head: "ID", cell: ({ entry }) => pathUnder(trustDomain, entry?.spiffeId ?? "") },
    { head: "NODE", cell: ({ entry }) => pathUnder(trustDomain, entry?.agentId ?? "") },
    { head: "LIFE", cell: ({ entry }) => formatDuration(entry?.ttlSeconds ?? 0), drop: 1 },
    { head: "STATE", cell: (state) => spaced(stateOf(state)), tone: (state) => toneOf(stateOf(state)) },
    { head: "ENDS", cell: ({ reported }) => endsShort(reported?.notAfter, now) },
    {
      head: "NAMES",
      cell: ({ entry }) => [...(entry?.dnsNames ?? []), ...(entry?.ipAddresses ?? [])].join(", "),
      drop: 2,
    },
  ];
}

function agentPresence(state: EntryState): string {
  if (!state.agentJoined) return "which has not joined yet";
  return state.agentConnected ? "which is connected" : "which is not connected now";
}

function reportText(state: EntryState, now: Date): string {
  const { reported, entry } = state;
  if (reported === undefined) return "";
  const current = reported.entryRevision === entry?.revision ? "" : ", by an earlier revision of the entry";
  const error = reported.lastError === "" ? "" : `; ${foreign(reported.lastError)}`;
  return `${spaced(identityState(reported.state))} until ${ends(reported.notAfter, now)}${current}${error}`;
}

// An entry whose agent has not reported it yet waits for somebody; say for whom.
function stateOf(state: EntryState): string {
  if (state.reported !== undefined) return identityState(state.reported.state);
  if (!state.agentJoined) return "not joined";
  return state.agentConnected ? "on its way" : "not connected";
}
