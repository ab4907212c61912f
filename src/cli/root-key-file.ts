// The key of a root that is kept elsewhere: read and decrypted here, so that its passphrase never leaves this process.
import { createPrivateKey } from "node:crypto";
import { FileError, readSecretFile } from "../platform/atomic-file.ts";
import { shellWord } from "../platform/shell-word.ts";
import { CliError, reasonOf, withCure, wrongUse } from "./failure.ts";

/**
 * The PKCS#8 PEM of a root key, decrypted when it is encrypted. Files that others can read are refused. Throws CliError
 * when the file is no key, or its passphrase is missing or wrong.
 */
export async function readRootKeyPem(file: string, passphraseFile: string | undefined): Promise<string> {
  const pem = Buffer.from(await orSay(file, "the root key", readSecretFile(file))).toString("utf8");
  const isEncrypted = pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----");
  if (!pem.includes("PRIVATE KEY-----")) throw wrongUse(`${file} holds no private key in PEM`);
  if (isEncrypted && passphraseFile === undefined) {
    throw wrongUse(
      `the root key ${file} is encrypted: its passphrase is needed`,
      `signet authority rotate --root-key ${shellWord(file)} --root-passphrase-file FILE`,
    );
  }
  const passphrase = passphraseFile === undefined ? undefined : await readPassphrase(passphraseFile);
  try {
    const key = createPrivateKey({ key: pem, format: "pem", ...(isEncrypted ? { passphrase } : {}) });
    return key.export({ type: "pkcs8", format: "pem" }).toString();
  } catch (error) {
    throw new CliError(
      2,
      isEncrypted ? `cannot open ${file}: wrong passphrase, or a damaged key` : `${file} holds no key that can be read`,
      {
        cause: error,
      },
    );
  }
}

/** The passphrase in a file that only its owner may read, without its line break. Throws CliError 2. */
export async function readPassphrase(file: string): Promise<string> {
  const text = Buffer.from(await orSay(file, "the passphrase", readSecretFile(file))).toString("utf8");
  const passphrase = text.replace(/\r?\n$/, "");
  if (passphrase === "") throw wrongUse(`cannot take the passphrase from ${file}: it is empty`);
  return passphrase;
}

async function orSay<Content>(file: string, what: string, reading: Promise<Content>): Promise<Content> {
  try {
    return await reading;
  } catch (error) {
    const why = reasonOf(error);
    const told = why.startsWith(file) ? why : `${file}: ${why}`;
    const isUnsafe = error instanceof FileError && (error.code === "unsafe" || error.code === "too_large");
    const { message, cure } = withCure(`cannot ${isUnsafe ? "use" : "read"} ${what}: ${told}`);
    throw new CliError(2, message, { cure, cause: error });
  }
}
