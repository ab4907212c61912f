import { FileError, readTrustedFile } from "../platform/atomic-file.ts";
import { ConfigError } from "../platform/settings.ts";
import { CaError } from "../registry/ca-error.ts";
import { checkFactoryCa } from "../registry/device-classes.ts";
import { type Certificate, certificateDersFromPem } from "../x509/certificate.ts";
import { X509Error } from "../x509/errors.ts";

/**
 * The CAs of x509pop.unregistered.allow; none without the setting. A file that others may write is refused: whoever is in
 * it lets nodes join. Throws ConfigError.
 */
export async function readUnregisteredCas(file: string | undefined, now: Date): Promise<readonly Certificate[]> {
  if (file === undefined) return [];
  try {
    const text = Buffer.from(await readTrustedFile(file, { maxBytes: 1024 * 1024 })).toString("utf8");
    return certificateDersFromPem(text).map((der) => checkFactoryCa(der, now));
  } catch (error) {
    if (error instanceof FileError || error instanceof X509Error || error instanceof CaError) {
      throw new ConfigError(`x509pop.unregistered.allow: ${file}: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
