// Keys that live in this process only: for tests, and for a root key that leaves at `init`.
import type { KeyObject } from "node:crypto";
import { generateKey } from "./generate.ts";
import { KeyError, type KeyHandle, type KeyManager, type KeyType } from "./key-manager.ts";
import { handleOf } from "./pkcs8.ts";

export interface MemoryKeys extends KeyManager {
  /** The key itself, to be written where it shall be kept. Throws KeyError "not_found". */
  key(name: string): KeyObject;
}

export function memoryKeys(): MemoryKeys {
  const keys = new Map<string, { readonly key: KeyObject; readonly handle: KeyHandle }>();
  const inTheMaking = new Set<string>();
  const held = (name: string): { readonly key: KeyObject; readonly handle: KeyHandle } => {
    const found = keys.get(name);
    if (found === undefined) throw new KeyError("not_found", `there is no key ${name}`);
    return found;
  };
  return {
    encrypted: false,
    create: async (name: string, type: KeyType) => {
      if (keys.has(name) || inTheMaking.has(name)) throw new KeyError("exists", `there is a key ${name} already`);
      inTheMaking.add(name);
      try {
        const key = await generateKey(type);
        const handle = handleOf(name, key);
        keys.set(name, { key, handle });
        return handle;
      } finally {
        inTheMaking.delete(name);
      }
    },
    open: async (name) => held(name).handle,
    list: async () => [...keys.keys()].sort(),
    destroy: async (name) => void keys.delete(name),
    key: (name) => held(name).key,
  };
}
