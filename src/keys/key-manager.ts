// The key port: private keys are handles, never bytes.

/** Key types that authorities may have. */
export type KeyType = "ec-p256" | "ec-p384" | "rsa-2048" | "rsa-3072" | "ed25519";

export type KeyErrorCode = "not_found" | "exists" | "unreadable" | "bad_passphrase" | "unavailable" | "unsafe_file";

export class KeyError extends Error {
  override readonly name = "KeyError";
  readonly code: KeyErrorCode;
  constructor(code: KeyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A private key that can sign and say its public half. */
export interface KeyHandle {
  readonly name: string;
  readonly type: KeyType;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  /**
   * Signs octets with the one algorithm of its type: ECDSA with SHA-256 (P-256) or SHA-384 (P-384) as DER, RSA PKCS#1
   * v1.5 with SHA-256, Ed25519. Throws KeyError "unavailable".
   */
  sign(octets: Uint8Array): Uint8Array | Promise<Uint8Array>;
}

export interface KeyManager {
  /** Makes a key under a new name; durable when the promise resolves. Throws "exists". */
  create(name: string, type: KeyType): Promise<KeyHandle>;
  /** Opens a key; the same handle for the same name. Throws "not_found", "unreadable", "bad_passphrase". */
  open(name: string): Promise<KeyHandle>;
  list(): Promise<readonly string[]>;
  /** Destroys a key; nothing happens when there is none. */
  destroy(name: string): Promise<void>;
  /** True when keys at rest are encrypted. */
  readonly encrypted: boolean;
}
