// Bundle, deny list, CRLs and server addresses: what the agent trusts, in memory at once and durable in DATA/trust.json.
//
// | killed                                    | what a restart finds                                          |
// | before trust.json is renamed              | the state before; the server sends the newer one on connect   |
// | after the rename, before directories show | the newer one; every directory is written again at start      |
import { readFile } from "node:fs/promises";
import type { Logger } from "../src/platform/logger.ts";
import { bundleJson, parseBundle, type TrustBundle } from "../src/spiffe/bundle.ts";
import { type DenyList, denyListJson, parseDenyList } from "../src/spiffe/deny.ts";
import { parseTrustDomain, type TrustDomain } from "../src/spiffe/id.ts";
import { parseCrl } from "../src/x509/crl.ts";
import { sameOctets } from "../src/x509/der.ts";
import type { TrustSequences } from "./acknowledged.ts";
import { codeOf, directoryError } from "./identities/directory-error.ts";
import type { TrustFiles } from "./identities/identity-set.ts";
import { JsonFields } from "./json-fields.ts";

export interface TrustState extends TrustFiles {
  readonly trustDomain: TrustDomain;
  /** Pushed by the server last, each host:port. */
  readonly pushedAddresses: readonly string[];
  /** What the join string named. */
  readonly joinAddresses: readonly string[];
}

/** What the server offers; what is absent has not changed. */
export interface TrustOffer {
  readonly bundle?: TrustBundle;
  readonly denyList?: DenyList;
  readonly crlsDer?: readonly Uint8Array[];
  readonly addresses?: readonly string[];
}

/** Writes a file durably: the whole new content, or the old one. Rejects with the system's error. */
export type WriteDurably = (path: string, bytes: Uint8Array) => Promise<void>;

export interface TrustDeps {
  readonly path: string;
  readonly write: WriteDurably;
  readonly logger: Pick<Logger, "warn" | "info">;
}

/** Reads what was kept; undefined when there is none. Throws when the file cannot be read or is damaged. */
export async function loadTrust(path: string): Promise<TrustState | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const stored = JsonFields.parse(text);
  stored.version(1);
  const trustDomain = parseTrustDomain(stored.text("trustDomain"));
  return {
    trustDomain,
    bundle: parseBundle(stored.text("bundle"), trustDomain),
    denyList: parseDenyList(stored.text("denyList")),
    crlsDer: stored.octetsList("crls"),
    pushedAddresses: stored.texts("pushedAddresses"),
    joinAddresses: stored.texts("joinAddresses"),
  };
}

/** Makes a state durable. */
export async function saveTrust(deps: Pick<TrustDeps, "path" | "write">, state: TrustState): Promise<void> {
  const value = {
    version: 1,
    trustDomain: state.trustDomain,
    bundle: bundleJson(state.bundle),
    denyList: denyListJson(state.denyList),
    crls: state.crlsDer.map((der) => Buffer.from(der).toString("base64")),
    pushedAddresses: [...state.pushedAddresses],
    joinAddresses: [...state.joinAddresses],
  };
  await deps.write(deps.path, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

/** What is trusted now. A new state counts at once, also when it cannot be made durable; it is not acknowledged then. */
export class TrustStore {
  readonly #deps: TrustDeps;
  readonly #listeners = new Set<() => void>();
  #state: TrustState;
  #saved: TrustState;
  #error = "";
  #saving: Promise<void> = Promise.resolve();

  constructor(deps: TrustDeps, state: TrustState) {
    this.#deps = deps;
    this.#state = state;
    this.#saved = state;
  }

  get state(): TrustState {
    return this.#state;
  }

  /** Sequences that a restart would find, and why they are not those in force. */
  get durable(): TrustSequences & { readonly error: string } {
    return {
      bundle: this.#saved.bundle.sequence,
      denied: this.#saved.denyList.sequence,
      error: this.#error,
    };
  }

  /** Takes what is newer; refuses what is older. Durable when the promise resolves, unless `durable.error` says why not. */
  async offer(offer: TrustOffer): Promise<void> {
    const next = merge(this.#state, offer, (detail, facts) => this.#deps.logger.warn(facts, detail));
    if (next !== this.#state) {
      this.#state = next;
      this.#tell();
    }
    await this.flush();
  }

  /** Takes over a state that a join string vouches for, whatever was held before. */
  async replace(trust: Required<TrustOffer>, joinAddresses: readonly string[]): Promise<void> {
    this.#state = {
      trustDomain: this.#state.trustDomain,
      bundle: trust.bundle,
      denyList: trust.denyList,
      crlsDer: trust.crlsDer,
      pushedAddresses: trust.addresses,
      joinAddresses,
    };
    this.#tell();
    await this.flush();
  }

  /** Makes the state durable if it is not. Never rejects. */
  flush(): Promise<void> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #save(): Promise<void> {
    const state = this.#state;
    if (state === this.#saved) return;
    try {
      await saveTrust(this.#deps, state);
      this.#saved = state;
      this.#error = "";
      this.#deps.logger.info(
        { bundleSequence: String(state.bundle.sequence), deniedSequence: String(state.denyList.sequence) },
        "trust kept",
      );
    } catch (error) {
      this.#error = directoryError(error, "cannot write the data directory").message;
      this.#deps.logger.warn({ reason: this.#error }, "trust not kept");
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

type Refused = (detail: string, facts: Readonly<Record<string, string>>) => void;

/** What to trust after an offer; the same object when nothing changes. Pure but for `refused`. */
export function merge(held: TrustState, offer: TrustOffer, refused: Refused): TrustState {
  let next = held;
  const { bundle, denyList, crlsDer, addresses } = offer;
  if (bundle !== undefined) {
    if (bundle.trustDomain !== held.trustDomain) refused("bundle refused: another trust domain", {});
    else if (bundle.sequence < held.bundle.sequence) {
      refused("bundle refused: its sequence is lower than the one held", {
        offered: String(bundle.sequence),
        held: String(held.bundle.sequence),
      });
    } else if (bundle.roots.length === 0) refused("bundle refused: it has no root", {});
    else if (bundle.sequence > held.bundle.sequence) next = { ...next, bundle };
  }
  if (denyList !== undefined) {
    const crls = crlsDer ?? held.crlsDer;
    if (denyList.sequence < held.denyList.sequence) {
      refused("deny list refused: its sequence is lower than the one held", {
        offered: String(denyList.sequence),
        held: String(held.denyList.sequence),
      });
    } else if (!readable(crls)) refused("deny list refused: one of its CRLs cannot be read", {});
    else if (denyList.sequence > held.denyList.sequence) next = { ...next, denyList, crlsDer: crls };
    // CRLs are signed anew every day without any new revocation.
    else if (!sameList(crls, held.crlsDer)) next = { ...next, crlsDer: crls };
  }
  if (addresses !== undefined && addresses.join() !== held.pushedAddresses.join()) {
    next = { ...next, pushedAddresses: addresses };
  }
  return next;
}

function readable(crlsDer: readonly Uint8Array[]): boolean {
  try {
    for (const der of crlsDer) parseCrl(der);
    return true;
  } catch {
    return false;
  }
}

function sameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((der, i) => sameOctets(der, b[i] ?? new Uint8Array()));
}
