import { createHash } from "node:crypto";
import type { Random } from "../../src/platform/random.ts";

/** Chance that a test knows: octets from a counted hash of the seed, fractions from a list that begins anew at its end. */
export class FakeRandom implements Random {
  readonly #seed: string;
  readonly #fractions: readonly number[];
  #drawn = 0;
  #given = 0;

  constructor(seed = "seed", fractions: readonly number[] = [0.5]) {
    this.#seed = seed;
    this.#fractions = fractions;
  }

  bytes(count: number): Uint8Array {
    const octets = new Uint8Array(count);
    for (let at = 0; at < count; at += 32) {
      const block = createHash("sha256")
        .update(`${this.#seed}/${this.#drawn++}`)
        .digest();
      octets.set(block.subarray(0, Math.min(32, count - at)), at);
    }
    return octets;
  }

  fraction(): number {
    return this.#fractions[this.#given++ % this.#fractions.length] ?? 0.5;
  }
}
