import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  children,
  type DerValue,
  readDer,
  readIa5,
  readInteger,
  readOid,
  readSmallInteger,
  readTime,
  readUnsignedInteger,
  TAG,
} from "../../src/x509/der.ts";
import { encode, integer, oid, time } from "../../src/x509/der-writer.ts";
import {
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readCrlNumber,
  readExtendedKeyUsage,
  readExtensions,
  readKeyUsage,
  readSubjectAltName,
  readSubjectKeyIdentifier,
} from "../../src/x509/extensions.ts";
import { readGeneralName } from "../../src/x509/general-name.ts";
import { ipOctets, ipText } from "../../src/x509/ip-address.ts";
import { checkName, nameText, readName, writeName } from "../../src/x509/name.ts";
import { signatureAlgorithmDer, verifySignature } from "../../src/x509/signature.ts";
import { importPublicKey, parseSpki } from "../../src/x509/spki.ts";
import { damage, damaged, ownErrorOnly, seedFiles } from "./seeds.ts";

const seeds = [...seedFiles("csr", ".der"), ...seedFiles("ocsp", ".der")];
const damagedSeed = fc.tuple(fc.constantFrom(...seeds), damage).map(([seed, how]) => damaged(seed, how));

/** The same value written again from what was read. */
function written(value: DerValue): Uint8Array {
  if ((value.tag & 0x20) === 0) return encode(value.tag, value.content);
  return encode(value.tag, ...children(value).map(written));
}

/** Trees of up to 16 levels with contents that DER allows. */
const tree: fc.Arbitrary<Uint8Array> = fc.letrec<{ node: Uint8Array }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 14, withCrossShrink: true },
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((octets) => encode(TAG.octetString, octets)),
      fc.bigInt({ min: 0n, max: 2n ** 512n }).map((number) => integer(number)),
      fc.uint8Array({ maxLength: 20 }).map((octets) => encode(0x80, octets)),
      fc.constant(encode(TAG.null)),
    ),
    fc
      .tuple(fc.constantFrom(TAG.sequence, TAG.set, 0xa0, 0xa3), fc.array(tie("node"), { maxLength: 5 }))
      .map(([tag, parts]) => encode(tag, ...parts)),
  ),
})).node;

describe("readDer()", () => {
  it("reads every tree that was written, and it re-encodes to the same octets", () => {
    fc.assert(
      fc.property(tree, (der) => {
        expect(written(readDer(der))).toEqual(der);
      }),
      { numRuns: 300 },
    );
  });

  it("throws nothing but X509Error, and what it takes re-encodes to the same octets", () => {
    const input = fc.oneof(fc.uint8Array({ maxLength: 200 }), damagedSeed);
    fc.assert(
      fc.property(input, (octets) => {
        const value = ownErrorOnly(() => readDer(octets));
        if (value !== undefined) expect(written(value)).toEqual(octets);
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses every tree with an octet behind it, and every tree cut short", () => {
    fc.assert(
      fc.property(tree, fc.nat(), (der, cut) => {
        expect(ownErrorOnly(() => readDer(Buffer.concat([der, Uint8Array.of(0)])))).toBeUndefined();
        expect(ownErrorOnly(() => readDer(der.subarray(0, cut % der.length)))).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});

describe("readers of one value", () => {
  const readers: readonly ((octets: Uint8Array) => unknown)[] = [
    (octets) => readInteger(readDer(octets)),
    (octets) => readSmallInteger(readDer(octets)),
    (octets) => readUnsignedInteger(readDer(octets)),
    (octets) => readOid(readDer(octets)),
    (octets) => readIa5(readDer(octets)),
    (octets) => readTime(readDer(octets)),
    (octets) => readExtensions(readDer(octets)),
    (octets) => checkName(readDer(octets)),
    (octets) => nameText(readName(readDer(octets))),
    (octets) => readGeneralName(readDer(octets)),
    readKeyUsage,
    readExtendedKeyUsage,
    readBasicConstraints,
    readSubjectKeyIdentifier,
    readAuthorityKeyIdentifier,
    readSubjectAltName,
    readCrlNumber,
    (octets) => importPublicKey(parseSpki(octets)),
  ];

  /** All values inside a seed, so that each reader meets the ones that it likes. */
  const parts = seeds.flatMap((seed) => {
    const found: Uint8Array[] = [];
    const visit = (value: DerValue): void => {
      found.push(value.raw);
      if ((value.tag & 0x20) !== 0) for (const child of children(value)) visit(child);
      else if (value.tag === TAG.octetString) visitAll(value.content);
    };
    const visitAll = (octets: Uint8Array): void => {
      const value = ownErrorOnly(() => readDer(octets));
      if (value !== undefined) visit(value);
    };
    visitAll(seed);
    return found;
  });

  it("throw nothing but X509Error, whatever they are given", () => {
    const part = fc.constantFrom(...parts);
    const input = fc.oneof(
      part,
      fc.tuple(part, damage).map(([seed, how]) => damaged(seed, how)),
      tree,
    );
    fc.assert(
      fc.property(input, (octets) => {
        for (const read of readers) ownErrorOnly(() => read(octets));
      }),
      { numRuns: 2000 },
    );
  });

  it("verifySignature() is false for random signatures and never throws anything but X509Error", () => {
    const keys = parts.flatMap((part) => ownErrorOnly(() => parseSpki(part)) ?? []);
    expect(keys.length).toBeGreaterThan(20);
    const signature = fc.oneof(
      fc.uint8Array({ maxLength: 140 }),
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      tree,
    );
    fc.assert(
      fc.property(fc.constantFrom(...keys), signature, (key, octets) => {
        const verdict = ownErrorOnly(() => verifySignature(key, signatureAlgorithmDer(key.type), octets, octets));
        expect(verdict ?? false).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe("what is written reads back", () => {
  it("integer() and readUnsignedInteger()", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 4096n - 1n }), (number) => {
        expect(readUnsignedInteger(readDer(integer(number)))).toBe(number);
      }),
    );
  });

  it("oid() and readOid()", () => {
    const arcs = fc.array(fc.nat({ max: 2 ** 31 - 1 }), { maxLength: 8 });
    fc.assert(
      fc.property(fc.nat({ max: 2 }), fc.nat({ max: 39 }), arcs, (first, second, rest) => {
        const dotted = [first, second, ...rest].join(".");
        expect(readOid(readDer(oid(dotted)))).toBe(dotted);
      }),
    );
  });

  it("time() and readTime(), to the second", () => {
    const date = fc.date({
      min: new Date("1950-01-01T00:00:00Z"),
      max: new Date("9999-12-31T23:59:59Z"),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(date, (at) => {
        expect(readTime(readDer(time(at))).getTime()).toBe(Math.floor(at.getTime() / 1000) * 1000);
      }),
    );
  });

  it("ipText() and ipOctets(), and the text of any form is canonical", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
        (octets) => {
          expect(ipOctets(ipText(octets))).toEqual(octets);
        },
      ),
    );
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const canonical = ownErrorOnly(() => ipText(ipOctets(text)));
        if (canonical !== undefined) expect(ipText(ipOctets(canonical))).toBe(canonical);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void ownErrorOnly(() => ipOctets(text))));
  });

  it("writeName() and readName()", () => {
    const value = fc.string({ unit: "grapheme", maxLength: 30 }).filter((text) => text.isWellFormed());
    fc.assert(
      fc.property(
        fc.array(fc.record({ oid: fc.constantFrom("2.5.4.3", "2.5.4.10"), value }), { maxLength: 5 }),
        (attributes) => {
          expect(readName(readDer(writeName(attributes)))).toEqual(attributes);
        },
      ),
    );
  });
});
