import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createFileDurably,
  FileError,
  isTemporaryName,
  readSecretFile,
  readTrustedFile,
  removeFileDurably,
  temporaryName,
  writeFileDurably,
} from "../../../src/platform/atomic-file.ts";
import { createDataDir, type DataDirError, openDataDir } from "../../../src/platform/data-dir.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "signet-files-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o7777;
const at = new Date("2026-01-01T00:00:00Z");
const setfacl = spawnSync("setfacl", ["--version"]).status === 0;
const isRoot = process.geteuid?.() === 0;

describe("writeFileDurably()", () => {
  it("writeFileDurably() replaces the whole file with the mode that was asked for, whatever the umask", async () => {
    const path = join(dir, "f");
    const former = process.umask(0o077);
    try {
      await writeFileDurably(path, "one", { mode: 0o644 });
      await writeFileDurably(path, new Uint8Array([50]), { mode: 0o644 });
    } finally {
      process.umask(former);
    }
    expect([readFileSync(path, "utf8"), modeOf(path), readdirSync(dir)]).toEqual(["2", 0o644, ["f"]]);
    await writeFileDurably(path, "3");
    expect(modeOf(path)).toBe(0o600);
  });

  it("writeFileDurably() replaces a link, and does not write where it points", async () => {
    writeFileSync(join(dir, "victim"), "mine");
    symlinkSync("victim", join(dir, "f"));
    await writeFileDurably(join(dir, "f"), "new");
    expect(readFileSync(join(dir, "victim"), "utf8")).toBe("mine");
  });

  it("writeFileDurably() syncs the whole content before its name appears, and the name after", async () => {
    const path = join(dir, "f");
    writeFileSync(path, "old");
    const seen: string[] = [];
    const handle = await open(dir, "r");
    const prototype = Object.getPrototypeOf(handle) as { sync: (this: { readonly fd: number }) => Promise<void> };
    await handle.close();
    const former = prototype.sync;
    prototype.sync = async function sync() {
      const facts = fstatSync(this.fd);
      seen.push(
        `${facts.isDirectory() ? "directory" : `${facts.size} octets`} while the name shows ${readFileSync(path, "utf8")}`,
      );
      return former.call(this);
    };
    try {
      await writeFileDurably(path, "the new one");
    } finally {
      prototype.sync = former;
    }
    expect(seen).toEqual(["11 octets while the name shows old", "directory while the name shows the new one"]);
  });

  it("writeFileDurably() leaves nothing behind when it fails", async () => {
    mkdirSync(join(dir, "d", "full"), { recursive: true });
    await expect(writeFileDurably(join(dir, "d"), "x")).rejects.toMatchObject({ code: "EISDIR" });
    await expect(writeFileDurably(join(dir, "none", "f"), "x")).rejects.toMatchObject({ code: "ENOENT" });
    expect(readdirSync(dir)).toEqual(["d"]);
  });

  it.each(["f", "agent.json", ".hidden", `${"0a".repeat(32)}.json`, "a name with spaces"])(
    "isTemporaryName() knows what temporaryName(%j) makes, and not the file itself",
    (name) => {
      expect([temporaryName(name), name].map(isTemporaryName)).toEqual([true, false]);
      expect(temporaryName(name)).not.toBe(temporaryName(name));
    },
  );

  it("createFileDurably() never replaces, and removeFileDurably() takes what is not there", async () => {
    const path = join(dir, "key");
    await createFileDurably(path, "one");
    await expect(createFileDurably(path, "two")).rejects.toMatchObject({ name: "FileError", code: "exists" });
    expect([readFileSync(path, "utf8"), modeOf(path), readdirSync(dir)]).toEqual(["one", 0o600, ["key"]]);
    await removeFileDurably(path);
    await removeFileDurably(path);
    expect(existsSync(path)).toBe(false);
  });
});

describe("readSecretFile() and readTrustedFile()", () => {
  it.each([0o644, 0o640, 0o604, 0o660, 0o602])("readSecretFile() refuses mode %o", async (mode) => {
    const path = join(dir, "pass");
    writeFileSync(path, "secret");
    chmodSync(path, mode);
    await expect(readSecretFile(path)).rejects.toMatchObject({
      code: "unsafe",
      message: expect.stringContaining(`chmod 600 ${path}`),
    });
  });

  it("readSecretFile() reads a file that is its owner's alone, also through a link", async () => {
    writeFileSync(join(dir, "pass"), "secret", { mode: 0o400 });
    symlinkSync("pass", join(dir, "link"));
    expect(Buffer.from(await readSecretFile(join(dir, "link"))).toString()).toBe("secret");
  });

  it.runIf(isRoot && setfacl)(
    "readSecretFile() takes a credential of systemd, root's with an ACL for the service, and no other 0440",
    async () => {
      const path = join(dir, "pass");
      writeFileSync(path, "secret", { mode: 0o400 });
      execFileSync("setfacl", ["-m", "u:12345:r", path]);
      execFileSync("setfacl", ["-m", "u:12345:rx", dir]);
      expect(modeOf(path)).toBe(0o440);
      // As root there is no need of an ACL, so this is a file that others can read.
      await expect(readSecretFile(path)).rejects.toMatchObject({ code: "unsafe" });
      process.setegid?.(12_345);
      process.seteuid?.(12_345);
      try {
        await expect(readSecretFile(path)).resolves.toHaveLength(6);
      } finally {
        process.seteuid?.(0);
        process.setegid?.(0);
      }
      chmodSync(path, 0o444);
      process.seteuid?.(12_345);
      try {
        await expect(readSecretFile(path)).rejects.toMatchObject({ code: "unsafe" });
      } finally {
        process.seteuid?.(0);
      }
    },
  );

  it.each([0o646, 0o666, 0o602])("readTrustedFile() refuses mode %o", async (mode) => {
    const path = join(dir, "conf");
    writeFileSync(path, "x: 1");
    chmodSync(path, mode);
    await expect(readTrustedFile(path)).rejects.toMatchObject({
      code: "unsafe",
      message: expect.stringContaining("can be written by others"),
    });
  });

  it.runIf(isRoot)(
    "both refuse a file of another user, and readTrustedFile() a foreign group that may write",
    async () => {
      const path = join(dir, "conf");
      writeFileSync(path, "x: 1", { mode: 0o600 });
      const { chownSync } = await import("node:fs");
      chownSync(path, 12_345, 12_345);
      await expect(readSecretFile(path)).rejects.toMatchObject({ code: "unsafe" });
      await expect(readTrustedFile(path)).rejects.toMatchObject({ code: "unsafe" });
      chownSync(path, 0, 12_345);
      chmodSync(path, 0o660);
      await expect(readTrustedFile(path)).rejects.toMatchObject({ code: "unsafe" });
      chownSync(path, 0, 0);
      await expect(readTrustedFile(path)).resolves.toHaveLength(4);
    },
  );

  it("both refuse what is missing, is no file, or is too large, as FileError", async () => {
    writeFileSync(join(dir, "big"), "x".repeat(100), { mode: 0o600 });
    for (const read of [readSecretFile, readTrustedFile]) {
      await expect(read(join(dir, "none"))).rejects.toMatchObject({ code: "missing" });
      await expect(read(join(dir, "big", "below"))).rejects.toMatchObject({ code: "missing" });
      await expect(read(dir)).rejects.toMatchObject({ code: "unsafe" });
      await expect(read("/dev/null")).rejects.toBeInstanceOf(FileError);
      await expect(read(join(dir, "big"), { maxBytes: 99 })).rejects.toMatchObject({ code: "too_large" });
      await expect(read(join(dir, "big"), { maxBytes: 100 })).resolves.toHaveLength(100);
    }
  });
});

describe("data directory", () => {
  const server = { kind: "server", version: 2 };
  const make = (path: string, stamp = server): ReturnType<typeof createDataDir> =>
    createDataDir(path, { ...stamp, now: at, trustDomain: "t" }, async () => {});
  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => "fine",
      (error: DataDirError) => error.code,
    );

  it("createDataDir() makes it 0700 whatever the umask, stamped, with a .gitignore, and openDataDir() opens it", async () => {
    const path = join(dir, "a", "b");
    const former = process.umask(0);
    const made = await make(path).finally(() => process.umask(former));
    expect(modeOf(path)).toBe(0o700);
    expect(readFileSync(join(path, ".gitignore"), "utf8")).toBe("*\n");
    expect(readdirSync(path).sort()).toEqual([".gitignore", "signet.json"]);
    const opened = await openDataDir(path, server);
    expect(opened.stamp).toEqual({ kind: "server", version: 2, createdAt: at.toISOString(), trustDomain: "t" });
    await made.writeJson("ports.json", { api: 1 });
    expect(await opened.readJson("ports.json")).toEqual({ api: 1 });
    expect(await opened.readJson("none.json")).toBeUndefined();
    expect(modeOf(made.file("ports.json"))).toBe(0o600);
  });

  it("createDataDir() takes an empty directory that is there, such as a volume, and closes it", async () => {
    const path = join(dir, "volume");
    mkdirSync(join(path, "lost+found"), { recursive: true, mode: 0o755 });
    await make(path);
    expect([modeOf(path), existsSync(join(path, "lost+found"))]).toEqual([0o700, true]);
    await openDataDir(path, server);
  });

  it("createDataDir() touches nothing that is there", async () => {
    await make(join(dir, "data"));
    mkdirSync(join(dir, "full"));
    writeFileSync(join(dir, "full", "thesis"), "x");
    writeFileSync(join(dir, "file"), "x");
    mkdirSync(join(dir, "shared"));
    chmodSync(join(dir, "shared"), 0o1777);
    for (const name of ["data", "full", "file", "shared"]) expect(await codeOf(make(join(dir, name)))).toBe("exists");
    expect(readFileSync(join(dir, "full", "thesis"), "utf8")).toBe("x");
    expect(modeOf(join(dir, "shared"))).toBe(0o1777);
  });

  it("createDataDir() leaves nothing when filling fails, and begins anew after a kill", async () => {
    const path = join(dir, "data");
    const failing = createDataDir(path, { ...server, now: at }, async (half) => {
      await half.writeJson("keys.json", 1);
      throw new Error("no space");
    });
    await expect(failing).rejects.toThrow("no space");
    expect(existsSync(path)).toBe(false);
    mkdirSync(path, { mode: 0o700 });
    writeFileSync(join(path, ".signet-unfinished"), "");
    writeFileSync(join(path, "root-1.key"), "half");
    expect(await codeOf(openDataDir(path, server))).toBe("missing");
    await make(path);
    expect(readdirSync(path).sort()).toEqual([".gitignore", "signet.json"]);
  });

  it.each([
    ["missing", (path: string) => rmSync(path, { recursive: true })],
    ["missing", (path: string) => rmSync(join(path, "signet.json"))],
    ["others_may_enter", (path: string) => chmodSync(path, 0o750)],
    ["others_may_enter", (path: string) => chmodSync(path, 0o701)],
    ["newer", (path: string) => writeFileSync(join(path, "signet.json"), '{"kind":"server","version":3}')],
    ["other_kind", (path: string) => writeFileSync(join(path, "signet.json"), '{"kind":"agent","version":1}')],
    ["unreadable", (path: string) => writeFileSync(join(path, "signet.json"), "{")],
    ["unreadable", (path: string) => writeFileSync(join(path, "signet.json"), "[]")],
    ["unreadable", (path: string) => writeFileSync(join(path, "signet.json"), '{"kind":1,"version":"x"}')],
  ])("openDataDir() refuses: %s", async (code, spoil) => {
    const path = join(dir, "data");
    await make(path);
    spoil(path);
    await expect(openDataDir(path, server)).rejects.toMatchObject({
      name: "DataDirError",
      code,
      message: expect.stringContaining(path),
    });
  });

  it.runIf(isRoot)("openDataDir() refuses another user's directory, for root too", async () => {
    const path = join(dir, "data");
    await make(path);
    const { chownSync } = await import("node:fs");
    chownSync(path, 12_345, 12_345);
    expect(await codeOf(openDataDir(path, server))).toBe("others_may_enter");
  });
});
