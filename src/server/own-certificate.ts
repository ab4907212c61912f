// The server's own certificate: issued by the line like any other, over a key that lives in this process only, and
// renewed without a connection being dropped.
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { SecureContextOptions } from "node:tls";
import type { TrustState } from "../authority/trust-state.ts";
import { type IssueDeps, issue } from "../issuing/issue.ts";
import type { Recorded } from "../issuing/record.ts";
import { serverId } from "../spiffe/kind.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { buildCsr } from "../x509/csr.ts";
import { encodePem } from "../x509/pem.ts";

export interface OwnCertificate {
  /** What the api listener serves now. */
  readonly tls: SecureContextOptions;
  readonly record: Recorded["record"];
  readonly leaf: Certificate;
  /** When it is renewed: half of its life after it was issued, give or take a tenth. */
  readonly renewAt: Date;
}

export interface OwnCertificateDeps extends IssueDeps {
  readonly state: TrustState;
  readonly jitter: () => number;
}

/** Makes a new key and certificate for the server. Throws what the line throws. */
export async function makeOwnCertificate(deps: OwnCertificateDeps): Promise<OwnCertificate> {
  const view = deps.state.view();
  const id = serverId(view.trustDomain);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const csrDer = await buildCsr(
    {
      spkiDer: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
      sign: (octets) => sign("sha256", octets, privateKey),
    },
    {},
  );
  const recorded = await issue(deps, { kind: "server", id }, { profile: "server", protocol: "server", id, csrDer });
  const { record } = recorded;
  const lifeMs = record.ttlSeconds * 1000;
  return {
    tls: tlsOptions(deps.state, recorded.chainDer, privateKey),
    record,
    leaf: parseCertificate(record.der),
    renewAt: new Date(record.issuedAt + lifeMs * (0.5 + 0.1 * deps.jitter())),
  };
}

/** Asks for client certificates of every root in the bundle; the intermediates are the clients' to send. */
function tlsOptions(state: TrustState, chainDer: readonly Uint8Array[], key: KeyObject): SecureContextOptions {
  return {
    cert: chainDer.map((der) => encodePem("CERTIFICATE", der)).join(""),
    key: key.export({ format: "pem", type: "pkcs8" }),
    ca: rootsPem(state),
  };
}

export function rootsPem(state: TrustState): string[] {
  return state.view().bundle.roots.map((root) => encodePem("CERTIFICATE", root.raw));
}
