import type { Certificate } from "./certificate.ts";
import { readDer } from "./der.ts";
import { X509Error } from "./errors.ts";
import { readName } from "./name.ts";
import { OID } from "./oid.ts";

/**
 * The serialNumber attribute of a certificate's subject: what a factory calls a device by (IEEE 802.1AR 8.6, X.520
 * 6.2.9). Undefined without one. Not the serial of the certificate. Throws X509Error "bad_name" when there are several.
 */
export function subjectSerialNumber(certificate: Pick<Certificate, "subjectDer">): string | undefined {
  const found = readName(readDer(certificate.subjectDer, "subject")).filter(({ oid }) => oid === OID.serialNumber);
  if (found.length > 1) throw new X509Error("bad_name", `the subject has ${found.length} serial numbers`);
  return found[0]?.value;
}
