import type { Peer, PeerRefusal, RefusedPeer } from "signet/sdk";

export interface Stats {
  /** Attempts since the first one that succeeded: calls = answered + failed + retried. */
  readonly calls: number;
  readonly failed: number;
  readonly retried: number;
  /** Full handshakes that this service made as a client. */
  readonly handshakes: number;
  readonly slowestMs: number;
  /** Peers that this service refused, as a server or a client. */
  readonly refused: Readonly<Record<PeerRefusal, number>>;
}

export interface Report {
  listening(address: string): void;
  /** A peer that was accepted in a full handshake; said once for each certificate. */
  accepted(peer: Peer, role: "server" | "client"): void;
  refused(refused: RefusedPeer, role: "server" | "client"): void;
  firstCall(): void;
  failed(detail: string): void;
  stats(stats: Partial<Stats>): void;
}

const none = { calls: 0, failed: 0, retried: 0, handshakes: 0, slowestMs: 0 };

/** Writes to stdout: JSON lines for a program, or text for people. */
export function createReport(name: string, json: boolean): Report {
  const serials = new Set<string>();
  const authorities = new Set<string>();
  const tlsVersions = new Set<string>();
  let lastText = 0;
  const write = (event: string, fields: object, text: string): void => {
    process.stdout.write(json ? `${JSON.stringify({ event, ...fields })}\n` : `${name}: ${text}\n`);
  };
  return {
    listening: (address) => write("listening", { address }, `listening on ${address}`),
    accepted: ({ serialHex, authorityKeyId, spiffeId, tlsVersion }, role) => {
      tlsVersions.add(tlsVersion);
      const serial = `${authorityKeyId}:${serialHex}`;
      if (serials.has(serial)) return;
      serials.add(serial);
      authorities.add(authorityKeyId);
      const fields = { role, serialHex, authorityKeyId, spiffeId };
      write("accepted", fields, `accepted ${spiffeId} with certificate ${serialHex.slice(0, 8)}…`);
    },
    refused: ({ reason, detail, spiffeId }, role) =>
      write(
        "refused",
        { role, reason, spiffeId, detail },
        `refused a ${role === "server" ? "caller" : "server"}: ${detail}`,
      ),
    firstCall: () => write("first_call", {}, "the first call was answered"),
    failed: (detail) => write("failed", { detail }, `a call failed: ${detail}`),
    stats: (stats) => {
      const now = { ...none, ...stats, serials: serials.size, authorities: authorities.size, tls: [...tlsVersions] };
      if (!json && performance.now() - lastText < 5_000) return;
      lastText = performance.now();
      write("stats", now, `${now.calls} calls, ${now.failed} failed, ${now.handshakes} handshakes`);
    },
  };
}
