// What a certificate costs at the least: import of the key, verify and sign of a P-256 CSR by raw node:crypto.
import { createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";

const signedOctets = 180; // The signed part of a CSR with a name or two.
const tbsOctets = 520;

interface Request {
  readonly spki: Buffer;
  readonly info: Buffer;
  readonly signature: Buffer;
}

export interface Raw {
  /** CPU µs of one import, verify and sign, over so many milliseconds. */
  measure(ms: number): number;
}

/** Prepares as many keys as `keys`, so that no key is warmer than a server's would be. */
export function prepareRaw(keys: number): Raw {
  const requests = Array.from({ length: keys }, (_, index): Request => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const info = Buffer.alloc(signedOctets, index);
    return {
      spki: publicKey.export({ format: "der", type: "spki" }),
      info,
      signature: sign("sha256", info, privateKey),
    };
  });
  const { privateKey: issuer } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const tbs = Buffer.alloc(tbsOctets, 0x30);
  return {
    measure: (ms) => {
      const until = performance.now() + ms;
      const before = process.cpuUsage();
      let done = 0;
      do {
        for (const request of requests) one(request, tbs, issuer);
        done += requests.length;
      } while (performance.now() < until);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / done;
    },
  };
}

function one({ spki, info, signature }: Request, tbs: Buffer, issuer: KeyObject): void {
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  if (!verify("sha256", info, key, signature)) throw new Error("a good signature was refused");
  sign("sha256", tbs, issuer);
}
