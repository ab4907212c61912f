import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildCsr, csrDerFromPem, parseCsr } from "../../src/x509/csr.ts";
import { ipOctets, ipText } from "../../src/x509/ip-address.ts";
import { testKey } from "../unit/x509/signers.ts";
import { damage, damaged, ownErrorOnly, seedFiles } from "./seeds.ts";

const ders = seedFiles("csr", ".der");
const good = ders.filter((der) => ownErrorOnly(() => parseCsr(der)) !== undefined);

describe("parseCsr()", () => {
  it("reads back the names that buildCsr() wrote", async () => {
    const key = testKey("ec-p256");
    const label = fc.stringMatching(/^[\x21-\x7e]{1,60}$/);
    const address = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    const names = fc.record({
      uris: fc.array(label, { maxLength: 5 }),
      dnsNames: fc.array(label, { maxLength: 30 }),
      ipAddresses: fc.array(address.map(ipText), { maxLength: 5 }),
    });
    await fc.assert(
      fc.asyncProperty(names, async (asked) => {
        const csr = parseCsr(await buildCsr(key, asked));
        const values = (kind: string): readonly string[] =>
          csr.names.filter((name) => name.kind === kind).map((name) => name.value);
        expect(values("uri")).toEqual(asked.uris);
        expect(values("dns")).toEqual(asked.dnsNames);
        expect(values("ip")).toEqual(asked.ipAddresses.map((text) => ipText(ipOctets(text))));
      }),
      { numRuns: 100 },
    );
  });

  it("throws nothing but X509Error for vectors that were flipped, cut or repeated, and for random octets", () => {
    const seed = fc.tuple(fc.constantFrom(...ders), fc.array(damage, { minLength: 1, maxLength: 3 }));
    const input = fc.oneof(
      seed.map(([der, hows]) => hows.reduce(damaged, der)),
      fc.uint8Array({ maxLength: 300 }),
    );
    fc.assert(
      fc.property(input, (der) => void ownErrorOnly(() => parseCsr(der))),
      { numRuns: 3000 },
    );
  });

  it("refuses good requests that are cut at any length", () => {
    expect(good.length).toBeGreaterThan(20);
    for (const der of good.filter((each) => each.length < 2000)) {
      for (let size = 0; size < der.length; size++) {
        expect(ownErrorOnly(() => parseCsr(der.subarray(0, size)))).toBeUndefined();
      }
    }
  });

  it("refuses a good request with any one bit flipped", () => {
    for (const der of good.slice(0, 3)) {
      for (let bit = 0; bit < der.length * 8; bit++) {
        const flipped = Uint8Array.from(der);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(
          ownErrorOnly(() => parseCsr(flipped)),
          `bit ${bit}`,
        ).toBeUndefined();
      }
    }
  });

  it("refuses 10 MB by size, and memory stays flat", () => {
    const octets = new Uint8Array(10_000_000).fill(0x30);
    const text = "A".repeat(10_000_000);
    const before = process.memoryUsage();
    for (let i = 0; i < 100; i++) {
      expect(ownErrorOnly(() => parseCsr(octets))).toBeUndefined();
      expect(ownErrorOnly(() => csrDerFromPem(text))).toBeUndefined();
    }
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4 * 1024 * 1024);
    expect(after.heapUsed - before.heapUsed).toBeLessThan(16 * 1024 * 1024);
  });
});
