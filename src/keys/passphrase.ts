import { readSecretFile } from "../platform/atomic-file.ts";
import { KeyError } from "./key-manager.ts";

/** Reads a passphrase: the file's text without its last line break. Throws FileError, KeyError "unreadable" when empty. */
export async function readPassphraseFile(path: string): Promise<string> {
  const text = Buffer.from(await readSecretFile(path)).toString("utf8").replace(/\r?\n$/, "");
  if (text === "") throw new KeyError("unreadable", `${path} is empty: a passphrase file holds the passphrase`);
  return text;
}
