// Identities in force, kept under the data directory so that a restart serves them before any server answers.
//
// | killed                                   | what a restart finds                                              |
// | before a new identity is kept            | the one before: it is still valid, and renewed when due           |
// | after it is kept, before its directory   | the new one; it is written out again at start                     |
// | after the entry was deleted is kept      | a withdrawn identity: not renewed, its files go when it ends      |
// | after the files went, before it is gone  | the same: taking away what is not there does nothing              |
import { createHash } from "node:crypto";
import { readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { writeFileDurably } from "../../src/platform/atomic-file.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { JsonFields } from "../json-fields.ts";
import { fromStored, toStored } from "../stored-identity.ts";
import { codeOf } from "./directory-error.ts";
import type { AgentEntry, HeldIdentity } from "./held-identity.ts";

export interface KeptIdentity {
  readonly held: HeldIdentity;
  /** The entry as it was last known. */
  readonly entry: AgentEntry | undefined;
  readonly withdrawn: boolean;
}

/** Where kept identities live. */
export interface KeptIdentities {
  /** All that were kept; a file that cannot be read is named to `onBad` and left alone. */
  load(onBad: (path: string, error: unknown) => void): Promise<readonly KeptIdentity[]>;
  /** Durable when the promise resolves; the one before stays until then. Rejects with the system's error. */
  keep(kept: KeptIdentity): Promise<void>;
  /** Nothing happens when it is not there. */
  forget(id: SpiffeId): Promise<void>;
}

const suffix = ".json";

/** Keeps each identity in a file of its own, mode 0600, in a directory that exists. */
export function keptIdentities(directory: string): KeptIdentities {
  const pathOf = (id: SpiffeId): string => join(directory, `${createHash("sha256").update(id).digest("hex")}${suffix}`);
  return {
    async load(onBad) {
      const found: KeptIdentity[] = [];
      for (const name of await readdir(directory)) {
        if (!/^[0-9a-f]{64}\.json$/.test(name)) continue;
        const path = join(directory, name);
        try {
          const kept = decode(await readFile(path, "utf8"));
          if (pathOf(kept.held.spiffeId) !== path) throw new Error("it is of another identity than its name says");
          found.push(kept);
        } catch (error) {
          onBad(path, error);
        }
      }
      return found;
    },
    async keep(kept) {
      const bytes = new TextEncoder().encode(encode(kept));
      await writeFileDurably(pathOf(kept.held.spiffeId), bytes, { mode: 0o600 });
    },
    async forget(id) {
      await unlink(pathOf(id)).catch((error: unknown) => {
        if (codeOf(error) !== "ENOENT") throw error;
      });
    },
  };
}

function encode({ held, entry, withdrawn }: KeptIdentity): string {
  const value = {
    version: 1,
    withdrawn,
    ...(entry === undefined
      ? {}
      : {
          entry: {
            entryId: entry.entryId,
            selectors: [...entry.selectors],
            dnsNames: [...entry.dnsNames],
            ipAddresses: [...entry.ipAddresses],
            ttlSeconds: entry.ttlSeconds,
            hint: entry.hint,
            revision: String(entry.revision),
          },
        }),
    identity: toStored(held),
  };
  return `${JSON.stringify(value)}\n`;
}

function decode(text: string): KeptIdentity {
  const kept = JsonFields.parse(text);
  kept.version(1);
  const held = fromStored(kept.object("identity"));
  return {
    held,
    withdrawn: kept.flag("withdrawn"),
    entry: kept.has("entry") ? entryOf(kept.object("entry"), held) : undefined,
  };
}

function entryOf(entry: JsonFields, { spiffeId }: HeldIdentity): AgentEntry {
  return {
    entryId: entry.text("entryId"),
    spiffeId,
    selectors: entry.texts("selectors"),
    dnsNames: entry.texts("dnsNames"),
    ipAddresses: entry.texts("ipAddresses"),
    ttlSeconds: entry.number("ttlSeconds"),
    hint: entry.text("hint"),
    revision: entry.number64("revision"),
  };
}
