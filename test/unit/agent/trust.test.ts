import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeOwnFile } from "../../../agent/data-files.ts";
import { loadTrust, merge, type TrustState, TrustStore } from "../../../agent/trust.ts";
import { silentLogger } from "../../../src/platform/logger.ts";
import { parseTrustDomain } from "../../../src/spiffe/id.ts";
import { buildCa } from "../../fakes/build-ca.ts";

const ca = buildCa();
const held: TrustState = {
  trustDomain: parseTrustDomain("prod.example"),
  bundle: { ...ca.bundle, sequence: 5n },
  denyList: { sequence: 3n, denied: [] },
  crlsDer: [],
  pushedAddresses: [],
  joinAddresses: ["10.0.0.1:7443"],
};
let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "signet-trust-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("merge()", () => {
  const refused: string[] = [];
  const offer = (change: Parameters<typeof merge>[1]): TrustState =>
    merge(held, change, (detail) => void refused.push(detail));

  it("takes a higher sequence and refuses a lower one, each on its own", () => {
    expect(offer({ bundle: { ...held.bundle, sequence: 6n } }).bundle.sequence).toBe(6n);
    expect(offer({ bundle: { ...held.bundle, sequence: 4n } })).toBe(held);
    expect(offer({ bundle: { ...held.bundle, sequence: 5n } })).toBe(held);
    expect(offer({ denyList: { sequence: 2n, denied: [] } })).toBe(held);
    expect(offer({ denyList: { sequence: 4n, denied: [] } }).denyList.sequence).toBe(4n);
    expect(refused).toEqual([
      "bundle refused: its sequence is lower than the one held",
      "deny list refused: its sequence is lower than the one held",
    ]);
  });

  it("refuses a bundle of another trust domain, one without roots, and CRLs that cannot be read", () => {
    expect(offer({ bundle: { ...held.bundle, sequence: 9n, trustDomain: parseTrustDomain("evil.example") } })).toBe(
      held,
    );
    expect(offer({ bundle: { ...held.bundle, sequence: 9n, roots: [] } })).toBe(held);
    expect(offer({ denyList: { sequence: 9n, denied: [] }, crlsDer: [new Uint8Array([1, 2])] })).toBe(held);
  });
});

describe("TrustStore", () => {
  it("is durable when offer() resolves, and comes back whole", async () => {
    const path = join(directory, "trust.json");
    const store = new TrustStore({ path, write: writeOwnFile, logger: silentLogger }, held);
    const denied = [{ authorityKeyId: "ab", serialHex: "*" }];
    await store.offer({
      bundle: { ...held.bundle, sequence: 2n ** 60n + 1n },
      denyList: { sequence: 4n, denied },
      addresses: ["b:1"],
    });
    expect(store.durable).toEqual({ bundle: 2n ** 60n + 1n, denied: 4n, error: "" });
    const again = await loadTrust(path);
    expect(again?.bundle.sequence).toBe(2n ** 60n + 1n);
    expect(again?.bundle.roots[0]?.raw).toEqual(ca.root.raw);
    expect([again?.denyList, again?.pushedAddresses, again?.joinAddresses]).toEqual([
      { sequence: 4n, denied },
      ["b:1"],
      ["10.0.0.1:7443"],
    ]);
    expect(await loadTrust(join(directory, "none.json"))).toBeUndefined();
  });

  it("trusts at once what cannot be made durable, does not call it durable, and tries again", async () => {
    let full = true;
    const write = async (path: string, bytes: Uint8Array): Promise<void> => {
      if (full) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
      await writeOwnFile(path, bytes);
    };
    const store = new TrustStore({ path: join(directory, "trust.json"), write, logger: silentLogger }, held);
    await store.offer({ denyList: { sequence: 4n, denied: [] } });
    expect(store.state.denyList.sequence).toBe(4n);
    expect(store.durable).toEqual({
      bundle: 5n,
      denied: 3n,
      error: "cannot write the data directory: no space left on device",
    });
    full = false;
    await store.flush();
    expect(store.durable).toEqual({ bundle: 5n, denied: 4n, error: "" });
  });
});
