import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { judgeSvid } from "../../src/spiffe/svid.ts";
import { certificatesFromPem, parseCertificate } from "../../src/x509/certificate.ts";
import { crlTbs, parseCrl, verifyCrl } from "../../src/x509/crl.ts";
import { keyIdentifier } from "../../src/x509/spki.ts";
import { fillLeaf, leafTemplate } from "../../src/x509/template.ts";
import { after, buildCa, signedBy, signedDer, testSerial } from "../fakes/build-ca.ts";
import { damage, damaged, ownErrorOnly, seedFiles } from "./seeds.ts";

const built = buildCa();
const issued = built.issue({ dnsNames: ["a.prod.example"], ipAddresses: ["10.0.0.1"] });
const pems = seedFiles("chain", ".pem");
const ders = pems.flatMap((pem) => ownErrorOnly(() => certificatesFromPem(Buffer.from(pem).toString("latin1"))) ?? []);
const seeds = [issued.leaf, built.intermediate, built.root, ...ders].map(({ raw }) => raw);
const crlDer = signedDer(
  built.intermediateKey,
  crlTbs({
    issuer: built.intermediate,
    number: 7n,
    thisUpdate: built.at,
    nextUpdate: after(built.at, 60),
    revoked: [{ serialHex: "40", at: built.at, reason: "keyCompromise" }],
  }),
);

const broken = (from: readonly Uint8Array[]) =>
  fc
    .tuple(fc.constantFrom(...from), fc.array(damage, { minLength: 1, maxLength: 3 }))
    .map(([seed, hows]) => hows.reduce(damaged, seed));

describe("parseCertificate()", () => {
  it("throws nothing but X509Error for certificates that were flipped, cut or repeated, and for random octets", () => {
    expect(ders.length).toBeGreaterThan(100);
    fc.assert(
      fc.property(fc.oneof(broken(seeds), fc.uint8Array({ maxLength: 300 })), (der) => {
        ownErrorOnly(() => parseCertificate(der));
      }),
      { numRuns: 3000 },
    );
  });

  it("refuses a certificate that is cut at any length", () => {
    for (const { raw } of [issued.leaf, built.root]) {
      for (let size = 0; size < raw.length; size++) {
        expect(ownErrorOnly(() => parseCertificate(raw.subarray(0, size)))).toBeUndefined();
      }
    }
  });

  it("reads back what fillLeaf() wrote, whatever the names and times", () => {
    const template = leafTemplate({ issuer: built.intermediate, extendedKeyUsage: "both", publicKeyType: "ec-p256" });
    const visible = fc.stringMatching(/^[\x21-\x7e]{1,300}$/);
    const octets = fc.uint8Array({ minLength: 4, maxLength: 4 });
    const fields = fc.record({
      uri: visible,
      dnsNames: fc.array(visible, { maxLength: 20 }),
      ipAddresses: fc.array(
        octets.map((address) => address.join(".")),
        { maxLength: 5 },
      ),
      seconds: fc.nat({ max: 86_400 }),
    });
    fc.assert(
      fc.property(fields, ({ seconds, ...names }) => {
        const notAfter = after(built.at, seconds);
        const serial = testSerial();
        const { spkiDer } = issued.key;
        const tbs = fillLeaf(template, { serial, notBefore: built.at, notAfter, spkiDer, ...names });
        const leaf = signedBy(built.intermediateKey, tbs);
        expect(leaf.names.map(({ value }) => value)).toEqual([names.uri, ...names.dnsNames, ...names.ipAddresses]);
        expect([leaf.notBefore, leaf.notAfter]).toEqual([built.at, notAfter]);
        expect(leaf.serialHex).toBe(Buffer.from(serial).toString("hex"));
        expect(leaf.subjectKeyId).toBe(Buffer.from(keyIdentifier(leaf.publicKey)).toString("hex"));
        expect(leaf.tbs).toEqual(tbs);
      }),
      { numRuns: 300 },
    );
  });
});

describe("certificatesFromPem()", () => {
  it("throws nothing but X509Error for texts that were flipped, cut or repeated", () => {
    fc.assert(
      fc.property(fc.oneof(broken(pems), fc.uint8Array()), (pem) => {
        ownErrorOnly(() => certificatesFromPem(Buffer.from(pem).toString("latin1")));
      }),
      { numRuns: 1000 },
    );
  });
});

describe("judgeSvid()", () => {
  const judge = (chain: readonly Uint8Array[]) =>
    judgeSvid(chain, { bundle: built.bundle, at: built.at, purpose: "server" });

  it("accepts no chain of which one bit of the leaf was flipped", () => {
    const { raw } = issued.leaf;
    for (let bit = 0; bit < raw.length * 8; bit++) {
      const flipped = Uint8Array.from(raw);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(judge([flipped, built.intermediate.raw]).ok, `bit ${bit}`).toBe(false);
    }
  });

  it("throws nothing for any chain of broken and whole certificates", () => {
    const whole = fc.constantFrom(...seeds);
    fc.assert(
      fc.property(fc.array(fc.oneof(whole, broken(seeds)), { maxLength: 8 }), (chain) => {
        expect(judge(chain)).toHaveProperty("ok");
      }),
      { numRuns: 1000 },
    );
  });

  it("accepts the chain with any strangers around the intermediate", () => {
    const strangers = fc.array(fc.constantFrom(...seeds), { maxLength: 10 });
    fc.assert(
      fc.property(strangers, strangers, (before, behind) => {
        expect(judge([issued.leaf.raw, ...before, built.intermediate.raw, ...behind]).ok).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe("parseCrl()", () => {
  it("refuses a list whose issuer is not made of sets (found by the property below)", () => {
    const at = Buffer.from(crlDer).indexOf(0x31, 20);
    const damaged = Uint8Array.from(crlDer);
    damaged[at] = 0x91;
    expect(ownErrorOnly(() => parseCrl(damaged))).toBeUndefined();
  });

  it("throws nothing but X509Error, and what still parses does not verify", () => {
    fc.assert(
      fc.property(fc.oneof(broken([crlDer]), fc.uint8Array({ maxLength: 200 })), (der) => {
        const crl = ownErrorOnly(() => parseCrl(der));
        if (crl !== undefined && !Buffer.from(der).equals(crlDer))
          expect(verifyCrl(crl, built.intermediate)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses a list that is cut at any length", () => {
    for (let size = 0; size < crlDer.length; size++) {
      expect(ownErrorOnly(() => parseCrl(crlDer.subarray(0, size)))).toBeUndefined();
    }
  });

  it("reads back what crlTbs() wrote", () => {
    const revoked = fc.array(
      fc.record({
        serialHex: fc.uint8Array({ minLength: 2, maxLength: 20 }).map((octets) => {
          const positive = Uint8Array.from(octets);
          positive[0] = 0x40;
          return Buffer.from(positive).toString("hex");
        }),
        at: fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => new Date(seconds * 1000)),
        reason: fc.constantFrom("keyCompromise" as const, "superseded" as const, undefined),
      }),
      { maxLength: 50 },
    );
    fc.assert(
      fc.property(revoked, fc.bigInt({ min: 0n, max: 2n ** 158n }), (entries, number) => {
        const fields = { issuer: built.intermediate, number, thisUpdate: built.at, nextUpdate: after(built.at, 60) };
        const crl = parseCrl(signedDer(built.intermediateKey, crlTbs({ ...fields, revoked: entries })));
        expect(crl.number).toBe(number);
        expect(crl.revoked).toEqual(entries);
        expect(verifyCrl(crl, built.intermediate)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});
