import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import { KeyError, type KeyHandle, type KeyManager, type KeyType } from "../../src/keys/key-manager.ts";
import { parseSpki } from "../../src/x509/spki.ts";

export const keyTypes: readonly KeyType[] = ["ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "ed25519"];

/** What every key manager promises. `make` gives one that holds nothing; RSA keys take seconds to make. */
export function keyManagerSuite(
  name: string,
  make: () => Promise<KeyManager>,
  types: readonly KeyType[] = keyTypes,
): void {
  describe(`${name} as a KeyManager`, () => {
    it.each(types)("create() makes a key of type %s that signs with the algorithm of its type", async (type) => {
      const keys = await make();
      const key = await keys.create("int-1", type);
      expect([key.name, key.type, parseSpki(key.spkiDer).type]).toEqual(["int-1", type, type]);
      await expectSigns(key);
    });

    it("create() refuses a name that is taken, at the same time too, and keeps the first key", async () => {
      const keys = await make();
      const results = await Promise.allSettled([keys.create("int-1", "ec-p256"), keys.create("int-1", "ec-p256")]);
      expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      await expect(keys.create("int-1", "ed25519")).rejects.toMatchObject({ name: "KeyError", code: "exists" });
      const kept = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
      expect((await keys.open("int-1")).spkiDer).toEqual(kept[0]?.spkiDer);
    });

    it("open() gives the same handle for the same name", async () => {
      const keys = await make();
      const made = await keys.create("int-1", "ec-p256");
      const [one, two] = await Promise.all([keys.open("int-1"), keys.open("int-1")]);
      expect(one).toBe(two);
      expect(one.spkiDer).toEqual(made.spkiDer);
    });

    it("open() of a name that there is not is not_found, whatever the name", async () => {
      const keys = await make();
      for (const bad of ["none", "", "../int-1", "a/b", "a\0b", ".hidden", "ROOT", "x".repeat(300)]) {
        await expect(
          keys.open(bad).then(
            () => "opened",
            (error: unknown) => (error instanceof KeyError ? error.code : error),
          ),
        ).resolves.toBe("not_found");
        await expect(keys.destroy(bad)).resolves.toBeUndefined();
      }
    });

    it("list() names what there is, and destroy() takes it away for good", async () => {
      const keys = await make();
      await keys.create("int-2", "ec-p256");
      await keys.create("int-1", "ed25519");
      expect(await keys.list()).toEqual(["int-1", "int-2"]);
      await keys.destroy("int-1");
      await keys.destroy("int-1");
      expect(await keys.list()).toEqual(["int-2"]);
      await expect(keys.open("int-1")).rejects.toMatchObject({ code: "not_found" });
      await expectSigns(await keys.create("int-1", "ec-p256"));
    });

    it("a handle shows no private octets", async () => {
      const key = await (await make()).create("int-1", "ec-p256");
      expect(Object.keys(key).sort()).toEqual(["name", "sign", "spkiDer", "type"]);
    });
  });
}

export async function expectSigns(key: KeyHandle): Promise<void> {
  const octets = new TextEncoder().encode("to be signed");
  const signature = await key.sign(octets);
  const publicKey: KeyObject = createPublicKey({ key: Buffer.from(key.spkiDer), format: "der", type: "spki" });
  const hash = { "ec-p256": "sha256", "ec-p384": "sha384", "rsa-2048": "sha256", "rsa-3072": "sha256", ed25519: null }[
    key.type
  ];
  expect(verify(hash, octets, publicKey, signature)).toBe(true);
}
