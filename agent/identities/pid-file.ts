// Which process a pid file means, and whether it may be signalled: the file could name anybody's.
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";

export interface PidRules {
  /** User of the identity's files. */
  readonly ownerUid: number;
  /** User that the process must have. */
  readonly processUid: number;
  /** Never signalled. */
  readonly agentPid: number;
  readonly agentParentPid: number;
}

/** Why a process was not signalled; the message is for people. */
class PidFileError extends Error {
  override readonly name = "PidFileError";
}

const mostBytes = 32;

/**
 * Reads a pid file: it belongs to root or the owner of the identity (to root alone when the process is another user's),
 * nobody else can write it, and it holds one decimal above 1 that is neither the agent nor its parent. Throws
 * PidFileError.
 */
export async function readPidFile(path: string, rules: PidRules): Promise<number> {
  const refuse = (why: string): PidFileError => new PidFileError(`pid file ${path}: ${why}`);
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      throw refuse(systemReason(error));
    },
  );
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw refuse("not a file");
    const owners = rules.processUid === rules.ownerUid ? [0, rules.ownerUid] : [0];
    if (!owners.includes(facts.uid)) {
      throw refuse(
        `belongs to user ${facts.uid}, must be of ${owners.length === 1 ? "root" : "root or the identity's owner"}`,
      );
    }
    if ((facts.mode & 0o022) !== 0) throw refuse("others may write to it");
    const buffer = new Uint8Array(mostBytes);
    const { bytesRead } = await handle.read(buffer, 0, mostBytes, 0);
    const digits = /^([1-9]\d{0,9})\s*$/.exec(new TextDecoder("latin1").decode(buffer.subarray(0, bytesRead)))?.[1];
    const pid = Number(digits ?? 0);
    if (digits === undefined || pid < 2 || pid > 0x7fffffff) throw refuse("does not hold one process number above 1");
    if (pid === rules.agentPid || pid === rules.agentParentPid) throw refuse("names the agent itself or its parent");
    return pid;
  } finally {
    await handle.close();
  }
}

/** Signals the process of a pid file when it belongs to the user it must have. Throws PidFileError. */
export async function signalByPidFile(path: string, signal: NodeJS.Signals, rules: PidRules): Promise<void> {
  const pid = await readPidFile(path, rules);
  const uid = await effectiveUid(pid);
  if (uid === undefined) throw new PidFileError(`pid file ${path}: no process ${pid}`);
  if (uid !== rules.processUid) {
    throw new PidFileError(`pid file ${path}: process ${pid} is of user ${uid}, not of user ${rules.processUid}`);
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    throw new PidFileError(`cannot signal process ${pid}: ${systemReason(error)}`, { cause: error });
  }
}

/** Effective user of a process; undefined when there is none. */
async function effectiveUid(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
  return uid === undefined ? undefined : Number(uid);
}

function systemReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "ENOENT":
      return "no such file";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "ELOOP":
      return "it is a link";
    case "ESRCH":
      return "no such process";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
