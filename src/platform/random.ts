import { randomFillSync } from "node:crypto";

/** Chance. Passed in everywhere, so that tests can say what comes. */
export interface Random {
  /** `count` octets from the CSPRNG, in an array of its own. */
  bytes(count: number): Uint8Array;
  /** A number in [0, 1), for jitter. */
  fraction(): number;
}

/** The CSPRNG of this process. */
export const systemRandom: Random = {
  bytes: (count) => randomFillSync(new Uint8Array(count)),
  fraction: () => {
    const [high = 0, low = 0] = randomFillSync(new Uint32Array(2));
    // 53 bits: as many as a number holds.
    return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;
  },
};
