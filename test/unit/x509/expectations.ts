import { X509Error, type X509ErrorCode } from "../../../src/x509/errors.ts";

/** Octets from hex; blanks are for the eye. */
export function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"));
}

/** Code of the X509Error that `run` throws; anything else that it throws comes out, and so does its success. */
export function codeOf(run: () => unknown): X509ErrorCode {
  try {
    run();
  } catch (error) {
    if (error instanceof X509Error && error.message !== "") return error.code;
    throw error;
  }
  throw new Error("nothing was refused");
}
