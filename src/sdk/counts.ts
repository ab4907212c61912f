import { type PeerRefusal, peerRefusals } from "./peer.ts";

/**
 * What happened to connections, counted. One object may be shared by servers and clients, so that its `refused` is the
 * `signet_sdk_refused_total{reason}` of a process.
 */
export interface PeerCounts {
  /** Peers that we accepted in a full handshake. */
  readonly accepted: number;
  /** Peers that we refused, at the handshake or later; every reason is there from the start, at 0. */
  readonly refused: Readonly<Record<PeerRefusal, number>>;
}

export interface PeerCounter {
  accept(): void;
  refuse(reason: PeerRefusal): void;
  snapshot(): PeerCounts;
}

/**
 * Makes a counter, all at 0.
 *
 * @example
 * const counter = createPeerCounter();
 * const guard = guardServer(server, source, { authorize: any(), counter });
 * console.log(counter.snapshot().refused.expired);
 */
export function createPeerCounter(): PeerCounter {
  let accepted = 0;
  const refused = new Map<PeerRefusal, number>(peerRefusals.map((reason) => [reason, 0]));
  return {
    accept: () => {
      accepted++;
    },
    refuse: (reason) => {
      refused.set(reason, (refused.get(reason) ?? 0) + 1);
    },
    snapshot: () => ({ accepted, refused: Object.fromEntries(refused) as Record<PeerRefusal, number> }),
  };
}
