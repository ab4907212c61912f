import { once } from "node:events";
import { createServer } from "node:net";
import { credentials, Metadata, Server, ServerCredentials, type sendUnaryData, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import { Status } from "../../../proto/gen/google/rpc/status.ts";
import {
  BundleServiceClient,
  type BundleServiceServer,
  BundleServiceService,
  type GetBundleResponse,
} from "../../../proto/gen/signet/v1/bundle.ts";
import { ErrorDetail, Retry } from "../../../proto/gen/signet/v1/error.ts";
import { callUnary, decodeFailure, failureOfDetail, RpcFailure } from "../../../src/sdk/rpc.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) {
    close();
  }
});

async function clientOf(answer: (callback: sendUnaryData<GetBundleResponse>) => void): Promise<BundleServiceClient> {
  const server = new Server();
  const implementation: BundleServiceServer = { getBundle: (_call, callback) => answer(callback) };
  server.addService(BundleServiceService, implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new BundleServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
  closers.push(
    () => client.close(),
    () => server.forceShutdown(),
  );
  return client;
}

function trailer(detail: Partial<ErrorDetail>, typeUrl = "type.googleapis.com/signet.v1.ErrorDetail"): Metadata {
  const value = ErrorDetail.encode(ErrorDetail.fromPartial(detail)).finish();
  const metadata = new Metadata();
  const bytes = Status.encode({ code: 7, message: "", details: [{ typeUrl, value }] }).finish();
  metadata.set("grpc-status-details-bin", Buffer.from(bytes));
  return metadata;
}

async function failure(promise: Promise<unknown>): Promise<RpcFailure> {
  try {
    await promise;
  } catch (error) {
    expect(error).toBeInstanceOf(RpcFailure);
    return error as RpcFailure;
  }
  throw new Error("the call did not fail");
}

describe("callUnary()", () => {
  test("callUnary() resolves with the answer", async () => {
    const client = await clientOf((callback) => callback(null, { bundle: undefined }));
    await expect(callUnary(client.getBundle.bind(client), {}, { deadlineMs: 5_000 })).resolves.toEqual({});
  });

  test("callUnary() throws every field of the detail that the server sent", async () => {
    const sent = {
      code: "denied",
      rule: "dns_not_in_entry",
      detail: "b.test is not a name of the entry",
      value: "b.test",
      limit: "a.test",
      cure: "signet entry update /svc/a --dns b.test",
      retry: Retry.RETRY_NEVER,
      retryAfterSeconds: 7,
    };
    const client = await clientOf((callback) =>
      callback({ code: status.PERMISSION_DENIED, details: "no", metadata: trailer(sent) }),
    );
    const got = await failure(callUnary(client.getBundle.bind(client), {}, { deadlineMs: 5_000 }));
    expect(got).toMatchObject({ ...sent, retry: "never", grpcCode: 7, message: sent.detail });
  });

  test("callUnary() is unavailable when nobody listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    const client = new BundleServiceClient(`127.0.0.1:${port}`, credentials.createInsecure());
    closers.push(() => client.close());
    const got = await failure(callUnary(client.getBundle.bind(client), {}, { deadlineMs: 5_000 }));
    expect(got).toMatchObject({ code: "unavailable", retry: "later", grpcCode: status.UNAVAILABLE });
  });

  test("callUnary() says how long it waited when the answer does not come", async () => {
    const client = await clientOf(() => {});
    const got = await failure(callUnary(client.getBundle.bind(client), {}, { deadlineMs: 200 }));
    expect(got).toMatchObject({ code: "unavailable", message: "no answer within 0.2 s" });
  });

  test("callUnary() ends as cancelled on abort, before and during the call", async () => {
    const abort = new AbortController();
    const client = await clientOf(() => abort.abort());
    const options = { deadlineMs: 5_000, signal: abort.signal };
    expect((await failure(callUnary(client.getBundle.bind(client), {}, options))).code).toBe("cancelled");
    expect((await failure(callUnary(client.getBundle.bind(client), {}, options))).code).toBe("cancelled");
  });
});

describe("decodeFailure()", () => {
  const service = (code: number, details: string, metadata = new Metadata()): Error =>
    Object.assign(new Error(`${code}: ${details}`), { code, details, metadata });

  test("decodeFailure() takes the gRPC status when the trailer is missing, broken, or of another type", () => {
    const broken = new Metadata();
    broken.set("grpc-status-details-bin", Buffer.from([0xff, 0xff, 0xff]));
    for (const metadata of [new Metadata(), broken, trailer({ code: "exists" }, "type.googleapis.com/x.Y")]) {
      const got = decodeFailure(service(status.NOT_FOUND, "no such entry", metadata));
      expect(got).toMatchObject({ code: "not_found", detail: "no such entry", rule: "", retry: "never" });
    }
  });

  test("decodeFailure() keeps the status when the server sends a code of a newer version", () => {
    const got = decodeFailure(service(status.ABORTED, "x", trailer({ code: "brand_new", detail: "later" })));
    expect(got).toMatchObject({ code: "conflict", detail: "later" });
  });

  test("decodeFailure() escapes control and bidi characters and cuts what is long", () => {
    const got = decodeFailure(service(status.INTERNAL, `\u001b[2J\u202e\n${"x".repeat(1000)}`));
    expect(got.message).toMatch(/^\\u\{1b\}\[2J\\u\{202e\}\\u\{a\}x+…$/);
    expect(got.message.length).toBeLessThan(430);
  });

  test("decodeFailure() takes any value and gives a RpcFailure back as it is", () => {
    expect(decodeFailure(new TypeError("odd"))).toMatchObject({ code: "internal", detail: "odd" });
    expect(decodeFailure("text")).toMatchObject({ code: "internal", detail: "text" });
    const first = decodeFailure("text");
    expect(decodeFailure(first)).toBe(first);
  });
});

test("failureOfDetail() reads the item of a batch", () => {
  const detail = ErrorDetail.fromPartial({ code: "conflict", retry: Retry.RETRY_SAME, detail: "entry changed" });
  expect(failureOfDetail(detail)).toMatchObject({ code: "conflict", retry: "same", grpcCode: -1 });
});
