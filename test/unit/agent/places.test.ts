import { describe, expect, it } from "vitest";
import { DirectoryError } from "../../../agent/identities/directory-error.ts";
import { type Accounts, type PlaceSetting, settlePlaces } from "../../../agent/identities/places.ts";
import { ConfigError } from "../../../src/platform/settings.ts";
import { idOf } from "./slots.ts";

const writer = { uid: 0, gid: 0 };
const accounts: Accounts = {
  user: async (name) => (name === "app" ? { uid: 500, gid: 501 } : undefined),
  group: async (name) => (name === "web" ? 600 : undefined),
};
const setting = (fields: Partial<PlaceSetting> = {}): PlaceSetting => ({
  spiffeId: idOf("/svc/a"),
  dir: "/run/signet/a",
  owner: undefined,
  group: undefined,
  keyMode: undefined,
  keepKey: false,
  reload: undefined,
  ...fields,
});
const settle = (settings: readonly PlaceSetting[]): ReturnType<typeof settlePlaces> =>
  settlePlaces(settings, { root: "/data/identities", writer, accounts });

describe("settlePlaces()", () => {
  it("sends every identity below the data directory when nothing is configured", async () => {
    const places = await settle([]);
    expect([places.wanted(idOf("/svc/a")), places.directoryOf(idOf("/svc/a"))]).toEqual([
      true,
      "/data/identities/svc/a",
    ]);
    expect(places.placeOf(idOf("/svc/a"))).toMatchObject({
      target: { path: "/data/identities/svc/a", keyMode: 0o600 },
      keepKey: false,
    });
  });

  it("sends only what is configured, where it says, to its owner", async () => {
    const reload = { kind: "signal", signal: "SIGHUP", pidFile: "/run/x.pid", user: undefined } as const;
    const places = await settle([setting({ owner: "app", group: "web", keyMode: 0o640, keepKey: true, reload })]);
    expect([places.wanted(idOf("/svc/b")), places.directoryOf(idOf("/svc/b"))]).toEqual([false, undefined]);
    expect(places.placeOf(idOf("/svc/a"))).toEqual({
      target: { path: "/run/signet/a", writer, owner: { uid: 500, gid: 600 }, keyMode: 0o640 },
      keepKey: true,
      reload: { kind: "signal", signal: "SIGHUP", pidFile: "/run/x.pid", ownerUid: 500, processUid: 500 },
    });
    expect(places.listed).toEqual([idOf("/svc/a")]);
  });

  it("refuses unknown users, and two identities in one directory", async () => {
    await expect(settle([setting({ owner: "nobody-knows" })])).rejects.toThrow(ConfigError);
    await expect(settle([setting(), setting({ spiffeId: idOf("/svc/b") })])).rejects.toThrow(
      "two identities have the directory /run/signet/a",
    );
  });

  for (const path of ["/svc/..data", "/svc/a/tls.key/b", "/svc/..v-1", "/identity.json"]) {
    it(`refuses ${path} below the data directory: it would lie among the files of another identity`, async () => {
      const places = await settle([]);
      expect(() => places.placeOf(idOf(path))).toThrow(DirectoryError);
    });
  }
});
