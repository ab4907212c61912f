import { describe, expect, it } from "vitest";
import { EntryBook } from "../../../agent/entries.ts";
import { IdentityCache } from "../../../agent/identities/cache.ts";
import { matchEntry } from "../../../agent/sockets/match-entry.ts";
import { entryOf, heldOf, idOf } from "./slots.ts";

function book(wanted: (id: string) => boolean = () => true): {
  readonly cache: IdentityCache;
  readonly entries: EntryBook;
} {
  const cache = new IdentityCache();
  return { cache, entries: new EntryBook({ cache, wanted, directoryOf: (id) => `/x/${id.length}` }) };
}
const none = { full: false, entries: [], deleted: [], revision: 0n } as const;

describe("EntryBook", () => {
  it("takes nothing that is missing from a full read as a deletion", () => {
    const { cache, entries } = book();
    entries.apply({ full: true, entries: [entryOf("/a"), entryOf("/b")], deleted: [], revision: 2n });
    entries.apply({ full: true, entries: [entryOf("/b")], deleted: [], revision: 3n });
    expect(cache.all().map(({ spiffeId, withdrawn }) => [spiffeId, withdrawn])).toEqual([
      [idOf("/a"), false],
      [idOf("/b"), false],
    ]);
    expect([entries.revision, entries.complete]).toEqual([3n, true]);
  });

  it("withdraws an entry only by a deletion of a higher revision", () => {
    const { cache, entries } = book();
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 5n })] });
    cache.change(idOf("/a"), (slot) => ({ ...slot, held: heldOf("/a", { entryRevision: 5n }) }));
    entries.apply({ ...none, deleted: [{ spiffeId: idOf("/a"), revision: 5n }] });
    expect(cache.get(idOf("/a"))?.withdrawn).toBe(false);
    expect(entries.apply({ ...none, deleted: [{ spiffeId: idOf("/a"), revision: 6n }] })).toEqual([idOf("/a")]);
    expect(cache.get(idOf("/a"))?.withdrawn).toBe(true);
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 5n })] });
    expect(cache.get(idOf("/a"))?.withdrawn).toBe(true);
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 7n })] });
    expect(cache.get(idOf("/a"))?.withdrawn).toBe(false);
  });

  it("forgets at once what was deleted before it was obtained, and what an older message says of it", () => {
    const { cache, entries } = book();
    entries.apply({
      ...none,
      entries: [entryOf("/a", { revision: 1n })],
      deleted: [{ spiffeId: idOf("/a"), revision: 2n }],
    });
    expect(cache.all()).toEqual([]);
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 1n })] });
    expect(cache.all()).toEqual([]);
  });

  it("keeps the newer of two revisions whatever their order, and skips what is not configured", () => {
    const { cache, entries } = book((id) => !id.endsWith("/b"));
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 3n, hint: "new" }), entryOf("/b")] });
    entries.apply({ ...none, entries: [entryOf("/a", { revision: 2n, hint: "old" })] });
    expect(cache.all().map(({ entry }) => entry?.hint)).toEqual(["new"]);
  });
});

describe("matchEntry()", () => {
  it("is false for an entry without selectors, whoever asks", () => {
    expect(matchEntry([], { selectors: [] })).toBe(false);
    expect(matchEntry([], { selectors: ["unix:uid:0"] })).toBe(false);
  });

  it("needs every selector of the entry", () => {
    expect(matchEntry(["unix:uid:1", "unix:gid:2"], { selectors: ["unix:gid:2", "unix:uid:1", "unix:path:/x"] })).toBe(
      true,
    );
    expect(matchEntry(["unix:uid:1", "unix:gid:2"], { selectors: ["unix:uid:1"] })).toBe(false);
  });
});
