import { jsonCodec } from "../json-codec.ts";
import type { Collection } from "../store.ts";

/** A join string as the server keeps it: never the secret, only its hash. Times are Unix milliseconds. */
export interface TokenRecord {
  /** SHA-256 of the secret, hex. */
  readonly secretSha256: string;
  /** The first 12 digits of that: what people call it by. */
  readonly tokenId: string;
  readonly kind: "agent";
  readonly subject: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly createdBy: string;
  readonly revokedAt?: number;
  /** A node of this ID that is alive is cut off when the string is used. */
  readonly replace?: true;
  /** Bound on first use to the key that used it. */
  readonly used?: {
    readonly at: number;
    readonly from: string;
    readonly spkiSha256: string;
    readonly serialHex: string;
    readonly authority: string;
  };
  /** Attempts by another key after it was used. */
  readonly reused: number;
  /** The last of them. */
  readonly reusedAt?: number;
}

export const tokens: Collection<TokenRecord> = {
  name: "tokens",
  key: (record) => record.secretSha256,
  indexes: {
    token: (record) => [[record.tokenId]],
    created: (record) => [[record.createdAt, record.tokenId]],
    reused: (record) => (record.reusedAt === undefined ? [] : [[record.reusedAt]]),
  },
  version: 1,
  ...jsonCodec<TokenRecord>(),
};
