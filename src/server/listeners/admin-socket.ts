// The admin service on a unix socket: whoever may enter the data directory (0700) is an admin.
import { chmod, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { Server as GrpcServer, type Server, ServerCredentials } from "@grpc/grpc-js";

export interface AdminListener {
  readonly path: string;
  drain(ms: number): Promise<void>;
}

/** Longest path of a unix socket on Linux, octets without the final NUL. */
const maxPathBytes = 107;

/** Opens the socket; one that a killed server left behind is replaced, one that answers is not. */
export async function listenAdmin(path: string, services: (server: Server) => void): Promise<AdminListener> {
  if (Buffer.byteLength(path) > maxPathBytes) {
    throw new Error(
      `the path of the admin socket has ${Buffer.byteLength(path)} octets, at most ${maxPathBytes} work: ${path}`,
    );
  }
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) {
    if (!found.isSocket()) throw new Error(`${path} is there and is not a socket`);
    if (await answers(path)) throw new Error(`another server answers on ${path}`);
    await rm(path, { force: true });
  }
  const server = new GrpcServer({
    "grpc.max_receive_message_length": 1024 * 1024,
    "grpc.max_send_message_length": 64 * 1024 * 1024,
  });
  services(server);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  await chmod(path, 0o600);
  return {
    path,
    drain: (ms) =>
      new Promise((resolve) => {
        const late = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, ms);
        server.tryShutdown(() => {
          clearTimeout(late);
          resolve();
        });
      }),
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
