import { constants } from "node:crypto";
import { type SecureContextOptions } from "node:tls";
import { ServerCredentials } from "@grpc/grpc-js";

/** No version below TLS 1.3, no tickets: a resumed session would outlive expiry, ban and a changed bundle. */
const floor = { minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET } as const;

/** What may be set per listener; the rest is fixed. */
export interface SessionLimits {
  readonly handshakeTimeoutMs: number;
  readonly maxConcurrentStreams: number;
  readonly maxHeaderListSize: number;
}

/**
 * TLS that asks for a client certificate and does not demand one: a joining node has none. What is presented is judged
 * behind it, by protocols/authenticate.ts.
 */
export class OptionalMtls extends ServerCredentials {
  constructor(context: SecureContextOptions, limits: SessionLimits) {
    const { handshakeTimeoutMs, ...settings } = limits;
    super(
      { requestCert: true, rejectUnauthorized: false, handshakeTimeout: handshakeTimeoutMs, settings, ...floor },
      { ...context, ...floor },
    );
  }

  /** Serves another certificate and asks by other roots, on connections from now on. Each swap repeats the floor. */
  update(context: SecureContextOptions): void {
    this.updateSecureContextOptions({ ...context, ...floor });
  }

  override _equals(other: ServerCredentials): boolean {
    return other === this;
  }
}
