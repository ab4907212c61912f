import type { TLSSocket } from "node:tls";
import type { Clock } from "../platform/clock.ts";
import type { Authorizer } from "../spiffe/authorizer.ts";
import type { TrustBundle } from "../spiffe/bundle.ts";
import { type DenyList, denyIndex } from "../spiffe/deny.ts";
import type { PeerCounter } from "./counts.ts";
import { judgeChain, judgeSocket, type Peer, presentedChain, type RefusedPeer } from "./peer.ts";
import { SdkError } from "./sdk-error.ts";
import type { Source } from "./source.ts";

export interface GateOptions {
  readonly source: Source;
  readonly authorize: Authorizer;
  readonly peerIs: "server" | "client";
  readonly clock: Clock;
  readonly counter: PeerCounter;
  /** How long before its end a connection is left, in ms: it takes nothing new and finishes what is in flight. */
  readonly leaveMs: number;
  readonly onAccepted?: ((peer: Peer) => void) | undefined;
  readonly onRefused?: ((refused: RefusedPeer) => void) | undefined;
}

/** A connection whose peer was accepted. It is cut at `endsAt`, and before when deny list or bundle drop the peer. */
export interface Connection {
  readonly peer: Peer;
  readonly socket: TLSSocket;
  /** The earlier end of the two identities. */
  readonly endsAt: Date;
  /** Whether it should be used for nothing new. */
  leaving(): boolean;
}

/** Why a connection is left: its end is near, or all are drained. */
export type Leaving = "ending" | "draining";

interface Held extends Connection {
  readonly chainDer: readonly Uint8Array[];
  readonly onLeave: (why: Leaving) => void;
  left: boolean;
}

/**
 * Lets peers in, and out again: judges the peer of each new connection before a byte is read, and all open ones again
 * when bundle or deny list change; ends each at the end of the two identities.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #held = new Set<Held>();
  readonly #unsubscribe: () => void;
  #bundle: TrustBundle;
  #denied: DenyList;
  #timer: NodeJS.Timeout | undefined;
  #wakesAt = Number.POSITIVE_INFINITY;

  constructor(options: GateOptions) {
    this.#options = options;
    this.#bundle = options.source.bundle();
    this.#denied = options.source.denied();
    this.#unsubscribe = options.source.onChange(() => this.#judgeAgain());
  }

  /**
   * Judges the peer of a socket whose handshake is done. Refused: the socket is destroyed and the answer is an SdkError
   * "peer_refused" or "not_ready". `onLeave` is called when it is time to leave the connection, at most once.
   */
  admit(socket: TLSSocket, onLeave: (why: Leaving) => void): Connection | SdkError {
    const { source, authorize, peerIs, clock, counter, onAccepted, leaveMs } = this.#options;
    const at = clock.now();
    const verdict = judgeSocket(socket, { source, authorize, peerIs, at });
    if (!verdict.ok) return this.#refuse(socket, verdict);
    const own = socket.getX509Certificate()?.validToDate ?? source.identity().notAfter;
    const endsAt = new Date(Math.min(own.getTime(), verdict.notAfter.getTime()));
    if (endsAt <= at) return this.#refuse(socket, { reason: "not_ready", detail: "our own identity has ended" });
    const held: Held = {
      peer: verdict,
      socket,
      endsAt,
      chainDer: presentedChain(socket),
      onLeave,
      left: false,
      leaving: () => held.left || endsAt.getTime() - leaveMs <= clock.now().getTime(),
    };
    this.#held.add(held);
    socket.once("close", () => this.#held.delete(held));
    this.#wakeAt(endsAt.getTime() - leaveMs);
    counter.accept();
    onAccepted?.(verdict);
    return held;
  }

  /** Leaves all connections now; resolves when they are closed, at the latest after `withinMs`, when the rest is cut. */
  async drain(withinMs: number): Promise<void> {
    const closed = [...this.#held].map(
      ({ socket }) => new Promise<void>((done) => (socket.destroyed ? done() : socket.once("close", () => done()))),
    );
    for (const held of this.#held) leave(held, "draining");
    const cut = setTimeout(() => {
      for (const { socket } of this.#held) socket.destroy();
    }, withinMs);
    await Promise.all(closed);
    clearTimeout(cut);
  }

  /** Stops following the source; open connections still end in time. */
  close(): void {
    this.#unsubscribe();
  }

  #refuse(socket: TLSSocket, refused: RefusedPeer): SdkError {
    socket.destroy();
    this.#options.counter.refuse(refused.reason);
    this.#options.onRefused?.(refused);
    if (refused.reason === "not_ready") return new SdkError("not_ready", refused.detail);
    return new SdkError("peer_refused", `the peer was refused: ${refused.detail}`, { reason: refused.reason });
  }

  #judgeAgain(): void {
    const { source, authorize, peerIs, clock } = this.#options;
    const [bundle, denied] = [source.bundle(), source.denied()];
    if (bundle === this.#bundle && denied === this.#denied) return;
    this.#bundle = bundle;
    this.#denied = denied;
    const roots = new Set(bundle.roots.map(({ raw }) => hex(raw)));
    const isDenied = denyIndex(denied);
    for (const held of [...this.#held]) {
      // The path that was found still holds when its root is trusted and nothing on it is denied: no need to search.
      const root = held.peer.path.at(-1);
      const holds = root !== undefined && roots.has(hex(root.raw));
      if (holds && !held.peer.path.some(isDenied)) continue;
      const verdict = judgeChain(held.chainDer, { source, authorize, peerIs, at: clock.now() });
      if (!verdict.ok && verdict.reason !== "not_ready") this.#refuse(held.socket, verdict);
    }
  }

  // The wall clock decides. A timer alone would sleep on when the machine did; so it never sleeps longer than this.
  static readonly #longestSleepMs = 30_000;

  #wakeAt(time: number): void {
    if (time >= this.#wakesAt) return;
    clearTimeout(this.#timer);
    const now = this.#options.clock.now().getTime();
    const sleepMs = Math.min(Math.max(time - now, 0), Gate.#longestSleepMs);
    this.#wakesAt = now + sleepMs;
    this.#timer = setTimeout(() => this.#wake(), sleepMs);
    this.#timer.unref();
  }

  #wake(): void {
    const now = this.#options.clock.now().getTime();
    this.#wakesAt = Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const held of [...this.#held]) {
      const ends = held.endsAt.getTime();
      const leaves = ends - this.#options.leaveMs;
      if (ends <= now) held.socket.destroy();
      else if (leaves <= now) leave(held, "ending");
      if (ends > now) next = Math.min(next, held.left ? ends : leaves);
    }
    if (next < Number.POSITIVE_INFINITY) this.#wakeAt(next);
  }
}

function leave(held: Held, why: Leaving): void {
  if (held.left) return;
  held.left = true;
  held.onLeave(why);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
