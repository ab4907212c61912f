import { bitString, explicit, integer, oid, sequence, set } from "../../../src/x509/der-writer.ts";
import { extension, subjectAltNameExtension } from "../../../src/x509/extensions.ts";
import { uriName } from "../../../src/x509/general-name.ts";
import { emptyName } from "../../../src/x509/name.ts";
import { OID } from "../../../src/x509/oid.ts";
import { signatureAlgorithmDer } from "../../../src/x509/signature.ts";
import { type TestKey, testKey } from "./signers.ts";

/** Parts of a request, encoded; a test overrides one. */
export interface RequestParts {
  readonly key: TestKey;
  readonly version: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  readonly attributes: readonly Uint8Array[];
  readonly afterAttributes: Uint8Array;
  readonly algorithm: Uint8Array;
  readonly unusedSignatureBits: number;
}

const key = testKey("ec-p256");
const nothing = new Uint8Array(0);

/** The SAN extension that good requests ask for. */
export const goodSan: Uint8Array = subjectAltNameExtension([uriName("spiffe://prod.example/svc/web")], true);

/** An extensionRequest attribute. */
export function extensionRequest(...extensions: readonly Uint8Array[]): Uint8Array {
  return sequence(oid(OID.extensionRequest), set(sequence(...extensions)));
}

/** An extension of a kind that nobody knows. */
export function unknownExtension(last: number, critical = false): Uint8Array {
  return extension(`1.3.6.1.4.1.99999.${last}`, critical, sequence());
}

/** A request whose signature is valid over the octets as they stand. */
export function requestOf(overrides: Partial<RequestParts> = {}): Uint8Array {
  const parts: RequestParts = {
    key,
    version: integer(0),
    subject: emptyName(),
    spki: (overrides.key ?? key).spkiDer,
    attributes: [extensionRequest(goodSan)],
    afterAttributes: nothing,
    algorithm: signatureAlgorithmDer((overrides.key ?? key).type),
    unusedSignatureBits: 0,
    ...overrides,
  };
  const info = sequence(
    parts.version,
    parts.subject,
    parts.spki,
    explicit(0, ...parts.attributes),
    parts.afterAttributes,
  );
  const signature = parts.key.sign(info);
  if (signature instanceof Promise) throw new TypeError("a test key signs at once");
  const bits = Uint8Array.from(signature);
  if (parts.unusedSignatureBits > 0) bits[bits.length - 1] = 0;
  return sequence(info, parts.algorithm, bitString(bits, parts.unusedSignatureBits));
}
