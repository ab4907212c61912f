// The agent's own key and certificate, in DATA/agent.json (key and chain in one file) and DATA/agent-pending.json (a key
// that was made and has no certificate yet).
//
// | killed                                        | what a restart finds                                          |
// | before the pending key is durable             | nothing was sent for it: a new key is made                    |
// | after it is durable, before an answer is kept | the same key is used again, so that an answer which was lost  |
// |                                               | can be given once more (a join string: to this key only)      |
// | after agent.json is renamed                   | the new certificate; a pending key equal to its key is waste  |
import { readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { WireError } from "../../src/sdk/from-wire.ts";
import { type IssuedCertificate, judgeIssued } from "../../src/sdk/judge-issued.ts";
import { type NodeKey, newNodeKey, openNodeKey } from "../../src/sdk/node-key.ts";
import { renewAt } from "../../src/sdk/renew-at.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { sameOctets } from "../../src/x509/der.ts";
import { codeOf } from "../identities/directory-error.ts";
import { type HeldIdentity, hasEnded } from "../identities/held-identity.ts";
import type { TrustFiles } from "../identities/identity-set.ts";
import { JsonFields } from "../json-fields.ts";
import { fromStored, toStored } from "../stored-identity.ts";
import type { WriteDurably } from "../trust.ts";

export interface OwnIdentityDeps {
  /** The data directory. */
  readonly directory: string;
  readonly write: WriteDurably;
}

export interface NewCertificate {
  readonly issued: IssuedCertificate;
  readonly key: NodeKey;
  readonly id: SpiffeId;
  readonly trust: Pick<TrustFiles, "bundle" | "denyList">;
  readonly sentAt: Date;
  readonly now: Date;
  /** In [-1, 1]. */
  readonly jitter: number;
}

/** The agent's own identity: what it holds, and the key that waits for a certificate. */
export class OwnIdentity {
  readonly #deps: OwnIdentityDeps;
  readonly #listeners = new Set<() => void>();
  #held: HeldIdentity | undefined;
  #pending: NodeKey | undefined;

  private constructor(deps: OwnIdentityDeps, held: HeldIdentity | undefined, pending: NodeKey | undefined) {
    this.#deps = deps;
    this.#held = held;
    this.#pending = pending;
  }

  /** Reads what is kept. Throws when a file is damaged: losing the key silently would lose the node's place. */
  static async open(deps: OwnIdentityDeps): Promise<OwnIdentity> {
    const held = await readJson(heldPath(deps.directory), (value) => fromStored(value.object("identity")));
    const pending = await readJson(pendingPath(deps.directory), (value) => openNodeKey(value.octets("key")));
    const isWaste = held !== undefined && pending !== undefined && sameOctets(pending.keyDer, held.keyDer);
    return new OwnIdentity(deps, held, isWaste ? undefined : pending);
  }

  /** What is held; it may have ended. Undefined before the first join. */
  get held(): HeldIdentity | undefined {
    return this.#held;
  }

  /** True while the certificate is valid. */
  isAlive(now: Date): boolean {
    return this.#held !== undefined && !hasEnded(this.#held, now);
  }

  /** The key for the next certificate: made once, and durable before it is handed out. Rejects when it cannot be kept. */
  async nextKey(): Promise<NodeKey> {
    if (this.#pending !== undefined) return this.#pending;
    const key = newNodeKey();
    const value = { version: 1, key: Buffer.from(key.keyDer).toString("base64") };
    await this.#deps.write(pendingPath(this.#deps.directory), new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    this.#pending = key;
    return key;
  }

  /** Judges a certificate, keeps it durably with its key, and uses it from then on. Throws WireError when it is not ours. */
  async install(certificate: NewCertificate): Promise<HeldIdentity> {
    const held = accept(certificate);
    const value = { version: 1, identity: toStored(held) };
    await this.#deps.write(heldPath(this.#deps.directory), new TextEncoder().encode(`${JSON.stringify(value)}\n`));
    this.#held = held;
    this.#pending = undefined;
    await unlink(pendingPath(this.#deps.directory)).catch((error: unknown) => {
      // Left over, it is known as waste by its key.
      if (codeOf(error) !== "ENOENT") return;
    });
    for (const listener of this.#listeners) listener();
    return held;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

function accept({ issued, key, id, trust, sentAt, now, jitter }: NewCertificate): HeldIdentity {
  const verdict = judgeIssued(issued, {
    spiffeId: id,
    spkiDer: key.spkiDer,
    names: { dnsNames: [], ipAddresses: [] },
    purposes: ["client"],
    bundle: trust.bundle,
    denied: trust.denyList,
    at: now,
  });
  if (!verdict.ok) throw new WireError(verdict.reason);
  return {
    spiffeId: id,
    chainDer: issued.chainDer,
    keyDer: key.keyDer,
    serialHex: issued.serialHex,
    notBefore: verdict.leaf.notBefore,
    notAfter: verdict.leaf.notAfter,
    ttlSeconds: issued.ttlSeconds,
    obtainedAt: sentAt,
    renewAt: renewAt(sentAt, issued.ttlSeconds, jitter),
    jitter,
    authority: issued.authority,
    limitedByAuthority: issued.limitedByAuthority,
    entryId: "",
    entryRevision: 0n,
  };
}

async function readJson<T>(path: string, decode: (value: JsonFields) => T): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const value = JsonFields.parse(text);
    value.version(1);
    return decode(value);
  } catch (cause) {
    throw new Error(`${path} is damaged and cannot be read`, { cause });
  }
}

function heldPath(directory: string): string {
  return join(directory, "agent.json");
}

function pendingPath(directory: string): string {
  return join(directory, "agent-pending.json");
}
