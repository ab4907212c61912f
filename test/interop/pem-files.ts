import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect } from "node:tls";
import { decodePem, encodePem } from "../../src/x509/pem.ts";

/** Writes each PEM block of a file to a file of its own; gives their paths. */
export async function splitPem(
  file: string,
  options: { readonly label: string; readonly into: string },
): Promise<readonly string[]> {
  const blocks = decodePem(await readFile(file, "utf8"), { labels: [options.label], max: 64 });
  return Promise.all(
    blocks.map(async ({ label, der }) => {
      const path = join(options.into, `${createHash("sha256").update(der).digest("hex").slice(0, 16)}.pem`);
      await writeFile(path, encodePem(label, der));
      return path;
    }),
  );
}

/** The chain that a TLS server shows, as PEM: leaf first. */
export function shownChain(address: string): Promise<string> {
  const colon = address.lastIndexOf(":");
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
    });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const chain: string[] = [];
      const seen = new Set<string>();
      let certificate: ReturnType<typeof socket.getPeerCertificate> | undefined = socket.getPeerCertificate(true);
      while (certificate !== undefined && !seen.has(certificate.fingerprint256)) {
        seen.add(certificate.fingerprint256);
        chain.push(encodePem("CERTIFICATE", new Uint8Array(certificate.raw)));
        certificate =
          "issuerCertificate" in certificate ? (certificate.issuerCertificate as typeof certificate) : undefined;
      }
      socket.destroy();
      resolve(chain.join(""));
    });
  });
}
