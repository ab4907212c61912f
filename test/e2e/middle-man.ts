import { createPrivateKey, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type TLSSocket } from "node:tls";
import { systemRandom } from "../../src/platform/random.ts";
import { parseCertificate } from "../../src/x509/certificate.ts";
import { encodePem } from "../../src/x509/pem.ts";
import { serialFromRandom } from "../../src/x509/serial.ts";
import { signatureAlgorithmDer } from "../../src/x509/signature.ts";
import { assemble, fillLeaf, leafTemplate } from "../../src/x509/template.ts";
import { testKey } from "../unit/x509/signers.ts";

export interface MiddleMan {
  /** host:port. */
  readonly address: string;
  /** All that clients sent, without TLS. */
  heard(): Buffer;
  readonly connections: number;
  close(): Promise<void>;
}

/** Ends the TLS of whoever comes, writes down what is said, and passes everything on to the server. */
export async function startMiddleMan(
  server: string,
  identity: { readonly chainPem: string; readonly keyPem: string },
): Promise<MiddleMan> {
  const parts: Buffer[] = [];
  const open = new Set<TLSSocket>();
  let connections = 0;
  const proxy = createServer(
    { cert: identity.chainPem, key: identity.keyPem, ALPNProtocols: ["h2"], minVersion: "TLSv1.3" },
    (client) => {
      connections += 1;
      const onward = connectTo(server);
      for (const socket of [client, onward]) {
        open.add(socket);
        socket.on("error", () => socket.destroy());
        socket.once("close", () => void [client, onward].map((each) => each.destroy()));
      }
      client.on("data", (part: Buffer) => parts.push(part));
      client.pipe(onward).pipe(client);
    },
  );
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  return {
    address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    heard: () => Buffer.concat(parts),
    get connections() {
      return connections;
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      proxy.close();
      await once(proxy, "close");
    },
  };
}

/** The server's identity as a thief of the intermediate's key would make it. */
export async function stolenIdentity(
  server: string,
  { keyPem, spiffeId }: { readonly keyPem: string; readonly spiffeId: string },
): Promise<{ readonly chainPem: string; readonly keyPem: string }> {
  const socket = connectTo(server);
  await once(socket, "secureConnect");
  const issuerDer = socket.getPeerCertificate(true).issuerCertificate.raw;
  socket.destroy();
  const key = testKey("ec-p256");
  const issuer = parseCertificate(new Uint8Array(new X509Certificate(issuerDer).raw));
  const template = leafTemplate({ issuer, extendedKeyUsage: "server", publicKeyType: "ec-p256" });
  const tbs = fillLeaf(template, {
    serial: serialFromRandom(systemRandom.bytes(16)),
    notBefore: issuer.notBefore,
    notAfter: new Date(issuer.notBefore.getTime() + 3_600_000),
    spkiDer: key.spkiDer,
    uri: spiffeId,
    dnsNames: [],
    ipAddresses: [],
  });
  const leaf = assemble(tbs, signatureAlgorithmDer("ec-p256"), sign("sha256", tbs, createPrivateKey(keyPem)));
  return {
    chainPem: encodePem("CERTIFICATE", leaf) + encodePem("CERTIFICATE", issuer.raw),
    keyPem: key.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

function connectTo(address: string): TLSSocket {
  const [host, port] = address.split(":");
  return connect({ host, port: Number(port), ALPNProtocols: ["h2"], rejectUnauthorized: false });
}
