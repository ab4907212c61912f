import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { csrDerFromPem } from "../../src/x509/csr.ts";
import { decodePem, encodePem } from "../../src/x509/pem.ts";
import { damage, damaged, ownErrorOnly, seedFiles } from "./seeds.ts";

const seeds = [...seedFiles("csr", ".pem"), ...seedFiles("chain", ".pem").slice(0, 20)];
const labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", "CERTIFICATE"];

describe("decodePem()", () => {
  it("reads back what encodePem() wrote, in order, with text around", () => {
    const block = fc.record({
      label: fc.constantFrom(...labels),
      der: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    const noise = fc.string({ maxLength: 40 }).filter((text) => !text.includes("-----"));
    fc.assert(
      fc.property(fc.array(fc.tuple(noise, block), { minLength: 1, maxLength: 4 }), (parts) => {
        const text = parts.map(([before, { label, der }]) => `${before}\n${encodePem(label, der)}`).join("");
        expect(decodePem(text, { labels, max: 4 })).toEqual(parts.map(([, each]) => each));
      }),
      { numRuns: 200 },
    );
  });

  it("throws nothing but X509Error for vectors that were flipped, cut or repeated, and for random text", () => {
    const seed = fc.tuple(fc.constantFrom(...seeds), fc.array(damage, { minLength: 1, maxLength: 3 }));
    const piece = fc.constantFrom(
      "-----BEGIN CERTIFICATE-----",
      "-----END CERTIFICATE-----",
      "\n",
      "\r",
      "-",
      "AAAA",
      "=",
      " ",
    );
    const input = fc.oneof(
      seed.map(([octets, hows]) => new TextDecoder().decode(hows.reduce(damaged, octets))),
      fc.array(piece, { maxLength: 20 }).map((pieces) => pieces.join("")),
      fc.string({ maxLength: 200, unit: "binary" }),
    );
    fc.assert(
      fc.property(input, (text) => {
        ownErrorOnly(() => decodePem(text, { labels, max: 10 }));
        ownErrorOnly(() => csrDerFromPem(text));
      }),
      { numRuns: 2000 },
    );
  });

  it("takes no request that is cut before its END line is whole", () => {
    for (const seed of seedFiles("csr", ".pem").filter((each) => each.length < 3000)) {
      const text = new TextDecoder().decode(seed);
      const last = text.lastIndexOf("-----END");
      if (last < 0 || ownErrorOnly(() => csrDerFromPem(text)) === undefined) continue;
      for (let size = 0; size < text.trimEnd().length; size++) {
        expect(ownErrorOnly(() => csrDerFromPem(text.slice(0, size)))).toBeUndefined();
      }
    }
  });
});
