/** What was wrong with bytes that claim to be X.509, DER or PEM. */
export type X509ErrorCode =
  | "bad_der"
  | "bad_pem"
  | "bad_csr"
  | "bad_key"
  | "bad_signature"
  | "bad_name"
  | "bad_extension"
  | "bad_certificate"
  | "bad_crl"
  | "too_large";

/** The only error that parsers of this room throw. The message names what was wrong and never holds the input. */
export class X509Error extends Error {
  override readonly name = "X509Error";
  readonly code: X509ErrorCode;
  constructor(code: X509ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
