// The continuity mark: 16 octets outside the store that say which commit was acknowledged last. A log whose end was lost,
// or an older copy of the store's directory put back, is a whole store without a gap; only the mark knows better.
//
// octets 0..5 number of the commit · 6..8 which file this is, by its time of birth (0: the file system keeps none) ·
// 9..11 the same by its inode · 12..15 CRC-32 of these; numbers big-endian. Overwritten in place, never renamed.
//
// The group's batch is synced first, the mark is written then, and only then the commits are acknowledged; the mark is
// synced about once a second. So a killed process leaves it at the last acknowledged commit or one before, a power cut
// at an earlier one, and the store is never behind it. A copy of the file is another file: who puts an old copy of the
// whole data directory back brings a mark along that says it was copied, and it is not believed.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { crc32 } from "node:zlib";
import type { Clock } from "../platform/clock.ts";
import { reasonOf } from "./level-engine.ts";
import { syncDirectory } from "./level-guard.ts";
import { StoreError } from "./store.ts";

const MARK_OCTETS = 16;
const TICK_MS = 20;

/** What was found. "new" holds nothing yet; "copied" was written as another file. */
export type FoundMark =
  | { readonly state: "whole" | "copied"; readonly number: number }
  | { readonly state: "new" | "missing" | "damaged" };

export interface Mark {
  readonly path: string;
  readonly found: FoundMark;
  /** Writes a number; it survives the end of this process, and a power cut after the next `sync`. */
  write(number: number): Promise<void>;
  /** Makes what was written durable; nothing happens when nothing was. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the mark's file, which is made where there is none. Throws "unavailable". */
export type OpenMark = (path: string, clock: Pick<Clock, "sleep">) => Promise<Mark>;

export const openMark: OpenMark = async (path, clock) => {
  try {
    return await openFile(path, clock);
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError("unavailable", `the store's mark ${path} cannot be used: ${reasonOf(cause)}`, { cause });
  }
};

/** Makes an empty mark for a store that is being made. */
export async function makeMark(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
  const handle = await open(
    path,
    constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  syncDirectory(dirname(path));
}

/** Reads a mark without opening it for writing or making one. Throws the system's error. */
export async function readMark(path: string): Promise<FoundMark> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (handle === undefined) return { state: "missing" };
  try {
    return await found(handle);
  } finally {
    await handle.close();
  }
}

async function openFile(path: string, clock: Pick<Clock, "sleep">): Promise<Mark> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW;
  let isMissing = false;
  const handle = await open(path, flags).catch(async (error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    isMissing = true;
    return open(path, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
  });
  try {
    if (!(await handle.stat()).isFile()) throw new StoreError("unavailable", `the store's mark ${path} is no file`);
    if (isMissing) syncDirectory(dirname(path));
    const facts = isMissing ? ({ state: "missing" } as const) : await found(handle);
    const identity = await identityOf(handle, clock);
    return markOn(handle, { path, found: facts, identity });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function markOn(
  handle: FileHandle,
  { path, found: facts, identity }: { readonly path: string; readonly found: FoundMark; readonly identity: Uint8Array },
): Mark {
  let isWritten = false;
  let isTooLong = facts.state === "damaged";
  let syncing: Promise<void> | undefined;
  return {
    path,
    found: facts,
    write: async (number) => {
      if (isTooLong) await handle.truncate(MARK_OCTETS);
      isTooLong = false;
      await writeWhole(handle, markOctets(number, identity));
      isWritten = true;
    },
    sync: () => {
      if (syncing !== undefined || !isWritten) return syncing ?? Promise.resolve();
      isWritten = false;
      syncing = handle
        .datasync()
        .catch((error: unknown) => {
          isWritten = true;
          throw error;
        })
        .finally(() => {
          syncing = undefined;
        });
      return syncing;
    },
    close: async () => {
      await syncing?.catch(() => undefined);
      await handle.close();
    },
  };
}

async function writeWhole(handle: FileHandle, octets: Uint8Array): Promise<void> {
  const { bytesWritten } = await handle.write(octets, 0, octets.length, 0);
  if (bytesWritten !== octets.length) throw new Error(`only ${bytesWritten} of ${octets.length} octets were written`);
}

async function found(handle: FileHandle): Promise<FoundMark> {
  const octets = new Uint8Array(MARK_OCTETS + 1);
  const { bytesRead } = await handle.read(octets, 0, octets.length, 0);
  if (bytesRead === 0) return { state: "new" };
  const mark = octets.subarray(0, MARK_OCTETS);
  const view = new DataView(mark.buffer);
  if (bytesRead !== MARK_OCTETS || view.getUint32(12) !== crc32(mark.subarray(0, 12))) return { state: "damaged" };
  const number = view.getUint16(0) * 2 ** 32 + view.getUint32(2);
  const { birthtimeNs, ctimeNs, ino } = await handle.stat({ bigint: true });
  const [wasBorn, wasInode] = [mark.subarray(6, 9), mark.subarray(9, 12)];
  // The time of birth decides where it is known: some file systems give a file another inode number at each mount.
  const isBornKnown = wasBorn.some((octet) => octet !== 0) && birthtimeNs !== 0n && birthtimeNs !== ctimeNs;
  const isSame = isBornKnown
    ? same(wasBorn, shortHash(`born ${birthtimeNs}`))
    : same(wasInode, shortHash(`inode ${ino}`));
  return { state: isSame ? "whole" : "copied", number };
}

function markOctets(number: number, identity: Uint8Array): Uint8Array {
  const octets = new Uint8Array(MARK_OCTETS);
  const view = new DataView(octets.buffer);
  view.setUint16(0, Math.floor(number / 2 ** 32));
  view.setUint32(2, number % 2 ** 32);
  octets.set(identity, 6);
  view.setUint32(12, crc32(octets.subarray(0, 12)));
  return octets;
}

/** Which file this is. Where the system knows no time of birth it may give that of the last change: that is found out. */
async function identityOf(handle: FileHandle, clock: Pick<Clock, "sleep">): Promise<Uint8Array> {
  let facts = await handle.stat({ bigint: true });
  if (facts.birthtimeNs !== 0n && facts.birthtimeNs === facts.ctimeNs) {
    await clock.sleep(TICK_MS);
    await handle.chmod(0o600);
    facts = await handle.stat({ bigint: true });
  }
  const isBirth = facts.birthtimeNs !== 0n && facts.birthtimeNs !== facts.ctimeNs;
  const identity = new Uint8Array(6);
  if (isBirth) identity.set(shortHash(`born ${facts.birthtimeNs}`), 0);
  identity.set(shortHash(`inode ${facts.ino}`), 3);
  return identity;
}

/** Three octets, not all zero. */
function shortHash(text: string): Uint8Array {
  const octets = new Uint8Array(createHash("sha256").update(text).digest().subarray(0, 3));
  if (octets.every((octet) => octet === 0)) octets[0] = 1;
  return octets;
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((octet, index) => octet === other[index]);
}
