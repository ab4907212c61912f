import {
  chmod,
  lchown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectoryError } from "../../../agent/identities/directory-error.ts";
import { type FilePort, systemFiles } from "../../../agent/identities/file-port.ts";
import {
  type DirectoryDeps,
  type DirectoryTarget,
  probeDirectory,
  removeIdentitySet,
  writeIdentitySet,
} from "../../../agent/identities/files.ts";
import { type SetFile, setNames } from "../../../agent/identities/identity-set.ts";
import { systemRandom } from "../../../src/platform/random.ts";

const isRoot = process.getuid?.() === 0;
const writer = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
let parent = "";
let target: DirectoryTarget;

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "signet-files-"));
  target = { path: join(parent, "a"), writer, keyMode: 0o600 };
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const deps = (files: FilePort = systemFiles): DirectoryDeps => ({
  files,
  random: systemRandom,
  byDescriptor: process.platform === "linux",
});

/** A set whose files all say the same word. */
function set(word: string): readonly SetFile[] {
  return setNames.map((name) => ({
    name,
    bytes: new TextEncoder().encode(`${word} ${name}\n`),
    secret: name === "tls.key" || name === "tls.pem",
  }));
}

/** The word of each file, read as a service does: `..data` resolved once. */
async function words(path: string = target.path): Promise<readonly string[]> {
  const version = await readlink(join(path, "..data"));
  const texts = await Promise.all(setNames.map((name) => readFile(join(path, version, name), "utf8")));
  return [...new Set(texts.map((text) => text.split(" ")[0] ?? ""))];
}

async function failure(work: Promise<unknown>): Promise<DirectoryError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DirectoryError)) throw new Error(`not a DirectoryError: ${String(error)}`);
  return error;
}

const versions = async (): Promise<readonly string[]> =>
  (await readdir(target.path)).filter((name) => name.startsWith("..v-") || name.startsWith("..t-"));

describe("writeIdentitySet()", { timeout: 60_000 }, () => {
  it("makes the directory, and each name a link through ..data", async () => {
    await writeIdentitySet(deps(), target, set("one"));
    expect(await words()).toEqual(["one"]);
    for (const name of setNames) {
      expect(await readlink(join(target.path, name))).toBe(`..data/${name}`);
      expect(await readFile(join(target.path, name), "utf8")).toBe(`one ${name}\n`);
    }
    expect((await stat(target.path)).mode & 0o7777).toBe(0o755);
  });

  it("keeps the version before until the next rotation, and no other", async () => {
    await writeIdentitySet(deps(), target, set("one"));
    const first = await readlink(join(target.path, "..data"));
    await writeIdentitySet(deps(), target, set("two"));
    expect(await readFile(join(target.path, first, "tls.crt"), "utf8")).toBe("one tls.crt\n");
    await writeIdentitySet(deps(), target, set("three"));
    expect(await words()).toEqual(["three"]);
    expect(await versions()).toHaveLength(2);
    expect(await versions()).not.toContain(first);
  });

  for (const mask of [0, 0o077]) {
    it(`gives files their final mode whatever the umask is (${mask.toString(8)})`, async () => {
      const before = process.umask(mask);
      try {
        await writeIdentitySet(deps(), { ...target, keyMode: 0o640 }, set("one"));
      } finally {
        process.umask(before);
      }
      for (const name of setNames) {
        const secret = name === "tls.key" || name === "tls.pem";
        expect((await stat(join(target.path, name))).mode & 0o7777, name).toBe(secret ? 0o640 : 0o644);
      }
      expect((await stat(join(target.path, "..data"))).mode & 0o7777).toBe(0o755);
    });
  }

  it("has owner and mode settled before the first byte is written", async () => {
    const calls: string[] = [];
    const files: FilePort = {
      ...systemFiles,
      chown: async (fd, uid, gid) =>
        void calls.push(`chown ${uid} ${gid} ${(await systemFiles.facts(fd)).mode.toString(8)}`),
      chmod: async (fd, mode) => {
        await systemFiles.chmod(fd, mode);
        if ((await systemFiles.facts(fd)).kind === "file") calls.push(`chmod ${mode.toString(8)}`);
      },
      write: async (fd, bytes) => {
        calls.push("write");
        await systemFiles.write(fd, bytes);
      },
    };
    await writeIdentitySet(deps(files), { ...target, owner: { uid: 1234, gid: 5678 }, keyMode: 0o440 }, set("one"));
    expect(calls).toHaveLength(3 * setNames.length);
    expect(calls.slice(3, 6)).toEqual(["chown 1234 5678 600", "chmod 440", "write"]);
  });

  it("syncs each file after it is written, then the version, before the rename, and the directory after it", async () => {
    const calls: string[] = [];
    const names = new Map<number, string>();
    const nameOf = (path: string): string => basename(path).replace(/^\.\.v-.*/, "version");
    const files: FilePort = {
      ...systemFiles,
      openDirectory: async (path) => {
        const fd = await systemFiles.openDirectory(path);
        names.set(fd, path === target.path ? "directory" : nameOf(path));
        return fd;
      },
      createFile: async (path) => {
        const fd = await systemFiles.createFile(path);
        names.set(fd, nameOf(path));
        return fd;
      },
      write: async (fd, bytes) => {
        calls.push(`write ${names.get(fd)}`);
        await systemFiles.write(fd, bytes);
      },
      sync: async (fd) => {
        calls.push(`sync ${names.get(fd)}`);
        await systemFiles.sync(fd);
      },
      rename: async (from, to) => {
        calls.push(`rename ${nameOf(to)}`);
        await systemFiles.rename(from, to);
      },
    };
    await writeIdentitySet(deps(files), target, set("one"));
    const ours = calls.slice(calls.indexOf(`write ${setNames[0]}`));
    expect(ours).toEqual([
      ...setNames.flatMap((name) => [`write ${name}`, `sync ${name}`]),
      "sync version",
      "sync directory",
      "rename ..data",
      "sync directory",
    ]);
  });

  it.runIf(isRoot)("gives files to the owner and group that are configured", async () => {
    await writeIdentitySet(deps(), { ...target, owner: { uid: 1234, gid: 5678 } }, set("one"));
    const facts = await stat(join(target.path, "tls.key"));
    expect([facts.uid, facts.gid, facts.mode & 0o7777]).toEqual([1234, 5678, 0o600]);
  });

  it("replaces a ..data that leads elsewhere and leaves its target alone", async () => {
    const elsewhere = join(parent, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "tls.key"), "precious");
    await mkdir(target.path);
    await symlink(elsewhere, join(target.path, "..data"));
    await symlink(join(elsewhere, "tls.key"), join(target.path, "tls.key"));
    await writeIdentitySet(deps(), target, set("one"));
    await writeIdentitySet(deps(), target, set("two"));
    expect(await words()).toEqual(["two"]);
    expect(await readFile(join(target.path, "tls.key"), "utf8")).toBe("two tls.key\n");
    expect(await readFile(join(elsewhere, "tls.key"), "utf8")).toBe("precious");
  });

  it("refuses a directory that holds a file of somebody else under one of its names", async () => {
    await mkdir(target.path);
    await writeFile(join(target.path, "tls.key"), "precious");
    const error = await failure(writeIdentitySet(deps(), target, set("one")));
    expect([error.reason, error.message]).toEqual([
      "foreign",
      `cannot write ${target.path}: tls.key in it is a file that this agent did not make`,
    ]);
    expect(await readdir(target.path)).toEqual(["tls.key"]);
  });

  it("refuses a directory, or a parent, that others may write to", async () => {
    await mkdir(target.path);
    await chmod(target.path, 0o777);
    expect((await failure(writeIdentitySet(deps(), target, set("one")))).message).toContain(
      "others may write to it (mode 0777)",
    );
    await chmod(target.path, 0o755);
    await chmod(parent, 0o757);
    const error = await failure(writeIdentitySet(deps(), target, set("one")));
    expect([error.reason, error.message]).toEqual([
      "unsafe",
      `${parent} is not safe for keys: others may write to it (mode 0757)`,
    ]);
    await chmod(parent, 0o1777);
    await writeIdentitySet(deps(), target, set("one"));
    await chmod(target.path, 0o1777);
    expect((await failure(writeIdentitySet(deps(), target, set("one")))).reason).toBe("unsafe");
  });

  it.runIf(isRoot)(
    "refuses a directory, a parent or a link on the way that belongs to another user or group",
    async () => {
      await mkdir(target.path);
      await lchown(target.path, 1234, 0);
      expect((await failure(writeIdentitySet(deps(), target, set("one")))).message).toContain("belongs to user 1234");
      await lchown(target.path, 0, 1234);
      await writeIdentitySet(deps(), target, set("one"));
      await chmod(target.path, 0o775);
      expect((await failure(writeIdentitySet(deps(), target, set("one")))).message).toContain(
        "group 1234 may write to it",
      );
      await lchown(target.path, 0, 0);
      await writeIdentitySet(deps(), target, set("two"));
      await symlink(parent, join(parent, "way"));
      await writeIdentitySet(deps(), { ...target, path: join(parent, "way", "a") }, set("three"));
      expect(await words()).toEqual(["three"]);
      await lchown(join(parent, "way"), 1234, 0);
      const planted = await failure(
        writeIdentitySet(deps(), { ...target, path: join(parent, "way", "a") }, set("four")),
      );
      expect(planted.message).toContain("is a link of user 1234");
    },
  );

  it("refuses a link in the place of the directory", async () => {
    await mkdir(join(parent, "real"));
    await symlink(join(parent, "real"), target.path);
    expect((await failure(writeIdentitySet(deps(), target, set("one")))).message).toContain("it is a link");
    expect(await readdir(join(parent, "real"))).toEqual([]);
  });

  it("makes only the last component", async () => {
    const error = await failure(writeIdentitySet(deps(), { ...target, path: join(parent, "b", "c") }, set("one")));
    expect(error.reason).toBe("missing");
  });

  it("keeps the old set on a full disk, leaves nothing behind, and recovers", async () => {
    await writeIdentitySet(deps(), target, set("one"));
    const full: FilePort = {
      ...systemFiles,
      write: async (fd, bytes) => {
        await systemFiles.write(fd, bytes.subarray(0, 3));
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      },
    };
    const error = await failure(writeIdentitySet(deps(full), target, set("two")));
    expect([error.reason, error.message]).toEqual(["no_space", `cannot write ${target.path}: no space left on device`]);
    expect(await words()).toEqual(["one"]);
    expect(await versions()).toHaveLength(1);
    expect((await failure(probeDirectory(deps(full), target, 1000))).reason).toBe("no_space");
    expect(await versions()).toHaveLength(1);
    await writeIdentitySet(deps(), target, set("two"));
    expect(await words()).toEqual(["two"]);
  });

  it("never shows a reader a mixed set", async () => {
    await writeIdentitySet(deps(), target, set("0"));
    let writing = true;
    const torn: string[] = [];
    const reader = (async () => {
      let reads = 0;
      while (writing) {
        const seen = await words().catch((error: unknown) => [String(error)]);
        if (seen.length !== 1 || !/^\d+$/.test(seen[0] ?? "")) torn.push(seen.join());
        const pem = await readFile(join(target.path, "tls.pem"), "utf8").catch(String);
        if (!/^\d+ tls\.pem\n$/.test(pem)) torn.push(pem);
        reads += 1;
      }
      return reads;
    })();
    try {
      for (let i = 1; i <= 40; i++) await writeIdentitySet(deps(), target, set(String(i)));
    } finally {
      writing = false;
    }
    expect(await reader).toBeGreaterThan(0);
    // A reader that stood still for two whole rotations may find its version gone; it never finds two in one.
    expect(torn.filter((each) => !each.includes("ENOENT"))).toEqual([]);
  });
});

class Stopped extends Error {}

/** Every call but the first `count` never happens, as after a kill; `half` lets a write begin. */
function stopAfter(count: number): { readonly files: FilePort; readonly calls: () => number } {
  let calls = 0;
  const guard = <A extends readonly unknown[], R>(name: string, call: (...args: A) => Promise<R>) => {
    return async (...args: A): Promise<R> => {
      calls += 1;
      if (calls <= count) return await call(...args);
      if (name === "write" && calls === count + 1)
        await systemFiles.write(args[0] as number, (args[1] as Uint8Array).subarray(0, 2));
      throw new Stopped(name);
    };
  };
  const entries = Object.entries(systemFiles) as [keyof FilePort, (...args: never[]) => Promise<never>][];
  const files = Object.fromEntries(entries.map(([name, call]) => [name, guard(name, call)])) as unknown as FilePort;
  return { files, calls: () => calls };
}

describe("a kill at any file call", { timeout: 60_000 }, () => {
  it("leaves the old set or the new one, and the next write cleans up", async () => {
    let stops = 0;
    for (let count = 0; ; count++) {
      await rm(target.path, { recursive: true, force: true });
      await writeIdentitySet(deps(), target, set("old"));
      const { files } = stopAfter(count);
      const done = await writeIdentitySet(deps(files), target, set("new")).then(
        () => true,
        () => false,
      );
      const seen = await words();
      expect(seen, `after ${count} calls`).toHaveLength(1);
      expect(["old", "new"], `after ${count} calls`).toContain(seen[0]);
      for (const name of setNames) {
        expect(await readFile(join(target.path, name), "utf8")).toBe(`${seen[0]} ${name}\n`);
      }
      for (const name of await versions()) {
        for (const file of (await lstat(join(target.path, name))).isDirectory()
          ? await readdir(join(target.path, name))
          : []) {
          if (file === "tls.key" || file === "tls.pem") {
            expect((await lstat(join(target.path, name, file))).mode & 0o077, `after ${count} calls`).toBe(0);
          }
        }
      }
      await writeIdentitySet(deps(), target, set("next"));
      expect(await words()).toEqual(["next"]);
      expect(await versions(), `after ${count} calls`).toHaveLength(2);
      if (done) break;
      stops += 1;
    }
    expect(stops).toBeGreaterThan(50);
  });

  it("leaves no set or the whole one when it is the first", async () => {
    for (let count = 0; ; count++) {
      await rm(target.path, { recursive: true, force: true });
      const { files } = stopAfter(count);
      const done = await writeIdentitySet(deps(files), target, set("new")).then(
        () => true,
        () => false,
      );
      const seen = await words().catch(() => []);
      expect([[], ["new"]], `after ${count} calls`).toContainEqual(seen);
      await writeIdentitySet(deps(), target, set("next"));
      expect(await words()).toEqual(["next"]);
      if (done) break;
    }
  });

  it("while a set is taken away leaves the whole set or none", async () => {
    for (let count = 0; ; count++) {
      await rm(target.path, { recursive: true, force: true });
      await writeIdentitySet(deps(), target, set("old"));
      const { files } = stopAfter(count);
      const done = await removeIdentitySet(deps(files), target).then(
        () => true,
        () => false,
      );
      const seen = await words().catch(() => []);
      expect([[], ["old"]], `after ${count} calls`).toContainEqual(seen);
      await removeIdentitySet(deps(), target);
      expect(await readdir(target.path)).toEqual([]);
      if (done) break;
    }
    await removeIdentitySet(deps(), { ...target, path: join(parent, "never-there") });
  });
});
