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
  bytes: stocked(4096, 64),
  fraction: () => {
    const [high = 0, low = 0] = randomFillSync(new Uint32Array(2));
    // 53 bits: as many as a number holds.
    return (high * 2 ** 21 + (low >>> 11)) / 2 ** 53;
  },
};

/**
 * Octets from a stock, since asking the CSPRNG for 16 costs more than taking 16 of 4,096: a serial and an event for each
 * certificate. What is handed out is wiped here, so that no secret is in memory twice.
 */
function stocked(size: number, most: number): Random["bytes"] {
  const stock = new Uint8Array(size);
  let next = size;
  return (count) => {
    if (count > most) return randomFillSync(new Uint8Array(count));
    if (next + count > size) {
      randomFillSync(stock);
      next = 0;
    }
    const taken = stock.slice(next, next + count);
    stock.fill(0, next, next + count);
    next += count;
    return taken;
  };
}
