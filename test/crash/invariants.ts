// What must be true after any kill, of what is stored and of what was handed out.
import { expect } from "vitest";
import type { KeyManager } from "../../src/keys/key-manager.ts";
import { auditEvents } from "../../src/store/collections/audit-events.ts";
import { authorities } from "../../src/store/collections/authorities.ts";
import { certificates } from "../../src/store/collections/certificates.ts";
import { entries } from "../../src/store/collections/entries.ts";
import { nodes } from "../../src/store/collections/nodes.ts";
import { tokens } from "../../src/store/collections/tokens.ts";
import { trust, trustKey } from "../../src/store/collections/trust.ts";
import type { Collection, Store } from "../../src/store/store.ts";

export interface Held {
  readonly store: Store;
  readonly keys: KeyManager;
}

/** Leaves that somebody was given. */
export type HandedOut = readonly { readonly leafDer: Uint8Array; readonly serialHex: string }[];

/** Asserts all invariants; `before` are the sequences that were seen before. Resolves to the sequences now. */
export async function checkInvariants(
  held: Held,
  handedOut: HandedOut,
  before: { readonly bundle: bigint; readonly denied: bigint },
): Promise<{ readonly bundle: bigint; readonly denied: bigint }> {
  const all = <T>(collection: Collection<T>): Promise<readonly T[]> =>
    Array.fromAsync(held.store.scan(collection, "key"), ({ value }) => value);
  const recorded = await all(certificates);
  const bySerial = new Map(recorded.map((record) => [record.serialHex, record]));
  // No serial twice, under any authority.
  expect(bySerial.size).toBe(recorded.length);
  // Each certificate that anybody holds is recorded, with the same bytes.
  for (const { leafDer, serialHex } of handedOut) {
    expect(Buffer.from(bySerial.get(serialHex)?.der ?? new Uint8Array()).toString("hex")).toBe(
      Buffer.from(leafDer).toString("hex"),
    );
  }
  const events = await all(auditEvents);
  const audited = (action: string): ReadonlySet<string> =>
    new Set(events.filter((event) => event.action === action).map((event) => event.subject));
  // Every change has its audit event: they were one commit.
  expect([...audited("certificate.issue")].sort()).toEqual([...bySerial.keys()].sort());
  for (const entry of await all(entries)) {
    expect(audited("entry.create")).toContain(entry.entryId);
    expect(audited("entry.delete").has(entry.entryId)).toBe(entry.deletedAt !== undefined);
  }
  // A join string is bound to one key: that of the certificate it brought, which is recorded.
  for (const token of await all(tokens)) {
    expect(audited("token.create")).toContain(token.tokenId);
    if (token.used !== undefined) expect(bySerial.get(token.used.serialHex)?.spkiSha256).toBe(token.used.spkiSha256);
  }
  for (const node of await all(nodes)) expect(bySerial.get(node.serialHex)?.spiffeId).toBe(node.agentId);
  const names = new Set(await held.keys.list());
  const known = await all(authorities);
  for (const authority of known) {
    // What signs, leaves or CRLs, has its key; what is retired loses its key after that was committed, and signs nothing.
    if (["prepared", "active", "old"].includes(authority.state)) expect(names).toContain(authority.name);
    if (authority.state !== "active") continue;
    const sameProfiles = known.filter(
      (other) =>
        other.kind === "intermediate" &&
        other.state === "active" &&
        other.serves.some((each) => authority.serves.includes(each)),
    );
    expect(sameProfiles.length).toBeLessThanOrEqual(1);
  }
  const state = await held.store.get(trust, trustKey);
  const now = { bundle: state?.value.bundleSequence ?? 0n, denied: state?.value.deniedSequence ?? 0n };
  expect(now.bundle).toBeGreaterThanOrEqual(before.bundle);
  expect(now.denied).toBeGreaterThanOrEqual(before.denied);
  return now;
}
