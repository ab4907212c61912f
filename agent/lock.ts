// One agent on one data directory. The lock is a socket in the abstract name space of Linux: the kernel frees it however
// the process ends, so no stale lock can be left over. Its name is a secret of the data directory, or another user of the
// host could take it first. Agents in different network name spaces see each other by agent.sock.
import { connect, createServer, type Server } from "node:net";
import type { DataDir } from "../src/platform/data-dir.ts";
import type { Random } from "../src/platform/random.ts";
import { codeOf } from "./identities/directory-error.ts";

export interface Lock {
  release(): Promise<void>;
}

const lockFile = "lock.json";

/** Takes the lock; undefined when another agent has it. */
export async function takeLock(
  dir: Pick<DataDir, "file" | "readJson" | "writeJson">,
  random: Pick<Random, "bytes">,
): Promise<Lock | undefined> {
  if (await answers(dir.file("agent.sock"))) return undefined;
  if (process.platform !== "linux") return { release: async () => {} };
  const server = await listen(`\0signet-agent-${await lockName(dir, random)}`);
  return server && { release: () => new Promise((resolve) => server.close(() => resolve())) };
}

async function lockName(dir: Pick<DataDir, "readJson" | "writeJson">, random: Pick<Random, "bytes">): Promise<string> {
  const known = nameIn(await dir.readJson(lockFile));
  if (known !== undefined) return known;
  await dir.writeJson(lockFile, { name: Buffer.from(random.bytes(16)).toString("hex") });
  // Two that begin at once both write; the one that is in place counts for both.
  return nameIn(await dir.readJson(lockFile)) ?? "";
}

function nameIn(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !("name" in value)) return undefined;
  return typeof value.name === "string" && /^[0-9a-f]{32}$/.test(value.name) ? value.name : undefined;
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) => (codeOf(error) === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Whether a process listens on a unix socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", done(true));
    socket.once("error", done(false));
  });
}
