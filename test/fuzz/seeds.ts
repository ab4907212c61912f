import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { X509Error } from "../../src/x509/errors.ts";

/** Files of the vectors with this ending, below `test/vectors/data`. */
export function seedFiles(folder: string, ending: string): readonly Uint8Array[] {
  const dir = new URL(`../vectors/data/${folder}/`, import.meta.url);
  return readdirSync(dir)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => new Uint8Array(readFileSync(new URL(name, dir))));
}

/** What happens to a seed: an octet is flipped, the end is cut, or a part is repeated. */
export type Damage =
  | { readonly kind: "flip"; readonly at: number; readonly with: number }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "repeat"; readonly at: number; readonly size: number; readonly times: number };

const place = fc.double({ min: 0, max: 1, noNaN: true });

export const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: place, with: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant("cut" as const), at: place }),
  fc.record({
    kind: fc.constant("repeat" as const),
    at: place,
    size: fc.integer({ min: 1, max: 64 }),
    times: fc.integer({ min: 1, max: 20 }),
  }),
);

export function damaged(seed: Uint8Array, how: Damage): Uint8Array {
  const at = Math.min(Math.floor(how.at * seed.length), Math.max(0, seed.length - 1));
  switch (how.kind) {
    case "flip": {
      const octets = Uint8Array.from(seed);
      octets[at] = (octets[at] ?? 0) ^ how.with;
      return octets;
    }
    case "cut":
      return seed.slice(0, at);
    case "repeat": {
      const part = seed.subarray(at, at + how.size);
      const parts = [seed.subarray(0, at), ...new Array<Uint8Array>(how.times).fill(part), seed.subarray(at)];
      return new Uint8Array(Buffer.concat(parts));
    }
  }
}

/** Runs a parser: its value, or undefined when it threw its own error. Any other error comes out. */
export function ownErrorOnly<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (error instanceof X509Error && error.message.length > 0 && error.message.length < 300) return undefined;
    throw error;
  }
}
