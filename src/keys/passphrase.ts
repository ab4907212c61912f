import { readSecretFile } from "../platform/atomic-file.ts";
import { KeyError } from "./key-manager.ts";

/** Reads a passphrase: the file's text without its last line break. Throws FileError, KeyError "unreadable" when empty or no text. */
export async function readPassphraseFile(path: string): Promise<string> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await readSecretFile(path));
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new KeyError("unreadable", `${path} is not text in UTF-8: openssl would read another passphrase`, { cause });
  }
  text = text.replace(/\r?\n$/, "");
  if (text === "") throw new KeyError("unreadable", `${path} is empty: a passphrase file holds the passphrase`);
  return text;
}
