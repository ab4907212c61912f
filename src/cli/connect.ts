// The way to a server or agent: which socket, and what to say when nobody is there.

import { readFile, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { join, relative, resolve } from "node:path";
import type { ClientReadableStream, MethodDefinition, requestCallback } from "@grpc/grpc-js";
import type { AdminServiceService } from "../../proto/gen/signet/v1/admin.ts";
import type { NodeServiceService } from "../../proto/gen/signet/v1/node.ts";
import { shellWord } from "../platform/shell-word.ts";
import type { Cli } from "./context.ts";
import { asCliError, CliError, errnoOf, reasonOf, wrongUse } from "./failure.ts";
import { type DataPlace, findPlace, type PlaceKind } from "./place.ts";
import { startProgress } from "./progress.ts";

type Methods = Readonly<Record<string, { requestSerialize: unknown; responseDeserialize: unknown }>>;
type RequestOf<M> = M extends { requestSerialize: (value: infer Request) => Buffer } ? Request : never;
type ResponseOf<M> = M extends { responseDeserialize: (value: Buffer) => infer Response } ? Response : never;

/** A service that can be called by the names of its methods. */
export interface Peer<Service extends Methods> {
  /** One call with a deadline. Throws CliError or what the server answered. */
  call<Name extends keyof Service & string>(
    name: Name,
    request: RequestOf<Service[Name]>,
    options?: { readonly deadlineMs?: number },
  ): Promise<ResponseOf<Service[Name]>>;
  /** The messages of a server stream, to its end or until `signal` aborts, which ends it quietly. */
  stream<Name extends keyof Service & string>(
    name: Name,
    request: RequestOf<Service[Name]>,
    signal: AbortSignal,
  ): AsyncIterable<ResponseOf<Service[Name]>>;
}

export type AdminPeer = Peer<AdminServiceService>;
export type NodePeer = Peer<NodeServiceService>;

const callDeadlineMs = 10_000;
// sockaddr_un holds 108 octets with the closing NUL.
const longestSocketPath = 107;

/** Runs `work` with the admin service. `what` is what failed when it throws: "cannot list the nodes". */
export async function withAdmin<Result>(
  cli: Cli,
  what: string,
  work: (admin: AdminPeer) => Promise<Result>,
): Promise<Result> {
  const socket = await adminSocket(cli);
  return withPeer(
    cli,
    { socket, what },
    async () => (await import("../../proto/gen/signet/v1/admin.ts")).AdminServiceService,
    work,
  );
}

/** Runs `work` with the agent of this host. */
export async function withAgent<Result>(
  cli: Cli,
  what: string,
  work: (agent: NodePeer) => Promise<Result>,
): Promise<Result> {
  const place = await findPlace(cli, "agent", cli.shared);
  const socket = await socketIn(place, "agent", "socket", "agent.sock");
  return withPeer(
    cli,
    { socket, what },
    async () => (await import("../../proto/gen/signet/v1/node.ts")).NodeServiceService,
    work,
  );
}

/** What a process wrote to DATA/endpoints.json, or undefined when it never served. */
export async function readEndpoints(place: DataPlace): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(join(place.path, "endpoints.json"), "utf8"));
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

interface Socket {
  readonly path: string;
  readonly kind: PlaceKind;
}

async function withPeer<Service extends Methods, Result>(
  cli: Cli,
  to: { readonly socket: Socket; readonly what: string },
  load: () => Promise<Service>,
  work: (peer: Peer<Service>) => Promise<Result>,
): Promise<Result> {
  const [{ Client, credentials, Metadata }, { callUnary, decodeFailure }, service] = await Promise.all([
    import("@grpc/grpc-js"),
    import("../sdk/rpc.ts"),
    load(),
  ]);
  const client = new Client(`unix:${to.socket.path}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 64 * 1024 * 1024,
    "grpc.enable_retries": 0,
    // Behind a unix socket there is no name; some proxies' settings must not be taken either.
    "grpc.default_authority": "localhost",
    "grpc.enable_http_proxy": 0,
  });
  // The definitions of one service share no type; the names tie request and response together.
  const definitionOf = <Name extends keyof Service & string>(
    name: Name,
  ): MethodDefinition<RequestOf<Service[Name]>, ResponseOf<Service[Name]>> =>
    service[name] as unknown as MethodDefinition<RequestOf<Service[Name]>, ResponseOf<Service[Name]>>;
  const peer: Peer<Service> = {
    call: async (name, request, options = {}) => {
      const method = definitionOf(name);
      const deadlineMs = options.deadlineMs ?? callDeadlineMs;
      const progress = startProgress(cli, { afterMs: 1000, leaves: "Ctrl-C ends the waiting only" });
      progress.update(`waiting for the ${to.socket.kind}'s answer, at most ${deadlineMs / 1000} s`);
      try {
        return await callUnary(
          (message, metadata, callOptions, callback) =>
            client.makeUnaryRequest(
              method.path,
              method.requestSerialize,
              method.responseDeserialize,
              message,
              metadata,
              callOptions,
              // grpc-js gives no value with an error only.
              callback as requestCallback<ResponseOf<Service[typeof name]>>,
            ),
          request,
          { deadlineMs },
        );
      } finally {
        progress.stop();
      }
    },
    stream: async function* (name, request, signal) {
      const method = definitionOf(name);
      const call: ClientReadableStream<ResponseOf<Service[typeof name]>> = client.makeServerStreamRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        {},
      );
      const stop = (): void => call.cancel();
      signal.addEventListener("abort", stop, { once: true });
      if (signal.aborted) stop();
      // After an early end the cancelled call still reports itself.
      call.on("error", () => undefined);
      try {
        for await (const message of call) yield message;
      } catch (error) {
        if (!signal.aborted) throw decodeFailure(error);
      } finally {
        signal.removeEventListener("abort", stop);
        call.cancel();
      }
    },
  };
  try {
    return await work(peer);
  } catch (error) {
    throw namingPeer(asCliError(error, to.what), to.socket.kind);
  } finally {
    client.close();
  }
}

function namingPeer(error: CliError, kind: PlaceKind): CliError {
  if (kind === "server" || !error.message.startsWith("cannot reach the server")) return error;
  return new CliError(error.exit, error.message.replace("the server", "the agent"), {
    cure: error.cure,
    cause: error.cause,
  });
}

async function adminSocket(cli: Cli): Promise<Socket> {
  const address = cli.shared.admin ?? (cli.env["SIGNET_ADMIN"] === "" ? undefined : cli.env["SIGNET_ADMIN"]);
  if (address === undefined) {
    const place = await findPlace(cli, "server", cli.shared);
    return socketIn(place, "server", "admin", "admin.sock");
  }
  const path = address.replace(/^unix:(\/\/(?=\/))?/, "");
  if (!address.startsWith("unix:") && !path.includes("/")) {
    throw wrongUse(
      `cannot use --admin ${address}: it takes the path of an admin socket, as ./.signet/admin.sock`,
      "signet status --admin ./.signet/admin.sock",
    );
  }
  const shown = cli.shared.admin === undefined ? "SIGNET_ADMIN" : "--admin";
  return checked({ path: resolve(cli.cwd, path), kind: "server" }, `(${shown})`, "signet env");
}

// From where we stand the way may be short enough.
function fitting(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return Buffer.byteLength(path) > longestSocketPath && Buffer.byteLength(fromHere) <= longestSocketPath
    ? fromHere
    : path;
}

async function socketIn(place: DataPlace, kind: PlaceKind, endpoint: string, file: string): Promise<Socket> {
  const announced = (await readEndpoints(place))?.[endpoint];
  const path =
    typeof announced === "string" && announced.includes("/") ? announced.replace(/^unix:/, "") : join(place.path, file);
  const where = place.from === "default" ? "(the default data directory)" : `(${place.from})`;
  return checked({ path, kind }, where, await startingCure(place, kind));
}

async function checked(named: Socket, where: string, cure: string): Promise<Socket> {
  const socket = { ...named, path: fitting(named.path) };
  const fail = (why: string, cause: unknown, remedy = cure): CliError =>
    new CliError(4, `cannot reach the ${socket.kind}: ${why} ${where}`, { cure: remedy, cause });
  if (Buffer.byteLength(socket.path) > longestSocketPath) {
    throw fail(
      `the path of its socket has ${Buffer.byteLength(socket.path)} octets, ${longestSocketPath} is the most: ${socket.path}`,
      undefined,
      "",
    );
  }
  try {
    if (!(await stat(socket.path)).isSocket()) throw fail(`${socket.path} is no socket`, undefined);
    await knock(socket.path);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") throw fail(`no socket ${socket.path}`, error);
    if (code === "ECONNREFUSED") throw fail(`nobody listens at ${socket.path}`, error);
    if (code === "EACCES" || code === "EPERM") {
      throw fail(`not allowed to open ${socket.path}`, error, `run this as the user of the ${socket.kind}`);
    }
    throw fail(`${socket.path}: ${reasonOf(error)}`, error);
  }
  return socket;
}

// gRPC tries again and again where nobody listens; one plain connection tells at once.
function knock(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}

async function startingCure(place: DataPlace, kind: PlaceKind): Promise<string> {
  if (place.from.includes("/etc/signet/")) return `systemctl status signet-${kind}`;
  const flag = place.from === "--data-dir" ? ` --data-dir ${shellWord(place.shown)}` : "";
  if (kind === "agent") return `signet agent${flag}`;
  try {
    await stat(join(place.path, "signet.json"));
    return `signet server${flag}`;
  } catch {
    return place.from === "default"
      ? "signet init --trust-domain prod.example, or --data-dir DIR"
      : `signet init${flag} --trust-domain prod.example`;
  }
}
