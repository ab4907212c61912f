import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import { transcriptOf } from "../../../src/spiffe/transcript.ts";
import { x509popTranscript } from "../../../src/spiffe/x509pop-proof.ts";

describe("x509popTranscript()", () => {
  it("is the label, the trust domain, both nonces and the digest of the CSR, each behind its length", () => {
    const transcript = x509popTranscript({
      trustDomain: parseTrustDomain("prod.example"),
      serverNonce: new Uint8Array(32).fill(1),
      clientNonce: new Uint8Array(32).fill(2),
      csrSha256: new Uint8Array(32).fill(3),
    });
    expect(Buffer.from(transcript).toString("latin1")).toBe(
      `\0\0\0\x11signet-x509pop-v1\0\0\0\x0cprod.example${[1, 2, 3]
        .map((octet) => `\0\0\0\x20${String.fromCharCode(octet).repeat(32)}`)
        .join("")}`,
    );
  });
});

describe("transcriptOf()", () => {
  it("gives different octets for different fields, however they are cut", () => {
    const fields = fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 4 });
    fc.assert(
      fc.property(fields, fields, (one, other) => {
        const same = JSON.stringify(one.map((each) => [...each])) === JSON.stringify(other.map((each) => [...each]));
        const octets = [one, other].map((each) => Buffer.from(transcriptOf("label", each)).toString("hex"));
        expect(octets[0] === octets[1]).toBe(same);
      }),
    );
  });
});
