import { type ConnectionOptions, connect } from "node:tls";

import type { Clock } from "../../platform/clock.ts";
import { certificatesFromPem } from "../../x509/certificate.ts";

/** A certificate chain and its key, PEM; without them nothing is shown to the other side. */
export interface KnockIdentity {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** When the leaf of an identity ends, Unix milliseconds. */
export function endOf({ chainPem }: KnockIdentity): number {
  return certificatesFromPem(chainPem)[0]?.notAfter.getTime() ?? 0;
}

/** What somebody got who knocked. */
export interface KnockAnswer {
  /** Octets of application data that came back. Handshake and alerts are not among them. */
  readonly bytes: number;
  /** How the connection ended, in the words of the TLS stack. */
  readonly ended: string;
}

const limitMs = 3000;

/** GET /hello over HTTP/2, as octets: preface, SETTINGS without any, HEADERS of stream 1 that end it. RFC 9113 3.4, 6.2. */
const request: Uint8Array = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),
  Buffer.of(0, 0, 0, 4, 0, 0, 0, 0, 0),
  Buffer.of(0, 0, 13, 1, 5, 0, 0, 0, 1),
  // :method GET, :scheme https, :path /hello, :authority b. RFC 7541 6.
  Buffer.of(0x82, 0x87, 0x04, 6, ...Buffer.from("/hello"), 0x01, 1, 0x62),
]);

/**
 * Opens a TLS 1.3 connection, asks for /hello whatever the other side says, and counts what comes back, until it closes
 * or 3 s have gone by. Never rejects.
 */
export function knock(
  address: { readonly host: string; readonly port: number },
  identity: KnockIdentity | undefined,
  clock: Clock,
): Promise<KnockAnswer> {
  const options: ConnectionOptions = {
    ...address,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    // A stranger asks nobody who B is.
    rejectUnauthorized: false,
    ...(identity === undefined ? {} : { cert: identity.chainPem, key: identity.keyPem }),
  };
  return new Promise((resolve) => {
    const over = new AbortController();
    let bytes = 0;
    let ended = "closed";
    const socket = connect(options);
    socket.on("secureConnect", () => socket.write(request));
    socket.on("data", (octets: Uint8Array) => (bytes += octets.length));
    socket.on("error", (error) => (ended = error.message));
    socket.on("close", () => {
      over.abort();
      resolve({ bytes, ended });
    });
    void clock.sleep(limitMs, { signal: over.signal }).then(() => {
      if (over.signal.aborted) return;
      ended = `still open after ${limitMs / 1000} s`;
      socket.destroy();
    });
  });
}
