import { expect, it } from "vitest";

import { parseSpiffeId, parseTrustDomain } from "../../../src/spiffe/id.ts";
import { recoverTranscript } from "../../../src/spiffe/recover-proof.ts";

const fields = {
  trustDomain: parseTrustDomain("prod.example"),
  id: parseSpiffeId("spiffe://prod.example/agent/one"),
  serialHex: "40ff",
  clientNonce: Uint8Array.of(1),
  serverNonce: Uint8Array.of(2, 3),
  csrSha256: new Uint8Array(32),
};

it("recoverTranscript() is the label and each field, each behind its length in 4 octets", () => {
  expect(Buffer.from(recoverTranscript(fields)).toString("latin1")).toBe(
    [
      "\0\0\0\x11signet-recover-v1",
      "\0\0\0\x0cprod.example",
      "\0\0\0\x1fspiffe://prod.example/agent/one",
      "\0\0\0\x0440ff",
      "\0\0\0\x01\x01",
      "\0\0\0\x02\x02\x03",
      `\0\0\0\x20${"\0".repeat(32)}`,
    ].join(""),
  );
});

it("recoverTranscript() differs when octets move from one nonce to the other", () => {
  const moved = { ...fields, clientNonce: Uint8Array.of(1, 2), serverNonce: Uint8Array.of(3) };
  expect(recoverTranscript(moved)).not.toEqual(recoverTranscript(fields));
});
