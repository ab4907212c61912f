import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { diskKeys } from "../../src/keys/disk.ts";
import { KeyError, type KeyManager } from "../../src/keys/key-manager.ts";
import { memoryKeys } from "../../src/keys/memory.ts";
import { readPassphraseFile } from "../../src/keys/passphrase.ts";
import { encryptPkcs8, handleOf, readPkcs8 } from "../../src/keys/pkcs8.ts";
import { systemRandom } from "../../src/platform/random.ts";
import { expectSigns, keyManagerSuite, keyTypes } from "./keys-suite.ts";

const made: string[] = [];
const newDir = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "signet-keys-"));
  made.push(dir);
  return dir;
};
const open = (dir: string, passphrase?: string): Promise<KeyManager> =>
  diskKeys({ dir, random: systemRandom, passphrase });
const passphrase = "correct horse Ü battery";

afterAll(() => {
  for (const dir of made) rmSync(dir, { recursive: true, force: true });
});

keyManagerSuite("memoryKeys()", async () => memoryKeys());
keyManagerSuite("diskKeys()", () => open(newDir()), ["ec-p256", "ec-p384", "rsa-2048", "ed25519"]);
keyManagerSuite("diskKeys() with a passphrase", () => open(newDir(), passphrase), ["ec-p256", "ed25519"]);

describe("diskKeys()", () => {
  it.each([undefined, passphrase])("a key is there after a restart, its file 0600 (passphrase: %s)", async (secret) => {
    const dir = join(newDir(), "keys");
    const former = process.umask(0);
    const before = await open(dir, secret)
      .then((keys) => keys.create("int-1", "ec-p384"))
      .finally(() => process.umask(former));
    expect([statSync(dir).mode & 0o777, statSync(join(dir, "int-1.key")).mode & 0o777, readdirSync(dir)]).toEqual([
      0o700,
      0o600,
      ["int-1.key"],
    ]);
    const keys = await open(dir, secret);
    expect(keys.encrypted).toBe(secret !== undefined);
    const after = await keys.open("int-1");
    expect(after.spkiDer).toEqual(before.spkiDer);
    await expectSigns(after);
  });

  it("a wrong or missing passphrase is bad_passphrase, and the right one still opens", async () => {
    const dir = newDir();
    await (await open(dir, passphrase)).create("int-1", "ec-p256");
    for (const wrong of ["wrong", "", undefined]) {
      const keys = await open(dir, wrong);
      await expect(keys.open("int-1")).rejects.toMatchObject({
        name: "KeyError",
        code: "bad_passphrase",
        message: expect.not.stringContaining("horse"),
      });
      await expect(keys.open("int-1")).rejects.toMatchObject({ code: "bad_passphrase" });
    }
    await expectSigns(await (await open(dir, passphrase)).open("int-1"));
  });

  it("a key file that others can read is unsafe_file", async () => {
    const dir = newDir();
    await (await open(dir)).create("int-1", "ec-p256");
    chmodSync(join(dir, "int-1.key"), 0o640);
    await expect((await open(dir)).open("int-1")).rejects.toMatchObject({
      code: "unsafe_file",
      message: expect.stringContaining("chmod 600"),
    });
    chmodSync(dir, 0o777);
    await expect(open(dir)).rejects.toMatchObject({ code: "unsafe_file" });
  });

  it.each([
    ["nothing", ""],
    ["no PEM", "hello"],
    ["a certificate's label", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"],
    ["no key", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"],
    [
      "a key that authorities do not have",
      generateKeyPairSync("x25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    ],
    [
      "an old form",
      generateKeyPairSync("rsa", { modulusLength: 2048 })
        .privateKey.export({ format: "pem", type: "pkcs1" })
        .toString(),
    ],
  ])("a key file that holds %s is unreadable", async (_what, text) => {
    const dir = newDir();
    writeFileSync(join(dir, "int-1.key"), text, { mode: 0o600 });
    await expect((await open(dir)).open("int-1")).rejects.toMatchObject({ name: "KeyError", code: "unreadable" });
  });

  it("a damaged encrypted key is one of our errors, whichever octet it is", async () => {
    const dir = newDir();
    await (await open(dir, passphrase)).create("int-1", "ed25519");
    const whole = readFileSync(join(dir, "int-1.key"), "latin1");
    for (let at = 0; at < whole.length; at += 29) {
      const damaged = `${whole.slice(0, at)}${whole[at] === "A" ? "B" : "A"}${whole.slice(at + 1)}`;
      try {
        handleOf("int-1", readPkcs8(damaged, passphrase, "the key"));
      } catch (error) {
        expect(error).toBeInstanceOf(KeyError);
      }
    }
  });

  it("what a kill left of a key that nobody was given goes at the next start", async () => {
    const dir = newDir();
    writeFileSync(join(dir, ".int-1.key.0123456789ab"), "half a key");
    writeFileSync(join(dir, "notes.txt"), "mine");
    const keys = await open(dir);
    expect(readdirSync(dir)).toEqual(["notes.txt"]);
    expect(await keys.list()).toEqual([]);
  });
});

describe("encryptPkcs8()", () => {
  it.each(keyTypes)("node and openssl read an encrypted %s key, and refuse a wrong passphrase", async (type) => {
    const dir = newDir();
    const keys = memoryKeys();
    const handle = await keys.create("root-1", type);
    const file = join(dir, "root-1.key");
    writeFileSync(file, encryptPkcs8(keys.key("root-1"), passphrase, systemRandom), { mode: 0o600 });
    expect(readFileSync(file, "latin1")).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    const readByNode = createPrivateKey({ key: readFileSync(file), passphrase });
    expect(new Uint8Array(createPublicKey(readByNode).export({ format: "der", type: "spki" }))).toEqual(handle.spkiDer);
    const spki = execFileSync("openssl", [
      "pkey",
      "-in",
      file,
      "-passin",
      `pass:${passphrase}`,
      "-pubout",
      "-outform",
      "DER",
    ]);
    expect(new Uint8Array(spki)).toEqual(handle.spkiDer);
    expect(() =>
      execFileSync("openssl", ["pkey", "-in", file, "-passin", "pass:wrong", "-noout"], { stdio: "ignore" }),
    ).toThrow();
    expect(() => readPkcs8(readFileSync(file, "utf8"), "wrong", "the root key")).toThrow(KeyError);
  });

  it("encryptPkcs8() uses PBES2 with scrypt N=2^14, r=8, p=5 and AES-256-CBC, with a fresh salt each time", async () => {
    const keys = memoryKeys();
    await keys.create("root-1", "ec-p256");
    const [one, two] = [0, 1].map(() => encryptPkcs8(keys.key("root-1"), passphrase, systemRandom));
    expect(one).not.toBe(two);
    const shown = execFileSync("openssl", ["asn1parse"], { input: one, encoding: "utf8" });
    for (const part of ["PBES2", "scrypt", ":4000", ":08", ":05", "aes-256-cbc"]) expect(shown).toContain(part);
  });
});

describe("readPassphraseFile()", () => {
  it("takes the text without its last line break, and refuses a file that others can read", async () => {
    const file = join(newDir(), "pass");
    writeFileSync(file, " two words \r\n", { mode: 0o600 });
    expect(await readPassphraseFile(file)).toBe(" two words ");
    chmodSync(file, 0o644);
    await expect(readPassphraseFile(file)).rejects.toMatchObject({ name: "FileError", code: "unsafe" });
  });

  it.each([
    ["empty", ""],
    ["a line break", "\n"],
    ["no text", new Uint8Array([0xff, 0xfe, 0x00])],
  ])("refuses one that is %s", async (_what, content) => {
    const file = join(newDir(), "pass");
    writeFileSync(file, content, { mode: 0o600 });
    await expect(readPassphraseFile(file)).rejects.toMatchObject({ name: "KeyError", code: "unreadable" });
    expect(existsSync(file)).toBe(true);
  });
});
