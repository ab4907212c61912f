// The few file operations by which identity directories change. One port, so that a test can stop between any two of
// them.

import * as fs from "node:fs";
import { constants } from "node:fs";
import { lstat, mkdir, readdir, readlink, rename, rmdir, symlink, unlink } from "node:fs/promises";
import { promisify } from "node:util";

export interface FileFacts {
  readonly kind: "file" | "directory" | "link" | "other";
  readonly uid: number;
  readonly gid: number;
  /** Permission bits with the sticky bit, 0 to 0o7777. */
  readonly mode: number;
  /** Tells two files apart. */
  readonly device: bigint;
  readonly inode: bigint;
}

/** File operations as the system has them. Every promise rejects with the system's error (`code` such as ENOSPC). */
export interface FilePort {
  /** Opens a directory itself, never what a link points to. */
  openDirectory(path: string): Promise<number>;
  /** Makes an empty file of mode 0600 that was not there, opened for writing. */
  createFile(path: string): Promise<number>;
  /** Writes all octets. */
  write(fd: number, bytes: Uint8Array): Promise<void>;
  chown(fd: number, uid: number, gid: number): Promise<void>;
  chmod(fd: number, mode: number): Promise<void>;
  /** Makes content, or the names of a directory, durable. */
  sync(fd: number): Promise<void>;
  close(fd: number): Promise<void>;
  facts(fd: number): Promise<FileFacts>;
  /** Facts of a name, of the link itself when it is one. */
  factsOf(path: string): Promise<FileFacts>;
  makeDirectory(path: string, mode: number): Promise<void>;
  makeLink(target: string, path: string): Promise<void>;
  readLink(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  removeDirectory(path: string): Promise<void>;
  list(path: string): Promise<readonly string[]>;
}

const open = promisify(fs.open);
const close = promisify(fs.close);
const fchown = promisify(fs.fchown);
const fchmod = promisify(fs.fchmod);
const fsync = promisify(fs.fsync);

/** The port on the real file system. */
export const systemFiles: FilePort = {
  openDirectory: (path) => open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW),
  createFile: (path) =>
    open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600),
  async write(fd, bytes) {
    for (let at = 0; at < bytes.length; ) at += await writeOnce(fd, bytes, at);
  },
  chown: (fd, uid, gid) => fchown(fd, uid, gid),
  chmod: (fd, mode) => fchmod(fd, mode),
  sync: (fd) => fsync(fd),
  close: (fd) => close(fd),
  facts: (fd) =>
    new Promise((resolve, reject) => {
      fs.fstat(fd, { bigint: true }, (error, stats) => (error === null ? resolve(factsFrom(stats)) : reject(error)));
    }),
  factsOf: async (path) => factsFrom(await lstat(path, { bigint: true })),
  async makeDirectory(path, mode) {
    await mkdir(path, { mode });
  },
  makeLink: (target, path) => symlink(target, path),
  readLink: (path) => readlink(path),
  rename: (from, to) => rename(from, to),
  unlink: (path) => unlink(path),
  removeDirectory: (path) => rmdir(path),
  list: (path) => readdir(path),
};

function writeOnce(fd: number, bytes: Uint8Array, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, at, bytes.length - at, null, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

function factsFrom(stats: fs.BigIntStats): FileFacts {
  const kind = stats.isFile() ? "file" : stats.isDirectory() ? "directory" : stats.isSymbolicLink() ? "link" : "other";
  return {
    kind,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    mode: Number(stats.mode & 0o7777n),
    device: stats.dev,
    inode: stats.ino,
  };
}
