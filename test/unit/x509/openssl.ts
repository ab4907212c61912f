import { execFileSync } from "node:child_process";

/** Whether this machine has openssl; tests that ask it are skipped without. */
export function hasOpenssl(): boolean {
  try {
    return execFileSync("openssl", ["version"], { encoding: "utf8" }).startsWith("OpenSSL");
  } catch {
    return false;
  }
}
