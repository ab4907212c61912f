// Who we talk to: one channel to one server at a time, opened anew when our certificate or our trust changes.
import type { Clock } from "../src/platform/clock.ts";
import type { SteadyClock } from "../src/platform/steady-clock.ts";
import { ServerChannel } from "../src/sdk/server-channel.ts";
import type { HeldIdentity } from "./identities/held-identity.ts";
import type { TrustState } from "./trust.ts";

export interface SessionDeps {
  readonly clock: Pick<Clock, "now"> | SteadyClock;
  readonly trust: () => TrustState;
  readonly identity: () => HeldIdentity | undefined;
  /** `server:` of the configuration; empty when it says nothing. */
  readonly configured: readonly string[];
  readonly maxMessageBytes: number;
}

/** How it stands with the server. */
export interface Contact {
  readonly connected: boolean;
  /** host:port that is used, or was used last. */
  readonly address: string;
  readonly lastContact: Date | undefined;
  readonly lastSuccess: Date | undefined;
  /** Empty while connected. */
  readonly lastError: string;
  /** Since when there is no server; undefined while connected. */
  readonly awaySince: Date | undefined;
  /** Our clock minus the server's. */
  readonly clockOffsetSeconds: number;
}

/** The connection to the server and what is known of it. */
export class Session {
  readonly #deps: SessionDeps;
  readonly #listeners = new Set<() => void>();
  #channel: ServerChannel | undefined;
  #turn = 0;
  #contact: Contact;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
    this.#contact = {
      connected: false,
      address: "",
      lastContact: undefined,
      lastSuccess: undefined,
      lastError: "",
      awaySince: deps.clock.now(),
      clockOffsetSeconds: 0,
    };
  }

  get contact(): Contact {
    return this.#contact;
  }

  /** The channel on which the server answers; undefined while it is away. */
  get live(): ServerChannel | undefined {
    return this.#contact.connected ? this.#channel : undefined;
  }

  /** Addresses in the order to try: configured, else pushed last, else those of the join string. */
  addresses(): readonly string[] {
    const { pushedAddresses, joinAddresses } = this.#deps.trust();
    if (this.#deps.configured.length > 0) return this.#deps.configured;
    return pushedAddresses.length > 0 ? pushedAddresses : joinAddresses;
  }

  /** The address whose turn it is. The join string's come again when none of the pushed ones answers. */
  nextAddress(): string {
    const known = this.addresses();
    const all =
      this.#deps.configured.length > 0 ? known : [...new Set([...known, ...this.#deps.trust().joinAddresses])];
    return all[this.#turn % Math.max(all.length, 1)] ?? "";
  }

  /** Opens a channel with our certificate to the address whose turn it is. */
  open(): ServerChannel {
    const address = this.nextAddress();
    const channel = new ServerChannel({
      address,
      trust: () => this.#deps.trust(),
      identity: this.#deps.identity(),
      now: () => this.#deps.clock.now(),
      otherNow: () => wallOf(this.#deps.clock),
      maxMessageBytes: this.#deps.maxMessageBytes,
    });
    this.#set({ address });
    return channel;
  }

  /** The server answers on this channel. */
  established(channel: ServerChannel): void {
    if (this.#channel !== channel) this.#channel?.retire();
    this.#channel = channel;
    const now = this.#deps.clock.now();
    this.#set({ connected: true, lastContact: now, lastSuccess: now, lastError: "", awaySince: undefined });
  }

  /** The server said something. */
  heard(): void {
    const now = this.#deps.clock.now();
    this.#set({ lastContact: now, lastSuccess: now });
  }

  /**
   * The conversation on a channel is over. Without `why` it is replaced on purpose: calls go on over it until the next
   * one is established.
   */
  ended(channel: ServerChannel, why: string | undefined): void {
    if (why === undefined && channel === this.#channel) return;
    if (channel !== this.#channel) channel.retire();
    if (why !== undefined) this.failed(why);
  }

  /** The server could not be reached, or did not want us: the next address is tried next. */
  failed(why: string): void {
    this.#channel?.retire();
    this.#channel = undefined;
    this.#turn += 1;
    const { awaySince, connected, lastContact } = this.#contact;
    const now = this.#deps.clock.now();
    // A stream that stood until now was contact until now, also when nothing was said on it.
    this.#set({
      connected: false,
      lastContact: connected ? now : lastContact,
      lastError: why,
      awaySince: awaySince ?? now,
    });
  }

  sawServerTime(serverTime: Date, { sentAt, receivedAt }: { readonly sentAt: Date; readonly receivedAt: Date }): void {
    const { clock } = this.#deps;
    // Of interest is this host's clock as it is, also while we do not go by it.
    const offMs = wallOf(clock).getTime() - clock.now().getTime();
    const middle = (sentAt.getTime() + receivedAt.getTime()) / 2 + offMs;
    if ("heard" in clock) clock.heard(serverTime);
    this.#set({ clockOffsetSeconds: (middle - serverTime.getTime()) / 1000 });
  }

  close(): void {
    this.#channel?.retire();
    this.#channel = undefined;
    this.#set({ connected: false });
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #set(change: Partial<Contact>): void {
    this.#contact = { ...this.#contact, ...change };
    for (const listener of this.#listeners) listener();
  }
}

/** The wall clock as it is, also while it is not gone by. */
export function wallOf(clock: Pick<Clock, "now"> | SteadyClock): Date {
  return "wall" in clock ? clock.wall() : clock.now();
}
